"""Rows of long work, kept as they are computed, so that it can be stopped at any moment.

A journal is a folder beside the file to be written. Rows are appended in two steps, vectors before
keys, and only what both hold counts when it is opened again: whatever moment the process was
killed at, at most the batch in flight is lost.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import InputError

Batches = Iterator[tuple[Sequence[int], NDArray[np.float32]]]


class Journal:
    """Append-only rows of `width` float32 numbers, each under a text key; a context manager.

    Parameters
    ----------
    path : Path
        Folder of the journal; made if missing, started anew if its origin differs.
    origin : dict
        What the rows are computed from and how (JSON-serialisable). Rows of another origin are
        worthless, so a journal with another origin is emptied.
    width : int
        Numbers per row.

    Raises
    ------
    InputError
        If another process has this journal open, or it cannot be written.

    """

    def __init__(self, path: Path, *, origin: dict[str, Any], width: int) -> None:
        self.path = path
        self.width = width
        self._origin_file = path / "origin.json"
        self._rows_file = path / "rows.f32"
        self._keys_file = path / "keys.jsonl"
        self.rows: dict[str, NDArray[np.float32]] = {}
        wanted = json.dumps({"width": width, **origin}, sort_keys=True)
        with _explained(path):
            self._lock = _lock_folder(path)
            if not self._origin_file.is_file() or self._origin_file.read_text("utf-8") != wanted:
                for file in (self._origin_file, self._rows_file, self._keys_file):
                    file.unlink(missing_ok=True)
                self._origin_file.write_text(wanted, encoding="utf-8")
            self._reopen()

    def append(self, keys: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows, shape (len(keys), width); they are on disk when this returns."""
        with _explained(self.path):
            _append(self._rows_file, np.ascontiguousarray(rows, dtype="<f4").tobytes())
            _append(self._keys_file, "".join(json.dumps(key) + "\n" for key in keys).encode())
        self.rows.update(zip(keys, rows, strict=True))

    def remove(self) -> None:
        """Delete the journal, after its rows have been written to their final file."""
        shutil.rmtree(self.path)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        """Let others open the journal; the end of the process does so too, however it comes."""
        os.close(self._lock)

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


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder for intermediate results if need be, and keep other runs out of it.

    Raises
    ------
    InputError
        If another process holds it, or it cannot be made.

    """
    with _explained(folder):
        lock = _lock_folder(folder)
    try:
        yield
    finally:
        os.close(lock)


def compute_missing(
    journal: Journal,
    keys: Sequence[str],
    start: Callable[[], Callable[[list[int]], Batches]],
    *,
    advance: Callable[[int], Any] = lambda count: None,
) -> NDArray[np.float32]:
    """Compute the rows that a journal lacks, keeping each batch as it comes.

    Parameters
    ----------
    journal : Journal
    keys : sequence of N distinct str
        The wanted rows, in order.
    start : callable
        Loads the network; called only if something is missing. Returns a function that takes the
        positions (into `keys`) still missing and yields pairs of positions and their rows, in any
        order.
    advance : callable
        Told how many wanted rows are newly available, the ones found in the journal first.

    Returns
    -------
    ndarray, shape (N, width), float32

    Raises
    ------
    InputError
        If a computed row is not finite; the rows before it are kept.

    """
    missing = [i for i, key in enumerate(keys) if key not in journal.rows]
    advance(len(keys) - len(missing))
    if missing:
        for positions, rows in start()(missing):
            for i, row in zip(positions, rows, strict=True):
                if not np.isfinite(row).all():
                    raise InputError(
                        f"the network gives NaN or infinite numbers for {keys[i]}. Look at that "
                        "input, or set precision: fp32."
                    )
            journal.append([keys[i] for i in positions], rows)
            advance(len(positions))
    return _stack((journal.rows[key] for key in keys), len(keys), journal.width)


def _stack(rows: Iterable[NDArray], count: int, width: int) -> NDArray[np.float32]:
    result = np.empty((count, width), dtype=np.float32)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def _lock_folder(path: Path) -> int:
    """Make a folder if need be, and lock it for this process; returns the file descriptor."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"another run is writing {path.name.removesuffix('.partial')} (it holds {path}). "
                "Wait for it, or stop it; this run has changed nothing."
            ) from None
        # The other run may have finished, and removed the folder, between opening and locking.
        if path.is_dir() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot keep intermediate results in {path}: {error.strerror or error}. Check that "
            "its folder may be written to and that the disk has room."
        ) from error


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
