import hashlib
import os

import pytest

from tests.support import break_disk
from utils.runtime.errors import InputError
from utils.search.sound_folder import Changes, ListedFile, read_list, scan_folder, write_list


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_a_folders_files_come_before_those_of_its_sub_folders_each_sorted(tmp_path):
    make(tmp_path, "z.wav", "a/b.wav", "a/a/c.wav", "a.WAV", "B/d.wav", ".hidden/e.wav", ".f.wav")
    make(tmp_path, "no suffix", "text.txt", "folder.wav/g.wav")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a/link.wav").symlink_to(tmp_path, target_is_directory=True)
    found, changes = scan_folder(tmp_path, {})
    names = ["a.WAV", "z.wav", "B/d.wav", "a/b.wav", "a/a/c.wav", "folder.wav/g.wav"]
    assert list(found) == names
    others = {
        ".f.wav": "hidden",
        ".hidden": "hidden",
        "a/link.wav": "symlinked folder",
        "link": "symlinked folder",
        "no suffix": "without an ending",
        "text.txt": ".txt",
    }
    assert changes == Changes(added=6, gone=0, duplicates=0, others=others)


def test_only_files_of_another_size_or_time_are_read(tmp_path):
    make(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    before, _ = scan_folder(tmp_path, {})
    for name in ("a.wav", "b.wav"):  # other contents of the same size, one at the same time
        (tmp_path / name).write_bytes(b"12345")
    os.utime(tmp_path / "a.wav", ns=(1, before["a.wav"].mtime_ns))
    os.utime(tmp_path / "b.wav", ns=(1, 1))
    (tmp_path / "c.wav").unlink()
    found, changes = scan_folder(tmp_path, before)
    assert found["a.wav"] == before["a.wav"]
    assert found["b.wav"] == ListedFile(5, 1, hashlib.sha256(b"12345").hexdigest())
    assert found["d.wav"] is before["d.wav"]
    assert changes == Changes(added=1, gone=1, duplicates=0)


def test_a_link_changes_with_what_it_leads_to(tmp_path):
    make(tmp_path, "sub/a.wav")
    (tmp_path / "link.wav").symlink_to("sub/a.wav")
    before, _ = scan_folder(tmp_path, {})
    (tmp_path / "sub/a.wav").write_bytes(b"something else")
    found, _ = scan_folder(tmp_path, before)
    assert found["link.wav"].source == found["sub/a.wav"].source != before["link.wav"].source


def test_unreadable_files_are_tried_again(tmp_path):
    make(tmp_path, "good.wav")
    (tmp_path / "link.wav").symlink_to("later.dat")
    (tmp_path / "round.wav").symlink_to("round.wav")
    before, _ = scan_folder(tmp_path, {})
    assert before["link.wav"].reason == "is a broken symlink (to later.dat)"
    assert before["round.wav"].reason.startswith("cannot be opened (Too many levels")
    make(tmp_path, "later.dat")
    found, changes = scan_folder(tmp_path, before)
    assert found["link.wav"].source
    assert found["round.wav"] == before["round.wav"]
    assert changes.added == 1


@pytest.mark.parametrize("name", ["a.wav", "without an ending"])
def test_a_file_whose_disk_does_not_answer_is_no_other_file(tmp_path, monkeypatch, name):
    make(tmp_path, name, "b.wav")
    break_disk(monkeypatch, tmp_path / name)
    found, changes = scan_folder(tmp_path, {})
    assert found[name].source is None
    assert found[name].reason == "cannot be read (Input/output error)"
    assert changes.others == {}


def test_an_unreadable_sub_folder_is_listed_among_the_files(tmp_path, monkeypatch):
    make(tmp_path, "a.wav", "lost+found/b.wav", "sub/c.wav")
    scandir = os.scandir

    def refuse(path):
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, _ = scan_folder(tmp_path, {})
    assert list(found) == ["a.wav", "lost+found/", "sub/c.wav"]
    assert found["lost+found/"].reason == "cannot be read (Permission denied)"
    with pytest.raises(InputError, match=r"cannot list the sounds of .*found: Permission denied"):
        scan_folder(tmp_path / "lost+found", {})


def test_a_folder_without_sounds_is_refused(tmp_path):
    make(tmp_path, "a.txt", "sub/b.txt", ".wav")
    message = r"no sounds in .*: no file there ends in \.wav.* holds 3 other files: 2 \.txt, 1 hid"
    with pytest.raises(InputError, match=message):
        scan_folder(tmp_path, {})


def test_a_list_is_read_as_it_was_written_for_its_own_folder(tmp_path):
    path = tmp_path / "files.json"
    assert read_list(path, tmp_path) == {}
    found = {"a.wav": ListedFile(1, 2, "s"), "caf\udce9.wav": ListedFile(1, 2, None, "is a pipe")}
    write_list(path, tmp_path, found)
    assert read_list(path, tmp_path) == found
    assert read_list(path, tmp_path / "other") == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", ""),
        ('{"format": 1}', ""),
        ('{"format": 1, "files": {"a": [1]}}', ""),
        ('{"format": 99, "files": {}}', "format 99, not 1"),
    ],
)
def test_another_programs_list_is_refused(tmp_path, content, reason):
    (tmp_path / "files.json").write_text(content)
    message = rf"files\.json is not a list of sounds .*{reason}.* move that file away"
    with pytest.raises(InputError, match=message):
        read_list(tmp_path / "files.json", tmp_path)
