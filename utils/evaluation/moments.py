"""Scores of moments, as the evaluator of DCASE 2026 task 6 (line/lighthouse) computes them.

N queries, T = 10 thresholds of the overlap: 0.50, 0.55, ..., 0.95.

The overlap of two windows is intersection over union, in the seconds as given: nothing is cut at
the end of the recording.

- R1: whether the window that is listed first overlaps enough with any true window.
- AP: the ten windows that are listed first, by decreasing score. A window is a hit if it overlaps
  enough with a true window that is still free, and it takes the one with the largest overlap. The
  sum over hits of the best precision from there on is divided by the number of true windows, which
  may be more than ten: then not even the truth scores 100.

True windows of no length, or longer than 1500 s, are not counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.datasets.moment_lists import MomentQuery, Window
from utils.evaluation.metrics import bootstrap_intervals

METRICS = ("R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP")
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
LISTED = 10  # windows that are scored
_LONGEST = 1500  # seconds, of a true window

# [start, end] or [start, end, score]; without scores, windows are listed best first.
Predicted = Sequence[Sequence[float]]


@dataclass(frozen=True)
class MomentScores:
    """Scores of each query.

    Attributes
    ----------
    found : ndarray, shape (N, T), float
        R1: 1 if the first window overlaps enough, else 0.
    precision : ndarray, shape (N, T), float
        AP.
    recordings : ndarray, shape (N,), int
        Which recording each query is about.

    """

    found: NDArray[np.float64]
    precision: NDArray[np.float64]
    recordings: NDArray[np.int64]

    def means(self) -> dict[str, float]:
        """Average over the queries, in per cent: `METRICS`."""
        return _named(METRICS, self._values().mean(axis=0))

    def intervals(self, *, seed: int) -> dict[str, tuple[float, float]]:
        """Compute 95 % bootstrap intervals of the metrics in per cent, over whole recordings."""
        low, high = bootstrap_intervals(self._values(), self.recordings, seed=seed)
        return dict(zip(METRICS, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    def among(self, rows: NDArray[np.bool_]) -> "MomentScores":
        """Keep the scores of some of the queries, by a mask (N,)."""
        return MomentScores(self.found[rows], self.precision[rows], self.recordings[rows])

    def at_thresholds(self) -> dict[str, dict[str, float]]:
        """Average over the queries at every threshold, in per cent, with the evaluator's names."""
        names = list(map(str, THRESHOLDS))
        precision = _named(names, 100 * self.precision.mean(axis=0))
        return {
            "MR-mAP": {**precision, "average": self.means()["mAP"]},
            "MR-R1": _named(names, 100 * self.found.mean(axis=0)),
        }

    def _values(self) -> NDArray[np.float64]:
        """The metrics of each query in per cent, shape (N, 5)."""
        columns = [self.found[:, THRESHOLDS.index(at)] for at in (0.5, 0.7)]
        columns += [self.precision[:, THRESHOLDS.index(at)] for at in (0.5, 0.75)]
        return 100 * np.stack([*columns, self.precision.mean(axis=1)], axis=1)


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def scored_windows(query: MomentQuery) -> list[Window]:
    """List the true windows of a query that count; a query without any is not scored."""
    return [(start, end) for start, end in query.windows if 0 < end - start <= _LONGEST]


def score_moments(
    predictions: Mapping[str, Predicted], truth: Iterable[MomentQuery]
) -> MomentScores:
    """Score the windows that are predicted for queries.

    Parameters
    ----------
    predictions : mapping of qid to windows
        In the order in which they are listed. A query without any counts as not found; the
        evaluator refuses it, or leaves it out of the mean.
    truth : iterable of MomentQuery
        Queries without a true window that counts are left out.

    Raises
    ------
    ValueError
        If no query is left.

    Examples
    --------
    >>> truth = [MomentQuery("1", "rain", "roof", 60, ((10, 20), (40, 50)))]
    >>> scores = score_moments({"1": [[10, 19, 0.9], [0, 5, 0.2]]}, truth).means()
    >>> scores["R1@0.7"], scores["mAP@0.5"]
    (100.0, 50.0)

    """
    queries = [(query, true) for query in truth if (true := scored_windows(query))]
    if not queries:
        raise ValueError("no query has a true window")
    true = _padded([windows for _, windows in queries])
    listed = [predictions.get(query.qid, ())[:LISTED] for query, _ in queries]
    first = _padded([[window[:2] for window in windows[:1]] for windows in listed])
    _, recordings = np.unique([query.vid for query, _ in queries], return_inverse=True)
    counts = np.array([len(windows) for _, windows in queries])
    return MomentScores(
        (_with_nearest(first[:, 0], true)[:, np.newaxis] >= THRESHOLDS).astype(float),
        _average_precision(_padded(list(map(_by_score, listed))), true, counts),
        recordings,
    )


