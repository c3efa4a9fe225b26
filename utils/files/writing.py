"""Files that are written whole or not at all."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from utils.files.locks import hold
from utils.runtime import interrupts
from utils.runtime.errors import InputError


@contextlib.contextmanager
def atomic_write(
    path: str | Path, mode: Literal["wb", "w+b", "w"] = "wb", *, encoding: str = "utf-8"
) -> Iterator[IO]:
    """Open a file for writing that appears under its name only when all of it is on the disk.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder is made where it is missing.
    mode : "wb", "w+b" or "w"
        Bytes, bytes that can be read back while writing, or text, whose line ends are not
        translated.
    encoding : str
        Of text; ignored for bytes.

    Yields
    ------
    file object
        A temporary file beside `path`. It takes the place of `path` when the block ends, and is
        removed when the block raises: an older file then stays as it was.

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    path = Path(path)
    text_options = {} if "b" in mode else {"encoding": encoding, "newline": ""}
    try:
        # Deferred, so that nothing is raised once another process may have the temporary file.
        with interrupts.deferred(), _temporary(path) as (descriptor, temporary):
            with open(descriptor, mode, closefd=False, **text_options) as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}. Check that its folder may be written to and that the "
            f"disk has room."
        ) from error


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[int, Path]]:
    """Hold the one temporary file of a file, empty; it is removed if the block raises.

    As every write to the same file takes the same one, none is left behind for good by a process
    that was killed; and as it is locked, none is taken from a process that is at work.
    """
    # Of its own length, because the name of the file itself may already be as long as is allowed.
    name = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:16]
    temporary = path.parent / f".{name}.tmp"
    try:
        descriptor = hold(temporary)
    except BlockingIOError:
        raise InputError(
            f"another run is writing {path} at this moment. Wait for it, or stop it."
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        yield descriptor, temporary
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_if_changed(path: str | Path, content: bytes) -> bool:
    """Write a file atomically, unless it holds these bytes already.

    Parameters
    ----------
    path : str or Path
    content : bytes

    Returns
    -------
    bool
        Whether the file was written.

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
