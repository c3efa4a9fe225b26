import errno
import os
import shutil

import pytest

from tests.crashes import crashes
from utils.files import writing
from utils.runtime.errors import InputError


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, content):
    with writing.atomic_write(path) as file:
        file.write(content)


def test_atomic_write_makes_folders_and_leaves_one_file(tmp_path):
    path = tmp_path / "a" / "b" / ("x" * 255)  # the longest name
    with writing.atomic_write(path) as file:
        file.write(b"\x00\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\r\n"
    assert names_in(path.parent) == [path.name]


def test_atomic_write_keeps_text_as_it_is(tmp_path):
    with writing.atomic_write(tmp_path / "t", "w") as file:
        file.write("é\r\nx\n")
    assert (tmp_path / "t").read_bytes() == "é\r\nx\n".encode()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_write_leaves_the_old_file_when_the_block_fails(tmp_path, error):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(error), writing.atomic_write(path) as file:
        file.write(b"new, half")
        raise error
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["f"]


def test_atomic_write_gives_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "atomic", b"")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_atomic_write_says_what_it_cannot_write(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*file/below.*disk has room"):
        write(tmp_path / "file" / "below", b"")
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "folder", b"")
    assert names_in(tmp_path) == ["file", "folder"]


def test_atomic_write_is_whole_wherever_it_is_killed_and_the_next_clears_up(tmp_path):
    path = tmp_path / "new" / "f"
    killed = set()
    for number in crashes(lambda: write(path, b"first"), tmp_path):
        assert not path.exists() or path.read_bytes() == b"first"
        killed.add(number)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
    assert len(killed) >= 6
    for number in crashes(lambda: write(path, b"second, longer"), tmp_path):
        assert path.read_bytes() in (b"first", b"second, longer")
        killed.add(-1 - number)
        if number % 2:
            write(path, b"first")
            assert names_in(path.parent) == ["f"]
    assert path.read_bytes() == b"second, longer"
    assert names_in(path.parent) == ["f"]


def test_two_at_once_do_not_mix_and_the_last_is_kept(tmp_path):
    path = tmp_path / "f"
    with writing.atomic_write(path) as file:
        file.write(b"of the first")
        file.flush()
        write(path, b"of the second")
        assert path.read_bytes() == b"of the second"
    assert path.read_bytes() == b"of the first"
    assert names_in(tmp_path) == ["f"]


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_write_that_fails_anywhere_leaves_the_old_file_alone(tmp_path, monkeypatch, fails):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if fails != "write":
        monkeypatch.setattr(os, fails, full)
    with (
        pytest.raises(InputError, match=r"cannot write .*No space"),
        writing.atomic_write(path) as f,
    ):
        f.write(b"new")
        if fails == "write":
            full()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["f"]


def test_write_if_changed_leaves_equal_files_alone(tmp_path):
    path = tmp_path / "f"
    assert writing.write_if_changed(path, b"1") is True
    os.utime(path, (1, 1))
    assert writing.write_if_changed(path, b"1") is False
    assert path.stat().st_mtime == 1
    assert writing.write_if_changed(path, b"2") is True
    assert path.read_bytes() == b"2"
