"""Files of raw float32 records, each computed once, that only grow."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files.locks import FolderLock, as_input_error


def append_missing(
    path: Path,
    *,
    count: int,
    width: int,
    compute: Callable[[int], Iterator[NDArray[np.float32]]],
    progress: Callable[[int], Any],
) -> None:
    """Append the records that a file lacks; those of a run that was stopped are kept.

    Parameters
    ----------
    path : Path
        The file, made if missing.
    count, width : int
        Records that it shall hold at least, and numbers per record.
    compute : callable
        Number of the first missing record ─► it and those after it, some at a time, shape
        (some, width).
    progress : callable
        Number of missing records, if any ─► a context manager whose ``update`` counts records.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it.

    """
    size = 4 * width
    if not count or (path.exists() and path.stat().st_size >= size * count):
        return
    with FolderLock(path.with_name(path.name + ".partial")) as lock, as_input_error(path):
        with path.open("ab") as file:
            done = file.tell() // size
            file.truncate(size * done)  # without half a record
            with progress(count - done) as bar:
                for records in compute(done):
                    file.write(records.tobytes())
                    bar.update(len(records))
            file.flush()
            os.fsync(file.fileno())
        lock.remove()


def map_rows(path: Path, count: int, width: int) -> NDArray[np.float32]:
    """Map the first rows of a file of raw float32 numbers, shape (count, width), into memory."""
    if count == 0:  # an empty file cannot be mapped
        return np.empty((0, width), np.float32)
    return np.asarray(np.memmap(path, "<f4", mode="r", shape=(count, width)))
