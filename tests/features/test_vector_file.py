import errno
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.support import run_python
from utils.datasets.corpus import AUDIO, CLOTHO, corpus
from utils.features.vector_file import (
    read_reusable,
    read_vectors,
    require,
    row_keys,
    select,
    write_vectors,
)
from utils.runtime.errors import InputError, UnreadableError
from utils.settings.loading import load_config

ATTRIBUTES = {"what": "test", "model": "a", "window_seconds": 10.0}
IDS = ["development/ a b .wav", "development/&amp;.wav", "validation/é.wav"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)
TEXTS = {"texts": ["one", "two\n", "“three”"]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep/er/x.hdf5"
    write_vectors(path, IDS, VECTORS, attributes=ATTRIBUTES, columns=TEXTS)
    return path


def test_what_is_written_is_read(path):
    file = read_vectors(path)
    assert file.ids == IDS
    assert file.columns == TEXTS
    np.testing.assert_array_equal(file.vectors, VECTORS)
    assert file.fixed_attributes == ATTRIBUTES
    assert set(file.attributes) == {*ATTRIBUTES, "created", "versions"}
    assert [p.name for p in path.parent.iterdir()] == ["x.hdf5"]


def test_rows_are_taken_by_id_in_any_order(path):
    file = read_vectors(path)
    taken = select(file, [IDS[2], IDS[0]], original_ids=["9", "8"])
    np.testing.assert_array_equal(taken, VECTORS[[2, 0]])
    with pytest.raises(InputError, match=r"lacks 2 of 3 vectors \('x', 'y'\)"):
        select(file, ["x", IDS[0], "y"], original_ids=[])


def test_rows_made_from_other_texts_are_refused(path):
    file = read_vectors(path)
    select(file, IDS, original_ids=[], made_from=("texts", TEXTS["texts"]))
    with pytest.raises(InputError, match=r"other texts for 1 of 3 rows "):
        select(file, IDS, original_ids=[], made_from=("texts", ["one", "two", "“three”"]))


def test_other_parameters_are_refused_all_in_one_message(path):
    file = read_vectors(path)
    require(file, {"model": "a"})
    with pytest.raises(InputError, match=r"model is 'a'.*'b'; precision is None"):
        require(file, {"model": "b", "precision": "fp32"})


@pytest.mark.parametrize("layout", ["vectors", "one per clip"])
def test_the_original_layout(tmp_path, layout):
    path = tmp_path / "original.hdf5"
    with h5py.File(path, "w") as file:
        for fid, vector in ((10, [1, 2]), (2, [3, 4]), (1, [5, 6])):
            file[str(fid)] = np.array(vector, np.float32)[None if layout == "one per clip" else ...]
    file = read_vectors(path)
    assert file.original_layout
    texts = ("texts", ["p", "q"])
    taken = select(file, ["s/x", "s/y"], original_ids=["10", "1"], made_from=texts)
    np.testing.assert_array_equal(taken, [[1, 2], [5, 6]])
    require(file, {"model": "anything"})


def test_missing_and_damaged_files_are_refused(tmp_path, path):
    with pytest.raises(InputError, match=r"no vector file .*gone\.hdf5"):
        read_vectors(tmp_path / "gone.hdf5")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(
        InputError, match=r"cannot read .*It is damaged, or not a vec.*: move it away"
    ):
        read_vectors(path)
    with h5py.File(tmp_path / "odd.hdf5", "w") as file:
        file["caption"] = [1.0]
    with pytest.raises(InputError, match="neither `vectors`"):
        read_vectors(tmp_path / "odd.hdf5")


def failing(error):
    """An h5py.File that cannot lock, or not even open."""
    real = h5py.File

    def fail(path, mode, *, locking=None):
        if locking is False and "lock" in str(error):
            return real(path, mode, locking=False)
        raise error

    return fail


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EACCES])
def test_where_the_disk_has_no_locks_it_is_read_without(path, monkeypatch, code):
    text = f"Unable to synchronously open file (unable to lock file, errno = {code})"
    monkeypatch.setattr(h5py, "File", failing(OSError(code, text)))
    assert read_vectors(path).ids == IDS


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "unable to open file"), "Permission denied. Check its perm"),
        (OSError(errno.EIO, "file read failed"), "Input/output error. The disk does not answer"),
    ],
)
def test_a_file_that_cannot_be_opened_is_not_called_damaged(path, monkeypatch, error, message):
    monkeypatch.setattr(h5py, "File", failing(error))
    advice = corpus(load_config(), CLOTHO).advising(AUDIO)
    with pytest.raises(UnreadableError) as caught, advice:
        read_vectors(path)
    assert str(caught.value).startswith(f"cannot read {path}: {message}")
    assert not re.search("damaged|away|scripts", str(caught.value))


