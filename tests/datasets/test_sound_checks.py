import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.audio.sound_file import UnusableSound, fingerprint
from utils.datasets.sound_checks import (
    Sound,
    read_each,
    read_sound,
    report_failed,
    report_noted,
)
from utils.files.tables import read_csv
from utils.runtime.errors import InputError
from utils.runtime.terminal import Summary


@pytest.fixture
def paths(tmp_path):
    """A sound, a file that cannot be decoded, and one that cannot be opened, by name."""
    good, text, folder = (tmp_path / f"{n}.wav" for n in ("good", "text", "folder"))
    soundfile.write(good, np.full(4000, 0.1), 8000)
    text.write_text("no sound")
    folder.mkdir()
    return {f"s/{path.name}": path for path in (good, text, folder)}


def test_each_is_read_or_reported(paths, tmp_path):
    source = fingerprint(paths["s/good.wav"])
    sounds, failed = read_each(read_sound, paths, root=tmp_path)
    assert sounds == {"s/good.wav": Sound(0.5, source)}
    assert failed.pop("s/text.wav").startswith("cannot be read as sound (")
    assert failed == {"s/folder.wav": "is a folder"}
    sources, failed = read_each(fingerprint, paths, root=tmp_path)
    assert sources == {"s/good.wav": source, "s/text.wav": fingerprint(paths["s/text.wav"])}
    assert failed == {"s/folder.wav": "is a folder"}


@pytest.mark.parametrize("read", [read_sound, fingerprint])
def test_strict_raises_at_the_first(paths, tmp_path, read):
    with pytest.raises(UnusableSound, match=r"folder\.wav is a folder\. Replace it, or leave"):
        read_each(read, {"s/": paths["s/folder.wav"], **paths}, root=tmp_path, strict=True)


def test_an_unreadable_file_is_reported(paths, tmp_path, monkeypatch):
    def denied(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)  # root may read every file
    _, failed = read_each(fingerprint, paths, root=tmp_path)
    assert failed["s/good.wav"] == "cannot be opened (Permission denied)"


def test_each_step_has_its_rows_in_the_list(tmp_path, capsys):
    path, summary = tmp_path / "failed_files.csv", Summary()
    assert report_failed(summary, tmp_path, "a", {}) == 0
    assert not path.exists()
    failed = {"s/y": "is odd", 's/"x,\udcff': "is\nodder"}
    assert report_failed(summary, tmp_path, "a", failed) == 3
    assert 'left out:\n  - s/y is odd\n  - s/"x,\\udcff is\\nodder\n' in capsys.readouterr().out
    assert report_failed(summary, tmp_path, "b", {"s/z": "is gone"}) == 3
    assert [cells for _, cells in read_csv(path)] == [
        ["step", "file", "reason"],
        ["a", 's/"x,\\udcff', "is\nodder"],
        ["a", "s/y", "is odd"],
        ["b", "s/z", "is gone"],
    ]
    assert report_failed(summary, tmp_path, "a", {}) == 0
    assert [cells[0] for _, cells in read_csv(path)] == ["step", "b"]
    assert report_failed(summary, tmp_path, "b", {}) == 0
    assert not path.exists()


def test_what_is_odd_is_listed_in_a_file_of_its_own(tmp_path, capsys):
    report_noted(Summary(), tmp_path, "a", {"s/x": "is digital silence"})
    assert "used, but odd:\n  - s/x is digital silence\n" in capsys.readouterr().out
    rows = [cells for _, cells in read_csv(tmp_path / "noted_files.csv")]
    assert rows == [["step", "file", "note"], ["a", "s/x", "is digital silence"]]
    report_noted(Summary(), tmp_path, "a", {})
    assert list(tmp_path.iterdir()) == []


def test_another_file_of_that_name_is_not_overwritten(tmp_path):
    (tmp_path / "failed_files.csv").write_text("my,notes\n")
    with pytest.raises(InputError, match=r"not a list of failed files .* Move it away"):
        report_failed(Summary(), tmp_path, "a", {"s/x": "is odd"})
    assert (tmp_path / "failed_files.csv").read_text() == "my,notes\n"
