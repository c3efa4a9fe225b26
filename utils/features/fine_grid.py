"""Sounds on a grid of cells, half a second each: what PaSST says of every moment of a sound.

A window that PaSST takes has G cells (`models.passt.Passt.forward_cells`), and the windows of a
long sound overlap: a cell of the sound is the mean over the cells of all windows at its place.
A folder keeps one file per content, with D numbers per cell in 16 bits: 5 kB a second.

Shapes: W windows of a sound, G cells of a window, C cells of a sound, D numbers of a cell.
"""

import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS, HOP_SECONDS
from utils.files.locks import as_input_error
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError

_CELLS_OF_A_HOP = round(HOP_SECONDS / CELL_SECONDS)
_ORIGIN = "origin.json"


def count_cells(seconds: float) -> int:
    """Count the cells of a sound; the last may be incomplete."""
    return max(1, math.ceil(round(seconds / CELL_SECONDS, 6)))


def windows_before(cells_of_window: int) -> int:
    """Count the windows before one that share cells with what follows its middle."""
    return math.ceil(cells_of_window / 2 / _CELLS_OF_A_HOP) - 1


def average_cells(
    batches: Iterable[NDArray[np.float32]], *, first: int = 0
) -> Iterator[NDArray[np.float32]]:
    """Average the cells of overlapping windows as the windows come.

    Parameters
    ----------
    batches : iterable of ndarray, shape (some windows, G, D)
        Of a sound of one window that is not padded, or of a long one, whose windows are centred on
        every hop.
    first : int
        Number of the first window, if those before it are done. The cells after the middle of
        window ``first + windows_before(G)`` are complete.

    Yields
    ------
    ndarray, shape (some cells, D)
        All cells from 0 or from the middle of window `first` on, in order. The last ones may be
        beyond the end of a long sound.

    Examples
    --------
    The cells of three windows, every fifth; the first half of the first window is mirrored sound:

    >>> batches = [np.full((1, 20, 1), number, np.float32) for number in range(3)]
    >>> print(np.concatenate(list(average_cells(batches)))[::5].ravel())
    [1.  1.  1.5 2. ]

    """
    windows = itertools.chain.from_iterable(batches)
    head = list(itertools.islice(windows, 2))
    is_long = first > 0 or len(head) > 1
    begin = first * _CELLS_OF_A_HOP  # the cell that `total` begins with
    total, weights = None, np.zeros(0, np.float32)
    for number, cells in enumerate(itertools.chain(head, windows), start=first):
        place = number * _CELLS_OF_A_HOP - len(cells) // 2 if is_long else 0
        if place > begin:  # the cells before are not in this window, nor in later ones
            done = place - begin
            yield total[:done] / weights[:done, None]
            total, weights, begin = total[done:], weights[done:], place
        cells = cells[max(0, begin - place) :]
        total, held = cells.copy(), total
        if held is not None:
            total[: len(held)] += held
        weights = np.pad(weights, (0, len(cells) - len(weights))) + 1
    if total is not None:
        yield total / weights[:, None]


class GridFolder:
    """The cells of sounds, one file per content, whatever names it.

    Parameters
    ----------
    path : Path
    origin : mapping
        How they are computed (JSON-serialisable).
    width : int
        D.

    """

    def __init__(self, path: Path, *, origin: Mapping[str, Any], width: int) -> None:
        self.path, self.width = path, width
        self._described = {"width": width, "cell_seconds": CELL_SECONDS, **origin}

    def prepare(self) -> None:
        """Make the folder if it is missing; empty one of another origin.

        Raises
        ------
        InputError
            If it cannot be written.

        """
        with as_input_error(self.path):
            if _recorded(self.path) != self._described:
                if self.path.exists():
                    shutil.rmtree(self.path)
                self.path.mkdir(parents=True)
                with atomic_write(self.path / _ORIGIN, "w") as file:
                    json.dump(self._described, file)

    @classmethod
    def existing(cls, path: Path, origin: Mapping[str, Any]) -> "GridFolder":
        """Open a folder; raise an InputError if it is missing or of another origin."""
        width = (_recorded(path) or {}).get("width")
        folder = cls(path, origin=origin, width=width)
        if not width or _recorded(path) != folder._described:
            raise InputError(
                f"{path} is missing, or was made with another PaSST or precision than the vectors "
                "beside it."
            )
        return folder

    def append(self, source: str, cells: NDArray[np.float32], *, at: int) -> None:
        """Write cells, shape (some, D), from cell `at` on; what was there or later is lost."""
        path = self._file(source)
        with as_input_error(path):
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.truncate(2 * self.width * at)
                file.write(cells.astype("<f2").tobytes())

    def count(self, source: str) -> int:
        """Count the cells of a content, 0 if there are none."""
        try:
            return self._file(source).stat().st_size // (2 * self.width)
        except FileNotFoundError:
            return 0

    def read(self, source: str) -> NDArray[np.float16]:
        """Map the cells of a content, shape (C, D), from the disk."""
        shape = (self.count(source), self.width)
        if not shape[0]:
            return np.empty(shape, np.float16)
        return np.asarray(np.memmap(self._file(source), "<f2", mode="r", shape=shape))

    def _file(self, source: str) -> Path:
        name = hashlib.sha256(source.encode()).hexdigest()[:32]
        return self.path / name[:2] / f"{name}.f16"


def _recorded(path: Path) -> dict[str, Any] | None:
    """Read how the cells of a folder are computed; None if it does not say."""
    try:
        found = json.loads((path / _ORIGIN).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
