"""Search for groups of rows by a group of queries, as for sounds by the passages of another sound.

The score of a group is the mean over the queries of what each scores with its best row in the
group: how much of the example the group has, wherever it has it. A group is therefore its own best
match, at 1, however many rows it has; one that has more besides scores 1 too. The mean of the rows
would blur an example of many parts, and its single best part would decide nothing about the others.

Shapes: N vectors, D dimension, Q queries, G groups, M rows that may be found.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from utils.runtime import onednn
from utils.search.nearest.approximate import ApproximateSearch
from utils.search.nearest.exact import ExactSearch, as_tensor, check_search

_PLACES = 6  # of scores: beyond them, lengths of float32 unit vectors are not exact
_PROBES = 32  # queries that look for candidates in an approximate index
_LEAST_ROWS = 100  # that each of them finds
_SCORES = 1 << 24  # at a time, 64 MB
_CHUNK = 4096  # rows of a product


class Match(NamedTuple):
    """A group that was found."""

    group: int
    score: float
    row: int  # that scores best with any query
    rows: NDArray[np.int64]  # (Q,), those that score best with each query


def best_groups(
    nearest: ExactSearch | ApproximateSearch,
    queries: NDArray[np.float32],
    group_of_row: NDArray[np.int64],
    k: int,
    *,
    among: NDArray[np.int64] | None = None,
    itself: int | None = None,
) -> list[Match]:
    """Find the k best groups for the queries together, best first.

    With an `ExactSearch` all groups are scored. With an `ApproximateSearch` those are whose rows
    are nearest to the mean of the queries, or, approximately, to some of them. So only groups of
    several rows can be missed: the score of a group of one row is its product with the mean.

    Parameters
    ----------
    queries : ndarray, shape (Q, D), float32
        Unit vectors, at least one.
    group_of_row : ndarray, shape (N,), int64
        -1 for rows that may not be found.
    k : int
        At most so many groups.
    among : ndarray, shape (M,), int64, optional
        The rows that may be found, all of them in a group; by default all.
    itself : int, optional
        The group that the queries are of: considered in any case, and first among equal scores.

    Returns
    -------
    list of Match
        Equal scores in order of group. Scores are computed in float64, rounded to six places and
        at most 1.

    """
    check_search(nearest.vectors, queries, k)
    rows = np.flatnonzero(group_of_row >= 0) if among is None else among
    if not len(rows):
        return []
    if isinstance(nearest, ApproximateSearch):
        chosen = _nearby_groups(nearest, queries, group_of_row, k, among)
    else:
        chosen = _promising_groups(nearest, queries, group_of_row, k, rows)
    if itself is not None:
        chosen = np.union1d(chosen, [itself])
    rows = rows[np.isin(group_of_row[rows], chosen)]
    groups, starts, rows = _by_group(group_of_row, rows)
    asked = queries.astype(np.float64)
    matches = [
        _match(int(group), asked, nearest.vectors, of_group)
        for group, of_group in zip(groups, np.split(rows, starts[1:]), strict=True)
    ]
    matches.sort(key=lambda match: (-match.score, match.group != itself, match.group))
    return matches[:k]


def _match(
    group: int, queries: NDArray[np.float64], vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> Match:
    scores = (vectors[rows].astype(np.float64) @ queries.T).round(_PLACES)
    best = scores.argmax(axis=0)
    each = scores[best, np.arange(len(queries))]
    score = min(1.0, round(float(each.mean()), _PLACES))
    return Match(group, score, int(rows[best[each.argmax()]]), rows[best])


def _promising_groups(
    nearest: ExactSearch,
    queries: NDArray[np.float32],
    group_of_row: NDArray[np.int64],
    k: int,
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Score all groups in float32, and return those that can be among the k best."""
    groups, starts, rows = _by_group(group_of_row, rows)
    vectors, asked = as_tensor(nearest.vectors), torch.from_numpy(queries)
    total = np.zeros(len(groups))
    for some in asked.split(max(1, _SCORES // len(vectors))):
        scores = torch.cat([onednn.linear(part, some) for part in vectors.split(_CHUNK)])
        total += np.maximum.reduceat(scores.numpy()[rows], starts).sum(axis=1, dtype=np.float64)
    if not np.isfinite(total).all():
        nearest.search(queries[:1], 1)  # says which vector is not finite
    total /= len(queries)
    least = np.partition(total, -k)[-k] if k < len(total) else -np.inf
    # A product in float32 errs by up to D/2^24 of the lengths, and both sums may.
    return groups[total >= least - 2 * queries.shape[1] / 2**24]


def _nearby_groups(
    nearest: ApproximateSearch,
    queries: NDArray[np.float32],
    group_of_row: NDArray[np.int64],
    k: int,
    among: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Return the groups of the rows that are nearest to the mean of the queries or to some."""
    spread = np.linspace(0, len(queries) - 1, min(_PROBES, len(queries))).round().astype(int)
    exact = ExactSearch(nearest.vectors)  # an index is not tuned for means
    mean = queries.mean(axis=0, keepdims=True)
    available = len(nearest.vectors) if among is None else len(among)
    count = max(_LEAST_ROWS, 2 * k)
    while True:
        count = min(count, available)
        rows = nearest.search(queries[spread], count, among=among)[1]
        if len(queries) > 1:
            rows = np.concatenate([rows, exact.search(mean, count, among=among)[1]])
        groups = np.unique(group_of_row[rows])
        groups = groups[groups >= 0]
        if len(groups) >= 2 * k or count == available:
            return groups
        count *= 4  # groups of many rows may fill the results


def _by_group(
    group_of_row: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sort rows by group; returns the groups, where each starts, and the rows."""
    rows = rows[group_of_row[rows].argsort(kind="stable")]
    groups, starts = np.unique(group_of_row[rows], return_index=True)
    return groups, starts, rows
