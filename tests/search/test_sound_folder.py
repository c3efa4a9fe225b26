import hashlib
import os

import pytest

from tests.support import break_disk, noting
from utils.runtime.errors import InputError
from utils.search import sound_folder
from utils.search.database import Database
from utils.search.file_table import ListedFile, files_in, folders
from utils.search.sound_folder import Changes, scan_folder


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


@pytest.fixture
def database(tmp_path_factory):
    return Database.create(tmp_path_factory.mktemp("index") / "library.sqlite")


@pytest.fixture
def scan(database):
    """Scan a folder; returns all files that are known then, and what changed."""

    def scan(folder):
        changes = scan_folder(folder, database)
        return listed(database), changes

    return scan


def listed(database):
    tops = sorted(folders(database))
    return {top + name: file for top in tops for name, file in files_in(database, top).items()}


def test_sounds_are_found_in_a_folder_and_its_sub_folders(tmp_path, scan):
    make(tmp_path, "z.wav", "a/b.wav", "a/a/c.wav", "a.WAV", "B/d.wav", ".hidden/e.wav", ".f.wav")
    make(tmp_path, "no suffix", "text.txt", "folder.wav/g.wav")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a/link.wav").symlink_to(tmp_path, target_is_directory=True)
    found, changes = scan(tmp_path)
    names = ["a.WAV", "z.wav", "B/d.wav", "a/b.wav", "a/a/c.wav", "folder.wav/g.wav"]
    assert found.keys() == set(names)
    others = {
        ".f.wav": "hidden",
        ".hidden": "hidden",
        "a/link.wav": "symlinked folder",
        "link": "symlinked folder",
        "no suffix": "without an ending",
        "text.txt": ".txt",
    }
    assert changes == Changes(added=6, gone=0, duplicates=0, others=others)


def test_only_files_of_another_size_or_time_are_read(tmp_path, scan):
    make(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    before, _ = scan(tmp_path)
    for name in ("a.wav", "b.wav"):  # other contents of the same size, one at the same time
        (tmp_path / name).write_bytes(b"12345")
    os.utime(tmp_path / "a.wav", ns=(1, before["a.wav"].mtime_ns))
    os.utime(tmp_path / "b.wav", ns=(1, 1))
    (tmp_path / "c.wav").unlink()
    found, changes = scan(tmp_path)
    assert found["a.wav"] == before["a.wav"]
    assert found["b.wav"] == ListedFile(5, 1, hashlib.sha256(b"12345").hexdigest())
    assert found["d.wav"] == before["d.wav"]
    assert changes == Changes(added=1, gone=1, duplicates=0)


def test_a_link_changes_with_what_it_leads_to(tmp_path, scan):
    make(tmp_path, "sub/a.wav")
    (tmp_path / "link.wav").symlink_to("sub/a.wav")
    before, _ = scan(tmp_path)
    (tmp_path / "sub/a.wav").write_bytes(b"something else")
    found, _ = scan(tmp_path)
    assert found["link.wav"].source == found["sub/a.wav"].source != before["link.wav"].source


def test_unreadable_files_are_tried_again(tmp_path, scan):
    make(tmp_path, "good.wav")
    (tmp_path / "link.wav").symlink_to("later.dat")
    (tmp_path / "round.wav").symlink_to("round.wav")
    before, _ = scan(tmp_path)
    assert before["link.wav"].reason == "is a broken symlink (to later.dat)"
    assert before["round.wav"].reason.startswith("cannot be opened (Too many levels")
    make(tmp_path, "later.dat")
    found, changes = scan(tmp_path)
    assert found["link.wav"].source
    assert found["round.wav"] == before["round.wav"]
    assert changes.added == 1


@pytest.mark.parametrize("name", ["a.wav", "without an ending"])
def test_a_file_whose_disk_does_not_answer_is_no_other_file(tmp_path, monkeypatch, name, scan):
    make(tmp_path, name, "b.wav")
    break_disk(monkeypatch, tmp_path / name)
    found, changes = scan(tmp_path)
    assert found[name].source is None
    assert found[name].reason == "cannot be read (Input/output error)"
    assert changes.others == {}


def test_an_unreadable_sub_folder_is_listed_among_the_files(tmp_path, monkeypatch, scan):
    make(tmp_path, "a.wav", "lost+found/b.wav", "sub/c.wav")
    scandir = os.scandir

    def refuse(path):
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, _ = scan(tmp_path)
    assert found.keys() == {"a.wav", "lost+found/", "sub/c.wav"}
    assert found["lost+found/"].reason == "cannot be read (Permission denied)"
    with pytest.raises(InputError, match=r"cannot list the sounds of .*found: Permission denied"):
        scan(tmp_path / "lost+found")


def test_a_folder_without_sounds_is_refused(tmp_path, scan):
    make(tmp_path, "a.txt", "sub/b.txt", ".wav")
    message = r"no sounds in .*: no file there ends in \.wav.* holds 3 other files: 2 \.txt, 1 hid"
    with pytest.raises(InputError, match=message):
        scan(tmp_path)


def test_what_was_read_before_an_interruption_is_kept(tmp_path, database, monkeypatch):
    make(tmp_path, "a.wav", "b.wav", "c.wav")
    monkeypatch.setattr(sound_folder, "_KEPT_AFTER", 0)
    check = sound_folder.check_sound_file

    def interrupted(path, **options):
        if path.name == "c.wav":
            raise KeyboardInterrupt
        check(path, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sound_folder, "check_sound_file", interrupted)
        scan_folder(tmp_path, database)
    assert listed(database).keys() == {"a.wav", "b.wav"}
    assert scan_folder(tmp_path, database).added == 1


def test_files_of_folders_that_are_gone_are_gone(tmp_path, scan):
    make(tmp_path, "a.wav", "sub/b.wav", "sub/c.wav", "sub/deeper/d.wav")
    scan(tmp_path)
    (tmp_path / "sub").rename(tmp_path / "moved")
    found, changes = scan(tmp_path)
    assert found.keys() == {"a.wav", "moved/b.wav", "moved/c.wav", "moved/deeper/d.wav"}
    assert changes == Changes(added=3, gone=3, duplicates=0)


def test_the_number_of_files_that_were_looked_at_is_told(tmp_path, database):
    make(tmp_path, "a.wav", "b.wav", "sub/c.wav", "text.txt")
    bars = []
    for known in (0, 3):
        scan_folder(tmp_path, database, looking=noting(bars))
        assert (bars[-1].total, bars[-1].done) == (known, 3)
