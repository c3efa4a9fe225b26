"""Sounds copied or linked into a folder, under their own names."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, unreadable
from utils.search.exports.names import free_name

_READ_AT_ONCE = 2**20  # bytes


def copy(source: Path, folder: Path) -> Path:
    """Copy a file and its times; returns the new path."""
    target = free_name(folder, source.stem, source.suffix)
    with atomic_write(target) as file:
        for block in _blocks(source):
            file.write(block)
        file.flush()
        times = source.stat()
        os.utime(file.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
    return target


def symlink(source: Path, folder: Path) -> Path:
    """Link to the place of a file."""
    return _linked(source, folder, hard=False)


def hardlink(source: Path, folder: Path) -> Path:
    """Give a file a second name."""
    return _linked(source, folder, hard=True)


def room_for(sources: list[Path]) -> int:
    """Add up the bytes of files."""
    return sum(source.stat().st_size for source in sources)


def _linked(source: Path, folder: Path, *, hard: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target = free_name(folder, source.stem, source.suffix)
        place = source.resolve()
        if hard:
            target.hardlink_to(place)
        else:
            target.symlink_to(place)
    except OSError as error:
        other_disk = error.errno in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP)
        advice = "Export copies instead." if other_disk else "Check that it may be written to."
        raise InputError(f"cannot link {source} in {folder}: {error.strerror}. {advice}") from error
    return target


def _blocks(path: Path) -> Iterator[bytes]:
    """Read a file, and blame it for what goes wrong here."""
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_AT_ONCE):
                yield block
    except OSError as error:
        raise unreadable(path, error) from error