def test_a_file_that_another_program_writes_to_is_not_called_damaged(path):
    program = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(); sys.stdin.read()"
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        for read in (read_vectors, lambda path: read_reusable(path, TEXTS, ATTRIBUTES)):
            with pytest.raises(UnreadableError, match="Another program has it open for writing"):
                read(path)
        other.stdin.close()
    assert read_vectors(path).ids == IDS


def test_too_little_memory_is_not_called_damage(tmp_path):
    path = tmp_path / "x.hdf5"
    vectors = np.zeros((10_000, 1000), np.float32)
    write_vectors(path, [str(i) for i in range(len(vectors))], vectors, attributes={})
    program = (
        "import re, resource, sys; from pathlib import Path\n"
        "from utils.features.vector_file import read_vectors; from utils.runtime import terminal\n"
        "status = Path('/proc/self/status').read_text()\n"
        "limit = 1024 * int(re.search(r'VmSize:\\s*(\\d+)', status)[1]) + 30_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "sys.exit(terminal.run(lambda: read_vectors(Path(sys.argv[1]))))"
    )
    error = run_python(program, path, status=2).stderr
    assert error.startswith("error: not enough memory: ")
    assert re.search(r"Raise the limit of this process, \S+ GB \(ulimit -v\)\. .*or lower", error)
    assert "damaged" not in error


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        (["a", "a", "b"], VECTORS),
        (["a", "b"], VECTORS),
        (["a", "b", "c"], np.full((3, 2), np.nan)),
    ],
)
def test_nonsense_is_not_written(path, ids, vectors):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"distinct|finite"):
        write_vectors(path, ids, vectors, attributes=ATTRIBUTES)
    assert path.read_bytes() == before


def test_a_file_that_was_made_the_same_way_is_reusable(path):
    file = read_reusable(path, TEXTS, ATTRIBUTES)
    assert file.keys == row_keys(IDS, TEXTS)
    assert read_reusable(path, TEXTS, {**ATTRIBUTES, "model": "b"}) is None
    assert read_reusable(path, {"sources": []}, ATTRIBUTES) is None
    assert read_reusable(path.with_name("gone"), TEXTS, ATTRIBUTES) is None


def test_rows_that_could_not_be_computed_are_kept_with_their_reasons(tmp_path):
    failed = {row_keys(["s/z"], {"texts": ["ü"]})[0]: "holds NaN"}
    write_vectors(tmp_path / "f", IDS, VECTORS, attributes={}, columns=TEXTS, failed=failed)
    file = read_vectors(tmp_path / "f")
    assert (file.ids, file.columns, file.failed) == (IDS, TEXTS, failed)
    assert file.failed_ids == {"s/z": "holds NaN"}


def test_rows_keep_their_notes(tmp_path):
    notes = {row_keys(IDS, TEXTS)[1]: "is very quiet (ü)"}
    write_vectors(tmp_path / "f", IDS, VECTORS, attributes={}, columns=TEXTS, notes=notes)
    file = read_vectors(tmp_path / "f")
    assert (file.columns, file.failed, file.notes) == (TEXTS, {}, notes)


def test_parameters_that_a_file_does_not_record_are_known(path):
    known = {"mono": "mean"}
    require(read_vectors(path), {**ATTRIBUTES, "mono": "mean"}, unrecorded=known)
    with pytest.raises(InputError, match="mono is 'mean', the settings ask for 'safe'"):
        require(read_vectors(path), {"mono": "safe"}, unrecorded=known)


def test_what_this_program_did_not_write_is_not_overwritten(tmp_path):
    (tmp_path / "mine.hdf5").write_bytes(b"something of the user's")
    with pytest.raises(InputError, match=r"cannot read .*mine\.hdf5"):
        read_reusable(tmp_path / "mine.hdf5", TEXTS, ATTRIBUTES)
    with h5py.File(tmp_path / "original.hdf5", "w") as file:
        file["1"] = [1.0, 2.0]
    with pytest.raises(InputError, match=r"original\.hdf5 .*would be overwritten"):
        read_reusable(tmp_path / "original.hdf5", TEXTS, ATTRIBUTES)
