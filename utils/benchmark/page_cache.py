"""The system's cache of files: dropped without root, as far as other processes leave them."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_STEP = 1 << 20  # bytes between the places that are looked at


def drop_pages(*places: Path) -> float | None:
    """Drop files, and those of this Python environment, from memory.

    Parameters
    ----------
    places : sequence of Path
        Files, and folders with all that is in them.

    Returns
    -------
    float or None
        The share that stayed, because other processes have it mapped; None if this system cannot
        drop or look.

    """
    if not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
        return None
    stayed = looked_at = 0
    for path in _files(Path(sys.prefix), *places):
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for offset in range(0, os.fstat(file.fileno()).st_size, _STEP):
                looked_at += 1
                stayed += _is_in_memory(file.fileno(), offset)
    return stayed / max(1, looked_at)


def _files(*places: Path) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        for top, folders, names in os.walk(place):
            folders[:] = [name for name in folders if name not in (".git", "outputs")]
            yield from (Path(top, name) for name in names)


def _is_in_memory(file: int, offset: int) -> bool:
    """Whether a byte can be read without waiting for the disk."""
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
