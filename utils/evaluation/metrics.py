"""Retrieval metrics: arrays in, floats out.

Shapes: N queries, K results per query, P pairs of a clip and a caption, C clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("R@1", "R@5", "R@10", "mAP@10")
CUTOFF = 10
_LEVEL, _RESAMPLES = 0.95, 2000  # of bootstrap intervals
# What AP@k is divided by if a query has several relevant clips, in words for the output.
AP_CONVENTIONS = {
    "cutoff": "min(number of relevant clips, {cutoff})",
    "all": "the number of relevant clips",
}


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves for each caption of a split.

    Attributes
    ----------
    ranks : ndarray, shape (P,)
        Rank of each caption's own clip, from 1.
    best : ndarray, shape (P, T)
        Rows of the best clips; `results` in the settings is T.
    scores : ndarray, shape (P, T)
        Their scores.
    values : dict of str to ndarray, shape (P,)
        R@1, R@5, R@10 and mAP@10 of each caption.
    audio_to_text : dict of str to ndarray, shape (C,)
        The other direction, if requested: each clip ranks all captions. R@k is 1 if any caption of
        the clip is among the first k; AP@10 is divided by min(number of its captions, 10).
    clips : ndarray, shape (P,), int
        Each caption's own clip.

    """

    ranks: NDArray[np.int64]
    best: NDArray[np.int64]
    scores: NDArray[np.float32]
    values: dict[str, NDArray[np.float64]]
    audio_to_text: dict[str, NDArray[np.float64]]
    clips: NDArray[np.int64]

    def means(self) -> dict[str, float]:
        """Average over the captions: the metrics."""
        return {name: float(self.values[name].mean()) for name in METRICS}

    def intervals(self, *, seed: int) -> dict[str, tuple[float, float]]:
        """Compute 95 % bootstrap intervals of the metrics, over captions grouped by clip."""
        return {
            name: bootstrap_interval(self.values[name], self.clips, seed=seed) for name in METRICS
        }

    def audio_to_text_means(self) -> dict[str, float]:
        """Average over the clips: the metrics of audio-to-text retrieval."""
        return {name: float(self.audio_to_text[name].mean()) for name in METRICS}


