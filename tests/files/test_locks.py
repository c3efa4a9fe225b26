import errno
import fcntl
import os
import shutil
import signal

import pytest

from tests.support import run_python
from utils.files.locks import FolderLock, LockFile, only_run
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.hdf5.partial"


def run(command, folder):
    with only_run(command, folder):
        pass


def test_a_lock_file_is_held_by_one_and_stays(path):
    first, second = LockFile(path / ".lock"), LockFile(path / ".lock")
    assert first.try_to_hold()
    assert first.try_to_hold()  # still
    assert not second.try_to_hold()
    first.release()
    assert second.try_to_hold()
    second.release()
    assert [p.name for p in path.iterdir()] == [".lock"]


def test_a_killed_process_leaves_no_lock(path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from utils.files.locks import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run_python(program, path, status=-signal.SIGKILL)
    assert (path / "lock").exists()
    with FolderLock(path):
        pass


@pytest.mark.parametrize("end", ["", ".12"])
def test_a_folder_is_held_by_one(path, end):
    path = path.with_name(path.name + end)
    for _ in range(2):
        with (
            FolderLock(path),
            pytest.raises(InputError, match=r"another run is writing x\.hdf5"),
        ):
            FolderLock(path)


def test_a_removed_folder_is_gone_and_can_be_held_again(path):
    with FolderLock(path) as lock:
        (path / "model").mkdir()
        (path / "model/a.txt").touch()
        (path / "rows").touch()
        lock.remove()
        assert not path.exists()
        with FolderLock(path):
            assert [p.name for p in path.iterdir()] == ["lock"]
    assert path.exists()


@pytest.mark.parametrize("removed", ["lock", ""])
def test_a_lock_that_its_holder_removes_meanwhile_is_not_held(path, monkeypatch, removed):
    """A process may open the lock file just before the holder removes it and lets go."""
    real, lock = fcntl.flock, LockFile(path / "lock")

    def late(descriptor, operation):
        shutil.rmtree(path)
        if removed:
            path.mkdir()
        real(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        assert not lock.try_to_hold()
    assert lock.try_to_hold()
    lock.release()


def test_one_run_of_a_command_writes_to_a_folder(tmp_path):
    folder = tmp_path / "processed"
    with only_run("01_preprocess", folder):
        with pytest.raises(InputError, match=r"another run of 01_preprocess is writing to .*sed"):
            run("01_preprocess", folder)
        with only_run("audit_leakage", folder):
            (folder / "leakage.csv").touch()
    assert [p.name for p in folder.iterdir()] == ["leakage.csv"]


def test_a_run_that_writes_nothing_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="no"), only_run("x", tmp_path / "a/b"):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    run("x", tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_symlink_is_not_taken_for_a_lock_file(tmp_path):
    (tmp_path / "mine").write_text("content")
    (tmp_path / ".x.lock").symlink_to("mine")
    with pytest.raises(InputError, match="symbolic link"):
        run("x", tmp_path)
    assert (tmp_path / "mine").read_text() == "content"


def test_a_folder_that_cannot_be_written_to_is_one_error(tmp_path, path):
    path.touch()
    with pytest.raises(InputError, match=r"cannot write to .*partial/a: .*the disk has room"):
        run("x", path / "a")
    with pytest.raises(InputError, match=r"cannot keep intermediate results in .*x\.hdf5\.partial"):
        FolderLock(path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_error_that_says_how_to_go_on(path, monkeypatch, code):
    def unsupported(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    message = rf"does not support locks \({os.strerror(code)}\).* can be read\. To write, name"
    for hold in (lambda: run("x", path), lambda: FolderLock(path)):
        with pytest.raises(InputError, match=message):
            hold()
    with atomic_write(path / "file") as file:  # a file that is written whole needs no lock
        file.write(b"content")
    assert (path / "file").read_bytes() == b"content"
