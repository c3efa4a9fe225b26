"""The embeddings of a library in a file. Shapes: R rows of its table, D dimension of the space."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files.raw_rows import append_missing, map_rows
from utils.search.library import Library

_EMBEDDED_AT_ONCE = 16_384  # rows


def embed_library(
    library: Library,
    path: Path,
    embed: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    progress: Callable[[int], Any],
) -> NDArray[np.float32]:
    """Bring a file of embeddings, one per row of a library's table, up to date.

    Parameters
    ----------
    path : Path
        Raw float32 numbers, of one model alone; only missing rows are added.
    embed : callable
        Rows of the table (B, ...) ─► embeddings (B, D).
    progress : callable
        See `utils.files.raw_rows.append_missing`.

    Returns
    -------
    ndarray, shape (R, D), float32
        Read-only, memory-mapped.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it.

    """
    rows = len(library.table)
    width = embed(library.table[:1]).shape[1]

    def embedded(first: int) -> Iterator[NDArray[np.float32]]:
        for start in range(first, rows, _EMBEDDED_AT_ONCE):
            yield embed(library.table[start : start + _EMBEDDED_AT_ONCE])

    append_missing(path, count=rows, width=width, compute=embedded, progress=progress)
    return map_rows(path, rows, width)
