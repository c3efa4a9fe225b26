"""Folders of intermediate results, each held by one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from utils.errors import InputError

_LOCK = "lock"  # a file in the folder


class FolderLock:
    """A folder that no other process holds, made if missing; a context manager.

    The end of the process lets go of it, however it comes. The lock lies on a file that is open
    for writing, since NFS knows no other, and the folder may be one that several machines see.

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
        with explained(path):
            self._descriptor: int | None = _locked(path)

    def remove(self) -> None:
        """Delete the folder and all files in it."""
        with explained(self.path):
            # The lock goes last: who finds the folder without it holds it, and may write to it.
            for file in self.path.iterdir():
                if file.name != _LOCK:
                    file.unlink()
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
def explained(path: Path) -> Iterator[None]:
    """Turn an error of the operating system at a folder for intermediate results into ours."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot keep intermediate results in {path}: {error.strerror or error}. Check that "
            "its folder may be written to and that the disk has room."
        ) from error


def _locked(path: Path) -> int:
    """Make a folder if need be, and lock it for this process; returns the file descriptor."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # another run has just removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other run may have removed the folder between opening and locking.
            if os.path.samestat(os.fstat(descriptor), (path / _LOCK).stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"another run is writing {path.name.partition('.partial')[0]} (it holds {path}). "
                "Wait for it, or stop it; this run has changed nothing."
            ) from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
