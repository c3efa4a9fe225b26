"""The moments of a library's sounds that a text describes.

Shapes: D dimension of the shared space, C cells of a sound, K AudioSet classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS, CLASSES, SILENCE
from models.moment_net import MomentNet, curves_of
from utils.features.fine_grid import GridFolder, count_cells
from utils.features.hearing import find_silence
from utils.moments.ranking import likely_cells, rank_windows
from utils.search.library import Library

_MOST_CELLS = round(600 / CELL_SECONDS)  # of a sound; of longer ones, those around a passage
_RANKED = 30  # windows, of which many overlap
_SHORTEST = CELL_SECONDS  # seconds: the last cell of a sound may be a rest
_LEAST = 0.5  # of the best score: other moments with less are none


@dataclass(frozen=True)
class Moment:
    """A part of a sound, in seconds, and its score: the overlap to expect, in [0, 1]."""

    start: float
    end: float
    score: float


@dataclass(frozen=True)
class Moments:
    """What is found in a sound, or in the ten minutes of it that were looked at.

    Attributes
    ----------
    moments : list of Moment
        Best first; they do not overlap.
    begin : float
        Where the curve begins, in seconds.
    curve : list of C float
        The likeness of each cell to the text.

    """

    moments: list[Moment] = field(default_factory=list)
    begin: float = 0.0
    curve: list[float] = field(default_factory=list)


class MomentFinder:
    """Finds moments by the cells of sounds.

    Parameters
    ----------
    library : Library
    grid : GridFolder
        The cells of its sounds.
    embed : callable
        Rows of the tagger's output, shape (C, ...) ─► unit vectors (C, D).
    asks_for_silence : callable
        Whether a query, shape (D,), asks for silence. If not, silent cells are as little like it
        as any: the network says nothing about them.
    net : MomentNet, optional
        By default, likeness alone decides.

    """

    def __init__(
        self,
        library: Library,
        grid: GridFolder,
        *,
        embed: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        asks_for_silence: Callable[[NDArray[np.float32]], bool],
        net: MomentNet | None = None,
    ) -> None:
        self._library, self._grid = library, grid
        self._embed, self._asks_for_silence, self._net = embed, asks_for_silence, net

    def find(self, query: NDArray[np.float32], sound: int, *, at: float, count: int = 1) -> Moments:
        """Find the best moments of a sound.

        Parameters
        ----------
        query : ndarray, shape (D,)
            The embedding of a text.
        sound : int
            Of the library.
        at : float
            In seconds: the middle of the ten minutes to look at, if the sound is longer.
        count : int
            At most so many moments. Those that overlap better ones, or have less than half of the
            best score, are left out.

        """
        of = self._library.sounds([sound]).get(sound)
        if of is None:  # gone by now
            return Moments()
        cells = self._grid.read(of.source)[: count_cells(of.duration)]
        middle = math.floor(min(max(at, 0.0), of.duration) / CELL_SECONDS)
        first = max(0, min(middle - _MOST_CELLS // 2, len(cells) - _MOST_CELLS))
        cells = cells[first : first + _MOST_CELLS]
        if not len(cells):  # the file was deleted
            return Moments()
        rows = cells.astype(np.float32)
        vectors = self._embed(rows)
        likeness = self._heard(vectors @ query, cells, query)
        begin = first * CELL_SECONDS
        ranked = rank_windows(
            self._inside(likeness, vectors, rows), duration=of.duration - begin, count=_RANKED
        )
        ranked[:, :2] += begin
        return Moments(_apart(ranked, count), begin, likeness.round(4).tolist())

    def _heard(
        self, likeness: NDArray[np.float32], cells: NDArray[np.float16], query: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Give silent cells the least likeness of those that are not."""
        silent = find_silence(cells[:, :CLASSES], cells[:, SILENCE])
        if 0 < len(silent) < len(cells) and not self._asks_for_silence(query):
            likeness[silent] = np.delete(likeness, silent).min()
        return likeness

    def _inside(
        self,
        likeness: NDArray[np.float32],
        vectors: NDArray[np.float32],
        rows: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        if self._net is None:
            return likely_cells(likeness)
        curves = curves_of(*map(torch.from_numpy, (likeness, vectors, rows)))
        return self._net.likely_cells(curves).numpy()


def _apart(ranked: NDArray[np.float64], count: int) -> list[Moment]:
    """Choose windows, shape (N, 3), best first, that do not overlap."""
    chosen: list[Moment] = []
    for start, end, score in ranked.round(3).tolist():
        if len(chosen) == count or (chosen and score < _LEAST * chosen[0].score):
            break
        if end - start < _SHORTEST and len(ranked) > 1:
            continue
        if all(end <= other.start or start >= other.end for other in chosen):
            chosen.append(Moment(start, end, score))
    return chosen
