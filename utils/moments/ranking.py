"""Which cells of a recording belong to a moment ─► windows, ranked by the overlap to expect.

Shapes: C cells of a recording, N windows.
"""

import numpy as np
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS

_GROWTH = 1.12  # from one length of candidates to the next
_SHORTEST_CONTEXT = 4  # cells beside a candidate that count against it
_SAME = 0.5  # overlap (intersection over union) from which a worse window is dropped
_STEEPNESS = 8.0  # logits from a recording's usual likeness to its best


def likely_cells(likeness: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn likenesses of cells to a query into probabilities that they belong to a moment.

    Nothing is trained: a cell half way from the recording's median to its best is as likely to
    belong to a moment as not.

    Parameters
    ----------
    likeness : ndarray, shape (C,)

    Returns
    -------
    ndarray, shape (C,), float32

    """
    likeness = np.asarray(likeness, np.float32)
    usual, best = np.median(likeness), likeness.max()
    scaled = (likeness - (usual + best) / 2) / max(best - usual, 1e-6)
    return 1 / (1 + np.exp(-_STEEPNESS * scaled.clip(-5, 5)))


def candidates(count: int) -> list[int]:
    """List the lengths of candidates, in cells: all short ones, and longer ones ever sparser."""
    lengths, length = [], 1.0
    while length <= count:
        if not lengths or round(length) > lengths[-1]:
            lengths.append(round(length))
        length = max(length * _GROWTH, length + 1 / 2)
    return lengths


def candidate_spans(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List starts and ends of all candidates in a recording of `count` cells, short ones first."""
    lengths = candidates(count)
    starts = np.concatenate([np.arange(count - length + 1) for length in lengths])
    return starts, starts + np.repeat(lengths, [count - length + 1 for length in lengths])


def rank_windows(
    inside: NDArray[np.floating], *, duration: float, count: int = 10
) -> NDArray[np.float64]:
    """Rank windows of a recording by the overlap with a moment that is to be expected.

    Of a candidate, the expected overlap (intersection over union) is its likely cells over its
    length and the likely cells beside it. Candidates begin at every cell, and are of many lengths;
    the edges of the best are then moved by parts of a cell.

    Parameters
    ----------
    inside : ndarray, shape (C,)
        The probability that each cell belongs to a moment.
    duration : float
        Of the recording, in seconds: no window ends later.
    count : int
        At most so many windows.

    Returns
    -------
    ndarray, shape (N, 3)
        Start and end in seconds, and the score, in [0, 1]; best first. Before their edges are
        moved, no two overlap by more than half of their union.

    Examples
    --------
    >>> inside = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1])
    >>> print(rank_windows(inside, duration=6.5, count=2))
    [[6.  6.5 1. ]
     [1.  3.  1. ]]

    """
    sums = np.concatenate([[0.0], np.cumsum(inside, dtype=np.float64)])
    starts, ends = candidate_spans(len(inside))
    beside = np.maximum(ends - starts, _SHORTEST_CONTEXT)
    within = sums[ends] - sums[starts]
    around = sums[np.minimum(ends + beside, len(inside))] - sums[np.maximum(starts - beside, 0)]
    scores = within / (ends - starts + around - within)
    ranked = []
    for _ in range(count):
        best = scores.argmax()
        if scores[best] <= 0:
            break
        start, end = starts[best], ends[best]
        ranked.append([start, end, scores[best]])
        shared = np.minimum(ends, end) - np.maximum(starts, start)
        union = np.maximum(ends, end) - np.minimum(starts, start)
        scores[shared > _SAME * union] = -1
    windows = np.array(ranked, np.float64).reshape(-1, 3)
    windows[:, :2] = np.minimum(_between_cells(windows, inside) * CELL_SECONDS, duration)
    return windows


def _between_cells(
    windows: NDArray[np.float64], inside: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Move the edges of windows, (N, 3) in cells, to where they are likely within cells: (N, 2).

    A probability of the cell at an edge is taken as the share of it that is inside, on either side.
    """
    padded = np.concatenate([[0.0], inside, [0.0]])
    beside = np.where(padded < 1 / 2, padded, 0)  # a likely cell beside an edge stays outside
    first, after = windows[:, 0].astype(int) + 1, windows[:, 1].astype(int) + 1
    starts = windows[:, 0] + (1 - padded[first]) - beside[first - 1]
    ends = windows[:, 1] - (1 - padded[after - 1]) + beside[after]
    moved = np.stack([starts, ends], axis=1).clip(0, len(inside))
    # One cell may be both edges; a window does not become shorter than a cell.
    return np.where((ends - starts >= 1)[:, None], moved, windows[:, :2])
