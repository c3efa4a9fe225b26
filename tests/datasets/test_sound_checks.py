import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import break_disk
from utils.audio.sound_file import UnusableSound, fingerprint
from utils.datasets.sound_checks import (
    SoundFacts,
    list_wavs,
    read_each,
    read_sound,
    report_failed,
    report_noted,
    report_others,
)
from utils.files.tables import read_csv
from utils.runtime.errors import InputError, UnreadableError
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
    assert sounds == {"s/good.wav": SoundFacts(0.5, source)}
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


@pytest.mark.parametrize("read", [read_sound, fingerprint])
def test_a_disk_that_does_not_answer_stops_and_blames_no_file(paths, tmp_path, monkeypatch, read):
    break_disk(monkeypatch, paths["s/good.wav"])
    with pytest.raises(UnreadableError, match=r"^cannot read .*good\.wav: Input/output error"):
        read_each(read, paths, root=tmp_path)


def test_each_step_has_its_rows_in_the_list(tmp_path, capsys):
    path, summary = tmp_path / "failed_files.csv", Summary()
    assert report_failed(summary, tmp_path, "a", {}) == 0
    assert not path.exists()
    failed = {"s/y": "is odd", 's/"x,\udcff': "is\nodder"}
    assert report_failed(summary, tmp_path, "a", failed) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("2 files cannot be used: 1 is\\nodder, 1 is odd; left out:\n")
    assert 'left out:\n  - s/y is odd\n  - s/"x,\\udcff is\\nodder\n' in printed
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


def test_unusable_files_are_named_up_to_ten_or_all(tmp_path, capsys):
    failed = {f"s/{number:02}": "is odd" for number in range(12)}
    report_failed(Summary(), tmp_path, "a", failed)
    assert capsys.readouterr().out.count(" is odd\n") == 10
    report_failed(Summary(), tmp_path, "a", failed, list_all=True)
    assert capsys.readouterr().out.count(" is odd\n") == 12


def test_other_files_are_counted_or_listed(tmp_path, capsys):
    folders = {split: tmp_path / split for split in ("s", "t", "missing")}
    for name in ("s/a.wav", "s/b.wav", "s/b.txt", "s/._a.wav", "t/c.txt", "t/sub/d.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    report_others(Summary(), folders, list_wavs)
    counts = "4 other files: 2 .txt, 1 folder, 1 hidden; skipped"
    assert capsys.readouterr().out == f"{counts} (--list-skipped: which)\n"
    report_others(Summary(), folders, list_wavs, list_all=True)
    names = "".join(f"  - {name}\n" for name in ("s/._a.wav", "s/b.txt", "t/c.txt", "t/sub"))
    assert capsys.readouterr().out == f"{counts}:\n{names}"
    report_others(Summary(), {}, list_wavs)
    assert capsys.readouterr().out == ""


def test_another_file_of_that_name_is_not_overwritten(tmp_path):
    (tmp_path / "failed_files.csv").write_text("my,notes\n")
    with pytest.raises(InputError, match=r"not a list of failed files .* Move it away"):
        report_failed(Summary(), tmp_path, "a", {"s/x": "is odd"})
    assert (tmp_path / "failed_files.csv").read_text() == "my,notes\n"
