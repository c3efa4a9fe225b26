"""The peaks of a library by tag, so that a filter need not read the whole table.

In the table of a million passages, the numbers of one tag are scattered over gigabytes. In a file
of columns, in blocks of rows, they are two megabytes.

Shapes: R rows of the library's table, K tags.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files.raw_rows import append_missing, map_rows

_BLOCK = 4096  # rows; the rows after the last whole block are read from the table


class TagColumns:
    """A table, each of whose columns can be read on its own.

    Parameters
    ----------
    table : ndarray, shape (R, K), float16
        Rows are only ever added to it.
    path : Path
        The file; brought up to date.
    progress : callable
        See `utils.files.raw_rows.append_missing`; counts blocks.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it.

    """

    def __init__(
        self, table: NDArray[np.float16], path: Path, *, progress: Callable[[int], Any]
    ) -> None:
        self._table = table
        blocks, tags = len(table) // _BLOCK, table.shape[1]

        def transposed(first: int) -> Iterator[NDArray[np.float32]]:
            for block in range(first, blocks):
                rows = table[block * _BLOCK : (block + 1) * _BLOCK]
                yield np.ascontiguousarray(rows.T).reshape(1, -1).view("<f4")

        width = tags * _BLOCK // 2  # two in the place of one float32
        append_missing(path, count=blocks, width=width, compute=transposed, progress=progress)
        self._blocks = map_rows(path, blocks, width).view("<f2").reshape(blocks, tags, _BLOCK)

    def __getitem__(self, tag: int) -> NDArray[np.float32]:
        """Return the column of a tag, by its number: shape (R,)."""
        rest = self._table[len(self._blocks) * _BLOCK :, tag]
        return np.concatenate([self._blocks[:, tag].ravel(), rest]).astype(np.float32)
