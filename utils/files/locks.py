"""Files and folders that one process holds at a time."""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from utils.runtime.errors import InputError, out_of_memory

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what disks without locks answer

_POLL = 0.1  # seconds


class LockFile:
    """A file that one process holds at a time, by a lock of the file system.

    The file is made if missing, with its folder; a symlink is refused. However the process ends,
    the lock ends with it. The empty file stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)

    def try_to_hold(self) -> bool:
        """Hold the file, without waiting for it; returns False if another process holds it.

        Raises
        ------
        InputError
            If the file system does not support locks.
        OSError
            If it cannot be opened.

        """
        if not self._lock.is_locked:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except (Timeout, FileNotFoundError):  # not found: its holder is removing the folder
                return False
            except OSError as error:
                if error.errno in _UNSUPPORTED:
                    raise _without_locks(self.path, error) from error
                raise
        return True

    def wait_to_hold(self) -> None:
        """Hold the file, waiting for the process that holds it; for errors see `try_to_hold`."""
        while not self.try_to_hold():
            time.sleep(_POLL)

    def release(self) -> None:
        """Let other processes hold the file."""
        self._lock.release()


@contextlib.contextmanager
def only_run(command: str, folder: Path) -> Iterator[None]:
    """Let no other run of a command write to a folder while the block runs.

    The folder is made if missing, and removed again if it stays empty.

    Raises
    ------
    InputError
        If another run is writing to the folder, or it cannot be written to.

    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = LockFile(folder / f".{command}.lock")
    try:
        held = lock.try_to_hold()
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error}. Check that it may be written to and that the disk "
            "has room."
        ) from error
    if not held:
        raise InputError(
            f"another run of {command} is writing to {folder} (it holds {lock.path}). Wait for it "
            "or stop it; this run has changed nothing."
        )
    try:
        yield
    finally:
        # Removed while it is held: filelock takes no lock on a file that has been removed.
        with contextlib.suppress(OSError):
            lock.path.unlink()
        lock.release()
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


class FolderLock:
    """A folder for intermediate results that no other process holds; a context manager.

    It is made if missing. Its name is that of the file it belongs to, then ``.partial``, then
    anything. Several machines may share it.

    Raises
    ------
    InputError
        If another process holds the folder, or it cannot be made.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = LockFile(path / "lock")
        with as_input_error(path):
            held = self._lock.try_to_hold()
        if not held:
            raise InputError(
                f"another run is writing {path.name.partition('.partial')[0]} (it holds {path}). "
                "Wait for it or stop it; this run has changed nothing."
            )

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        with as_input_error(self.path):
            # The lock goes last: a process that finds the folder without it may write to it.
            for entry in self.path.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry != self._lock.path:
                    entry.unlink()
            self._lock.path.unlink()
        self.release()
        with contextlib.suppress(OSError):  # another process may have taken the folder over
            self.path.rmdir()

    def release(self) -> None:
        """Let other processes hold the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextlib.contextmanager
def as_input_error(path: Path) -> Iterator[None]:
    """Turn an error of the operating system at a folder for intermediate results into ours."""
    try:
        yield
    except OSError as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"cannot keep intermediate results in {path}: {error.strerror or error}. Check that "
            "its folder may be written to and that the disk has room."
        ) from error


def _without_locks(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot lock {path}: the file system does not support locks ({os.strerror(error.errno)}), "
        "so that two runs could write the same files. Its files can be read. To write, name a "
        "folder on another disk in the settings (input_path, output_path or --index), or mount "
        "this one with locks."
    )
