import hashlib
import json

import numpy as np
import pytest
import soundfile

from models.architectures import CLASSES
from tests.support import unit
from utils.benchmark.made_up_library import MadeUpLibrary
from utils.search.library import update_library

ORIGIN = {"model": "made up", "precision": "fp32"}
WIDTH = CLASSES + 3


@pytest.fixture
def library(tmp_path):
    vectors = unit(np.random.default_rng(0), CLASSES, 16)
    return MadeUpLibrary(tmp_path / "sounds", 60, [f"a/{i}" for i in range(CLASSES)], vectors)


def updated(library, index):
    """Bring the index up to date; nothing may be tagged."""
    return update_library(
        library.folder, index, origin=ORIGIN, width=WIDTH, tags=CLASSES, hop_seconds=2.5,
        tag=None, reading=None, progress=None, note=print,
    )  # fmt: skip


def test_sounds_are_files_of_different_contents(library):
    sources = set()
    for name, (size, at, source) in library.files.items():
        data = (library.folder / name).read_bytes()
        assert len(data) == size
        assert (library.folder / name).stat().st_mtime_ns == at
        assert hashlib.sha256(data).hexdigest() == source
        sources.add(source)
    assert len(sources) == 60
    assert soundfile.info(library.folder / name).frames == 4


def test_this_build_converts_the_index_and_finds_nothing_to_do(library, tmp_path, capsys):
    library.write_index(tmp_path / "index", origin=ORIGIN, width=WIDTH, tags=CLASSES)
    found, changes = updated(library, tmp_path / "index")
    assert "converted, once" in capsys.readouterr().out
    assert str(changes) == ""
    assert found.count() == (60, 60)
    assert found.table.shape == (60, WIDTH)
    np.testing.assert_allclose(found.peaks, found.table[:, :CLASSES], atol=0.02)
    tags = found.database.one("SELECT count(*) FROM tags")
    assert 60 < tags < 60 * CLASSES / 5
    assert not len(found.silent)


def test_two_indexes_have_the_same_rows(library, tmp_path):
    for name in ("one", "other"):
        library.write_index(tmp_path / name, origin=ORIGIN, width=WIDTH, tags=CLASSES)
    one, other = ((tmp_path / name / "passages/rows.f32") for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_ino != other.stat().st_ino  # builds append to them
    library.write_index(tmp_path / "wide", origin=ORIGIN, width=WIDTH + 1, tags=CLASSES)
    rows = np.fromfile(tmp_path / "wide/passages/rows.f32", "<f4").reshape(60, -1)
    narrow = np.fromfile(one, "<f4").reshape(60, -1)
    np.testing.assert_array_equal(rows[:, :CLASSES], narrow[:, :CLASSES])


def test_so_many_files_are_changed_each_time(library):
    before = {name: (library.folder / name).read_bytes() for name in library.files}
    for seed in (1, 2):
        library.change(10, seed=seed)
        now = {name: (library.folder / name).read_bytes() for name in library.files}
        changed = [name for name in now if now[name] != before[name]]
        assert len(changed) == len({now[name] for name in changed}) == 10
        before = now


def test_the_index_says_what_its_rows_are(library, tmp_path):
    library.write_index(tmp_path, origin=ORIGIN, width=WIDTH, tags=CLASSES)
    described = json.loads((tmp_path / "passages/origin.json").read_text())
    assert described == {**ORIGIN, "format": 2, "width": WIDTH + (CLASSES + 1) // 2}
