"""The cells of sounds, half a second each, kept beside their passages while they are tagged.

Shapes: W windows, G cells of each, D numbers per window and per cell.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS, HOP_SECONDS
from utils.features.fine_grid import GridFolder, average_cells, count_cells, windows_before
from utils.search.passages import WINDOWS_OF_A_PASSAGE

_CELLS_OF_A_HOP = round(HOP_SECONDS / CELL_SECONDS)
_CELLS_OF_A_PASSAGE = WINDOWS_OF_A_PASSAGE * _CELLS_OF_A_HOP


class SoundCells:
    """Keeps the cells of sounds as they come.

    Parameters
    ----------
    grid : GridFolder
        Of cells of D numbers.
    window_seconds : float
        Of the network.

    """

    def __init__(self, grid: GridFolder, *, window_seconds: float) -> None:
        self.grid = grid
        self._before = windows_before(count_cells(window_seconds))

    def are_complete(self, source: str, seconds: float) -> bool:
        """Whether all cells of a content of this duration are kept."""
        return self.grid.count(source) >= count_cells(seconds)

    def passages(self, source: str) -> int:
        """Count the passages, from the first on, whose cells are kept."""
        return self.grid.count(source) // _CELLS_OF_A_PASSAGE

    def first_window(self, passage: int) -> int:
        """Return the first window that the cells from a passage on need."""
        return max(0, WINDOWS_OF_A_PASSAGE * passage - self._before)

    def forget(self, source: str, *, passages: int) -> None:
        """Keep the cells of the first passages alone."""
        kept = min(self.grid.count(source), _CELLS_OF_A_PASSAGE * passages)
        self.grid.append(source, np.empty((0, self.grid.width), np.float32), at=kept)

    def keep(
        self, source: str, batches: Iterator[NDArray[np.float32]], *, passage: int, seconds: float
    ) -> Iterator[NDArray[np.float32]]:
        """Keep the cells of a sound, and pass on the output for its windows.

        Parameters
        ----------
        batches : iterator of ndarray, shape (some windows, D + G · D)
            From `first_window` on.
        passage : int
            The first one whose cells are missing; those of later ones are replaced.
        seconds : float
            Duration of the sound.

        Yields
        ------
        ndarray, shape (some windows, D)
            From the first window of the passage on, after the cells before them are kept.

        """
        width, first = self.grid.width, self.first_window(passage)
        windows: deque[NDArray[np.float32]] = deque()
        left_out = WINDOWS_OF_A_PASSAGE * passage - first  # windows that only cells need

        def cells() -> Iterator[NDArray[np.float32]]:
            nonlocal left_out
            for rows in batches:
                wanted = rows[left_out:, :width]
                left_out -= len(rows) - len(wanted)
                windows.append(wanted)
                yield rows[:, width:].reshape(len(rows), -1, width)

        begin, end = _CELLS_OF_A_PASSAGE * passage, count_cells(seconds)
        position = _CELLS_OF_A_HOP * first
        for averaged in average_cells(cells(), first=first):
            new = averaged[max(0, begin - position) : max(0, end - position)]
            if len(new):
                self.grid.append(source, new, at=max(begin, position))
            position += len(averaged)
            while windows:
                yield windows.popleft()
