"""Rows of long work, kept as they are computed, so that it can be stopped at any moment.

A journal is a folder beside the file to be written. Rows are appended in two steps, vectors before
keys, and only what both hold counts when it is opened again: whatever moment the process was
killed at, at most the batch in flight is lost.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Batches = Iterator[tuple[Sequence[int], NDArray[np.float32]]]


class Journal:
    """Append-only rows of `width` float32 numbers, each under a text key.

    Parameters
    ----------
    path : Path
        Folder of the journal; made if missing, started anew if its origin differs.
    origin : dict
        What the rows are computed from and how (JSON-serialisable). Rows of another origin are
        worthless, so a journal with another origin is emptied.
    width : int
        Numbers per row.

    """

    def __init__(self, path: Path, *, origin: dict[str, Any], width: int) -> None:
        self.path = path
        self.width = width
        self._origin_file = path / "origin.json"
        self._rows_file = path / "rows.f32"
        self._keys_file = path / "keys.jsonl"
        wanted = json.dumps({"width": width, **origin}, sort_keys=True)
        if not self._origin_file.is_file() or self._origin_file.read_text("utf-8") != wanted:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            self._origin_file.write_text(wanted, encoding="utf-8")
        self.rows: dict[str, NDArray[np.float32]] = {}
        self._reopen()

    def append(self, keys: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows, shape (len(keys), width); they are on disk when this returns."""
        _append(self._rows_file, np.ascontiguousarray(rows, dtype="<f4").tobytes())
        _append(self._keys_file, "".join(json.dumps(key) + "\n" for key in keys).encode())
        self.rows.update(zip(keys, rows, strict=True))

    def remove(self) -> None:
        """Delete the journal, after its rows have been written to their final file."""
        shutil.rmtree(self.path)

    def _reopen(self) -> None:
        """Read what both files hold, and cut off what only one of them does."""
        if not (self._rows_file.is_file() and self._keys_file.is_file()):
            self._rows_file.write_bytes(b"")
            self._keys_file.write_bytes(b"")
            return
        lines = self._keys_file.read_bytes().split(b"\n")[:-1]  # a half-written one has no end
        row_bytes = 4 * self.width
        count = min(len(lines), self._rows_file.stat().st_size // row_bytes)
        os.truncate(self._rows_file, count * row_bytes)
        os.truncate(self._keys_file, sum(len(line) + 1 for line in lines[:count]))
        rows = np.fromfile(self._rows_file, dtype="<f4").reshape(count, self.width)
        self.rows = dict(zip(map(json.loads, lines[:count]), rows, strict=True))


def compute_missing(
    journal: Journal,
    keys: Sequence[str],
    compute: Callable[[list[int]], Batches],
    *,
    advance: Callable[[int], Any] = lambda count: None,
) -> NDArray[np.float32]:
    """Compute the rows that a journal lacks, keeping each batch as it comes.

    Parameters
    ----------
    journal : Journal
    keys : sequence of N distinct str
        The wanted rows, in order.
    compute : callable
        Takes the positions (into `keys`) still missing; yields pairs of positions and their rows,
        in any order.
    advance : callable
        Told how many wanted rows are newly available, the ones found in the journal first.

    Returns
    -------
    ndarray, shape (N, width), float32

    """
    missing = [i for i, key in enumerate(keys) if key not in journal.rows]
    advance(len(keys) - len(missing))
    if missing:
        for positions, rows in compute(missing):
            journal.append([keys[i] for i in positions], rows)
            advance(len(positions))
    return _stack((journal.rows[key] for key in keys), len(keys), journal.width)


def _stack(rows: Iterable[NDArray], count: int, width: int) -> NDArray[np.float32]:
    result = np.empty((count, width), dtype=np.float32)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