def best_overlaps(windows: Predicted, true: Sequence[Window]) -> NDArray[np.float64]:
    """Compute how much each of N windows overlaps with the nearest true one, as R1 does: (N,).

    Examples
    --------
    >>> best_overlaps([[10, 19, 0.9], [0, 5, 0.2]], [(10, 20), (40, 50)])
    array([0.9, 0. ])

    """
    each = np.asarray(windows, dtype=float)[:, :2]
    return _with_nearest(each, np.array([true], dtype=float))


def _by_score(windows: Predicted) -> list[Sequence[float]]:
    """Sort windows by decreasing score; equal scores, or none, stay as listed."""
    ordered = sorted(windows, key=lambda window: -window[2] if len(window) > 2 else 0.0)
    return [window[:2] for window in ordered]


def _padded(windows: Sequence[Sequence[Sequence[float]]]) -> NDArray[np.float64]:
    """Put windows into an array of shape (N, most windows of a query, 2).

    It is filled up with windows of no length, which overlap with nothing.
    """
    result = np.zeros((len(windows), max(1, *map(len, windows)), 2))
    for row, of_query in zip(result, windows, strict=True):
        row[: len(of_query)] = np.asarray(of_query, dtype=float).reshape(-1, 2)
    return result


def _overlap(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute intersection over union, and intersection over hull: (..., 2), (..., 2) ─► (...).

    They are equal but for rounding, and the evaluator takes the second for R1.
    """
    start, end = np.maximum(one[..., 0], other[..., 0]), np.minimum(one[..., 1], other[..., 1])
    shared = np.maximum(end - start, 0)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - shared
    hull = np.maximum(one[..., 1], other[..., 1]) - np.minimum(one[..., 0], other[..., 0])
    safe = np.zeros_like(shared)
    return (
        np.divide(shared, union, out=safe.copy(), where=union != 0),
        np.divide(shared, hull, out=safe, where=hull != 0),
    )


def _with_nearest(windows: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap windows (N, 2) with the nearest of M true ones, (N or 1, M, 2): (N,)."""
    over_union, over_hull = _overlap(windows[:, np.newaxis], true)
    nearest = over_union.argmax(axis=1)[:, np.newaxis]
    return np.take_along_axis(over_hull, nearest, axis=1)[:, 0]


def _average_precision(
    predicted: NDArray[np.float64], true: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute AP of windows (N, K, 2), best first, against the true ones: (N, T)."""
    # Of equal overlaps, the evaluator takes the true window that is listed last.
    overlaps, _ = _overlap(predicted[:, :, np.newaxis], true[:, np.newaxis, ::-1])
    enough = overlaps[..., np.newaxis] >= THRESHOLDS  # (N, K, true windows, T)
    free = np.ones_like(enough[:, 0])
    hits = np.zeros((enough.shape[1], len(predicted), len(THRESHOLDS)), dtype=bool)
    for place in range(len(hits)):
        possible = np.where(free & enough[:, place], overlaps[:, place, :, np.newaxis], 0)
        taken = possible.argmax(axis=1, keepdims=True)
        hits[place] = np.take_along_axis(possible, taken, axis=1)[:, 0] > 0
        left = np.take_along_axis(free, taken, axis=1) & ~hits[place][:, np.newaxis]
        np.put_along_axis(free, taken, left, axis=1)
    ranks = np.arange(1, len(hits) + 1)[:, np.newaxis, np.newaxis]
    precision = hits.cumsum(axis=0) / ranks
    best_from_here = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return (hits * best_from_here).sum(axis=0) / counts[:, np.newaxis]
