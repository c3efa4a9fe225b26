import os

import pytest

from utils.errors import InputError
from utils.sound_folder import SUFFIXES, Changes, SoundFile, look, read_list, write_list


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_the_suffixes_are_those_of_the_audio_library():
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"} <= SUFFIXES


def test_a_folders_files_come_before_those_of_its_sub_folders_each_sorted(tmp_path):
    make(tmp_path, "z.wav", "a/b.wav", "a/a/c.wav", "a.WAV", "B/d.wav", ".hidden/e.wav", ".f.wav")
    make(tmp_path, "no suffix", "text.txt", "folder.wav/g.wav")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    found, changes = look(tmp_path, {})
    names = ["a.WAV", "z.wav", "B/d.wav", "a/b.wav", "a/a/c.wav", "folder.wav/g.wav"]
    assert list(found) == names
    assert changes == Changes(added=6, gone=0, duplicates=0)


def test_only_files_of_another_size_or_time_are_opened(tmp_path, monkeypatch):
    make(tmp_path, "a.wav", "b.wav", "c.wav")
    before, _ = look(tmp_path, {})
    os.utime(tmp_path / "b.wav", ns=(1, 1))
    (tmp_path / "c.wav").unlink()
    seen = []
    monkeypatch.setattr("utils.sound_folder.fingerprint", lambda path: seen.append(path) or "new")
    found, changes = look(tmp_path, before)
    assert seen == [tmp_path / "b.wav"]
    assert found == {"a.wav": before["a.wav"], "b.wav": SoundFile(5, 1, "new")}
    assert changes == Changes(added=1, gone=1, duplicates=0)


def test_equal_contents_have_one_source_and_others_that_look_alike_have_two(tmp_path, monkeypatch):
    make(tmp_path, "a.wav", "c.wav")
    (tmp_path / "b.wav").write_bytes(b"a.wav")
    monkeypatch.setattr("utils.sound_folder.fingerprint", lambda path: "alike")
    found, changes = look(tmp_path, {})
    assert found["a.wav"].source == found["b.wav"].source == "alike"
    assert found["c.wav"].source.startswith("alike, ")
    assert changes.duplicates == 1


def test_a_list_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "files.json"
    assert read_list(path) == {}
    found = {"a.wav": SoundFile(1, 2, "s"), "caf\udce9.wav": SoundFile(1, 2, None, "is a pipe")}
    write_list(path, tmp_path, found)
    assert read_list(path) == found


@pytest.mark.parametrize("content", ["[]", '{"format": 1}', '{"format": 1, "files": {"a": [1]}}'])
def test_a_list_of_somebody_else_is_refused(tmp_path, content):
    (tmp_path / "files.json").write_text(content)
    with pytest.raises(InputError, match=r"files\.json is no list of files .* Remove"):
        read_list(tmp_path / "files.json")
