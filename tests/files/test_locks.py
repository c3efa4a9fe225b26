import fcntl
import os
import shutil

import pytest

from utils.files import locks
from utils.files.locks import FolderLock, only_run
from utils.runtime.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.hdf5.partial"


def test_a_folder_is_held_by_one(path):
    with FolderLock(path), pytest.raises(InputError, match=r"another run is writing x\.hdf5 \("):
        FolderLock(path)
    with FolderLock(path):
        pass


def test_numbered_folders_are_named_after_their_file_too(path):
    numbered = path.with_name(path.name + ".12")
    with (
        FolderLock(numbered),
        pytest.raises(InputError, match=r"another run is writing x\.hdf5 \("),
    ):
        FolderLock(numbered)


def test_the_lock_lies_on_a_file_open_for_writing(path):
    """NFS refuses an exclusive lock on anything else."""
    lock = FolderLock(path)
    flags = fcntl.fcntl(lock._descriptor, fcntl.F_GETFL)
    assert flags & (os.O_WRONLY | os.O_RDWR)
    lock.release()


def test_a_removed_folder_is_gone_and_can_be_held_again(path):
    with FolderLock(path) as lock:
        (path / "rows").touch()
        lock.remove()
        assert not path.exists()
        with FolderLock(path):
            assert [p.name for p in path.iterdir()] == ["lock"]
    assert path.exists()


def test_a_folder_removed_just_before_it_is_locked_is_made_again(path, monkeypatch):
    real = fcntl.flock
    removed = []

    def late(descriptor, operation):
        if not removed:
            removed.append(path)
            shutil.rmtree(path)
        real(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with FolderLock(path):
        assert removed
        with pytest.raises(InputError, match="another run"):
            FolderLock(path)


def test_folders_in_a_held_folder_are_removed_too(path):
    with FolderLock(path) as lock:
        (path / "model").mkdir()
        (path / "model/a.txt").touch()
        lock.remove()
    assert not path.exists()


def test_one_run_of_a_script_writes_to_a_folder(tmp_path):
    folder = tmp_path / "processed"
    with only_run("01_preprocess", folder):
        with (
            pytest.raises(InputError, match=r"another run of 01_preprocess is writing to .*sed \("),
            only_run("01_preprocess", folder),
        ):
            pass
        with only_run("audit_leakage", folder):
            (folder / "leakage.csv").touch()
    assert [p.name for p in folder.iterdir()] == ["leakage.csv"]


def test_a_run_that_writes_nothing_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="no"), only_run("x", tmp_path / "a/b"):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with only_run("x", tmp_path / "mine"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_to_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot write to .*file/a: .*knows file locks"),
        only_run("x", tmp_path / "file/a"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_one_error(path):
    path.touch()
    with pytest.raises(InputError, match=r"cannot keep intermediate results in .*x\.hdf5\.partial"):
        FolderLock(path)
