"""Files that are written whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

from utils.runtime import interrupts
from utils.runtime.errors import InputError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: Literal["wb", "w+b", "w"] = "wb") -> Iterator[IO]:
    """Open a file for writing that appears under its name only when all of it is on the disk.

    The block writes to a temporary file, which replaces `path` when the block ends. If the block
    raises, the temporary file is removed, and an older file stays as it was. The folder is made if
    missing. Text is written as UTF-8, and its line ends are not translated.

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    path = Path(path)
    text_options = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    # Not the name of the file with an ending: that may already be as long as is allowed.
    start = "." + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    temporary = path.parent / f"{start}{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent.glob(f"{start}*.tmp"))
        with interrupts.deferred():
            try:
                with temporary.open(mode.replace("w", "x"), **text_options) as file:
                    with contextlib.suppress(OSError):  # the file system may not support locks
                        fcntl.flock(file, fcntl.LOCK_EX)
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}. Check that its folder may be written to and that the "
            "disk has room."
        ) from error


def _remove_abandoned(temporaries: Iterable[Path]) -> None:
    """Remove what killed processes left, which nobody holds; keep what is being written."""
    for path in temporaries:
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def write_if_changed(path: str | Path, content: bytes) -> bool:
    """Write a file atomically, unless it holds these bytes already; returns whether it was written.

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    with contextlib.suppress(OSError):
        if Path(path).read_bytes() == content:
            return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def require_room(folder: str | Path, size: int, what: str) -> None:
    """Check that the disk of a folder has room for `size` bytes.

    Raises
    ------
    InputError
        If it has not; `what` names that which needs the room.

    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{what} needs {size / 1e9:.2f} GB, and the disk of {folder} has {free / 1e9:.2f} GB "
            "free. Free some space and run the same command again."
        )