def single_relevant(ranks: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Score each query that has exactly one relevant clip.

    Parameters
    ----------
    ranks : array_like, shape (N,), int
        From 1.

    Returns
    -------
    dict of str to ndarray, shape (N,)
        One value per query for R@1, R@5, R@10 (1 if found, else 0) and mAP@10 (1 / rank if the
        rank is at most 10, else 0). The mean over the queries is the metric.

    Raises
    ------
    ValueError
        If there are no ranks, or one is below 1.

    Examples
    --------
    >>> values = single_relevant([1, 4, 12])
    >>> values["R@5"].tolist()
    [1.0, 1.0, 0.0]
    >>> values["mAP@10"].tolist()
    [1.0, 0.25, 0.0]

    """
    ranks = _checked_ranks(ranks)
    values = {f"R@{k}": (ranks <= k).astype(float) for k in (1, 5, 10)}
    values[f"mAP@{CUTOFF}"] = np.where(ranks <= CUTOFF, 1.0 / ranks, 0.0)
    return values


def several_relevant(
    retrieved: Sequence[Sequence[str]],
    relevant: Sequence[set[str] | frozenset[str]],
    *,
    divide_by: str = "cutoff",
    cutoff: int = CUTOFF,
) -> dict[str, NDArray[np.float64]]:
    """Score each query from its ranked list and the set of its relevant clips.

    Parameters
    ----------
    retrieved : sequence of N sequences of str
        Clip names, best first, no name twice in a list; at least ten each for R@10, and `cutoff`
        for mAP, or as many as there are clips.
    relevant : sequence of N non-empty sets of str
    divide_by : {'cutoff', 'all'}
        The convention of AP@k: the sum of precisions at the relevant results is divided by
        min(number of relevant clips, k), so that a perfect list scores 1 ('cutoff'), or by the
        number of relevant clips ('all').
    cutoff : int
        k of AP@k.

    Returns
    -------
    dict of str to ndarray, shape (N,)
        R@k is the share of the relevant clips found among the first k.

    Raises
    ------
    ValueError
        If lengths differ, a set is empty, or a list holds a name twice.

    """
    if len(retrieved) != len(relevant) or not len(relevant):
        raise ValueError(f"{len(retrieved)} lists of results for {len(relevant)} queries")
    if divide_by not in AP_CONVENTIONS:
        raise ValueError(f"divide_by is {divide_by!r}, not one of {list(AP_CONVENTIONS)}")
    hits = np.zeros((len(relevant), max(10, cutoff, *map(len, retrieved))), dtype=bool)
    for i, (names, wanted) in enumerate(zip(retrieved, relevant, strict=True)):
        if not wanted:
            raise ValueError(f"query {i} has no relevant clip")
        if len(set(names)) != len(names):
            raise ValueError(f"query {i} lists a clip twice")
        hits[i, : len(names)] = [name in wanted for name in names]
    sizes = [len(wanted) for wanted in relevant]
    return score_hits(hits, sizes, divide_by=divide_by, cutoff=cutoff)


def graded_relevance(
    retrieved: Sequence[Sequence[str]], grades: Sequence[Mapping[str, float]], *, cutoff: int
) -> NDArray[np.float64]:
    """Compute nDCG@k of each query from its ranked list and the grades of clips.

    With the grade g_r of the result at rank r::

        DCG = Σ_{r ≤ k} g_r / log2(r + 1)

    divided by that of the best order (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of
    IR techniques", 2002).

    Parameters
    ----------
    retrieved : sequence of N sequences of str
        Clip names, best first.
    grades : sequence of N mappings of str to float
        Of the clips that are relevant, more or less: above 0. All others have the grade 0.
    cutoff : int
        k.

    Returns
    -------
    ndarray, shape (N,)

    Examples
    --------
    The better of two relevant clips is second.

    >>> graded_relevance([["a", "b", "c"]], [{"b": 2, "c": 1}], cutoff=10).round(3)
    array([0.67])

    """
    weights = 1 / np.log2(np.arange(cutoff) + 2)

    def gain(found: Sequence[float]) -> float:
        return float(np.dot(found[:cutoff], weights[: len(found)]))

    return np.array(
        [
            gain([of_query.get(name, 0.0) for name in names])
            / gain(sorted(of_query.values(), reverse=True))
            for names, of_query in zip(retrieved, grades, strict=True)
        ]
    )


def score_hits(
    hits: ArrayLike,
    relevant: ArrayLike,
    *,
    recall: str = "share",
    divide_by: str = "cutoff",
    cutoff: int = CUTOFF,
) -> dict[str, NDArray[np.float64]]:
    """Score queries from which of their results are relevant.

    Parameters
    ----------
    hits : array_like, shape (N, K), bool
        Best result first; K at least 10, or as many as there are.
    relevant : array_like, shape (N,), int
        Number of relevant items of each query.
    recall : {'share', 'any'}
        R@k is the share of the relevant items that are among the first k ('share'), or 1 if any of
        them is ('any', usual for audio-to-text retrieval with several captions per clip).
    divide_by, cutoff
        See `several_relevant`.

    Returns
    -------
    dict of str to ndarray, shape (N,)

    Examples
    --------
    A query with two relevant items, at ranks 1 and 4: AP = (1/1 + 2/4) / 2.

    >>> values = score_hits([[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]], [2])
    >>> {name: value.tolist() for name, value in values.items()}
    {'R@1': [0.5], 'R@5': [1.0], 'R@10': [1.0], 'mAP@10': [0.75]}

    """
    hits, relevant = np.asarray(hits, dtype=bool), np.asarray(relevant)
    values = {}
    for k in (1, 5, 10):
        found = hits[:, :k].sum(axis=1)
        values[f"R@{k}"] = found / relevant if recall == "share" else (found > 0).astype(float)
    top = hits[:, :cutoff]
    precisions = top.cumsum(axis=1) / np.arange(1, top.shape[1] + 1)
    total = np.minimum(relevant, cutoff) if divide_by == "cutoff" else relevant
    values[f"mAP@{cutoff}"] = (precisions * top).sum(axis=1) / total
    return values


def chance(clips: int) -> dict[str, float]:
    """Compute the expected scores of a random order of `clips` clips, one of them relevant."""
    if clips < 1:
        raise ValueError(f"{clips} clips")
    values = {f"R@{k}": min(k, clips) / clips for k in (1, 5, 10)}
    values[f"mAP@{CUTOFF}"] = sum(1 / r for r in range(1, min(CUTOFF, clips) + 1)) / clips
    return values


def median_rank(ranks: ArrayLike) -> float:
    """Compute the median of ranks counted from 1."""
    return float(np.median(_checked_ranks(ranks)))


def bootstrap_interval(values: ArrayLike, groups: ArrayLike, *, seed: int) -> tuple[float, float]:
    """Estimate the 95 % interval of a mean: `bootstrap_intervals` of values of shape (N,).

    Examples
    --------
    Two clips with three captions each: whole clips are resampled, so that the mean is often 0 or 1.

    >>> bootstrap_interval([1, 1, 1, 0, 0, 0], [7, 7, 7, 8, 8, 8], seed=0)
    (0.0, 1.0)

    """
    low, high = bootstrap_intervals(np.asarray(values)[..., np.newaxis], groups, seed=seed)
    return float(low[0]), float(high[0])


def bootstrap_intervals(
    values: ArrayLike, groups: ArrayLike, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate 95 % intervals of means, by the percentile bootstrap over groups.

    Captions of one clip are not independent, so whole clips are resampled (Efron and Tibshirani,
    "An introduction to the bootstrap", 1993, chapters 8 and 13).

    Parameters
    ----------
    values : array_like, shape (N, M)
        M values of each query; all are resampled together.
    groups : array_like, shape (N,), int
        The clip that each query belongs to.

    Returns
    -------
    low, high : ndarray, shape (M,)

    Raises
    ------
    ValueError
        If there are no values, or the lengths differ.

    """
    values, groups = np.asarray(values, dtype=float), np.asarray(groups)
    if values.ndim != 2 or not len(values) or values.shape[:1] != groups.shape:
        raise ValueError(f"{values.shape} values in {groups.shape} groups")
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, group, values)
    rng = np.random.default_rng(seed)
    means = np.empty((_RESAMPLES, values.shape[1]))
    for i in range(_RESAMPLES):
        drawn = rng.integers(len(sizes), size=len(sizes))
        times = np.bincount(drawn, minlength=len(sizes)).astype(float)
        means[i] = (times @ sums) / (times @ sizes)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return low, high


def _checked_ranks(ranks: ArrayLike) -> NDArray[np.int64]:
    ranks = np.asarray(ranks)
    if ranks.ndim != 1 or not len(ranks):
        raise ValueError(f"ranks must be a list of at least one number, not of shape {ranks.shape}")
    if not np.issubdtype(ranks.dtype, np.integer) or ranks.min() < 1:
        raise ValueError("ranks must be whole numbers from 1")
    return ranks
