"""Files and folders that are held by one process at a time."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from utils.runtime.errors import InputError

_LOCK = "lock"  # a file in the folder


def hold(path: Path) -> int:
    """Open a file, made if missing along with its folder, and lock it for this process.

    The end of the process lets go of it, however it comes. The file is open for writing, as NFS
    knows no other exclusive lock. Whoever holds it may remove or rename it: one who had opened it
    before, and waited, then takes the file that has its name now.

    Returns
    -------
    int
        The file descriptor; closing it lets other processes have the file.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    OSError
        If it cannot be opened, or the disk knows no locks.

    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            continue  # another run has just removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have removed or renamed the file between opening and locking.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def only_run(script: str, folder: Path) -> Iterator[None]:
    """Let no other run of a script write to a folder while the block runs.

    Parameters
    ----------
    script : str
        Its name, without folder and ending.
    folder : Path
        Made if missing, and removed again if it stays empty.

    Raises
    ------
    InputError
        If another run is at work, or the folder cannot be written to.

    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / f".{script}.lock"
    try:
        descriptor = hold(path)
    except BlockingIOError:
        raise InputError(
            f"another run of {script} is writing to {folder} (it holds {path}). Wait for it, or "
            "stop it; this run has changed nothing."
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error}. Check that it may be written to, that the disk "
            "has room and that it knows file locks."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


class FolderLock:
    """A folder that no other process holds, made if missing; a context manager.

    The folder may be one that several machines see.

    Parameters
    ----------
    path : Path
        Its name is that of the file it belongs to, and ``.partial`` with whatever follows.

    Raises
    ------
    InputError
        If another process holds the folder, or it cannot be made.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with as_input_error(path):
            try:
                self._descriptor: int | None = hold(path / _LOCK)
            except BlockingIOError:
                raise InputError(
                    f"another run is writing {path.name.partition('.partial')[0]} (it holds "
                    f"{path}). Wait for it, or stop it; this run has changed nothing."
                ) from None

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        with as_input_error(self.path):
            # The lock goes last: who finds the folder without it holds it, and may write to it.
            for entry in self.path.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry.name != _LOCK:
                    entry.unlink()
            (self.path / _LOCK).unlink()
        # Two tries, as NFS keeps a file that is open under another name until it is closed. Neither
        # may succeed where another process has taken the folder over.
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self.release()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextlib.contextmanager
def as_input_error(path: Path) -> Iterator[None]:
    """Turn an error of the operating system at a folder for intermediate results into ours."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot keep intermediate results in {path}: {error.strerror or error}. Check that "
            "its folder may be written to and that the disk has room."
        ) from error
