"""How a model does on a test split, beyond its scores: the numbers behind a run's report.

Shapes: N captions, C clips, K AudioSet classes, D dimension of the shared space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.datasets.splits import CaptionSplit
from utils.evaluation.evaluate import Evaluation, LoadedSplit, evaluate
from utils.evaluation.metrics import CUTOFF, bootstrap_interval, bootstrap_intervals

CURVE_LENGTH = 100  # the recall curve goes up to R@100
TOP_TAGS = 3  # that a clip counts as having
SHOWN_RESULTS = 3  # per query


@dataclass(frozen=True)
class Retrieval:
    """A test split, embedded and retrieved by a model.

    Attributes
    ----------
    evaluation : Evaluation
        Both ways.
    audio : ndarray, shape (C, D)
    text : ndarray, shape (N, D)
    logits : ndarray, shape (C, K), or None
        Of AudioSet; None if the model does not read them.

    """

    split: CaptionSplit
    evaluation: Evaluation
    audio: NDArray[np.float32]
    text: NDArray[np.float32]
    logits: NDArray[np.float32] | None

    @property
    def own_scores(self) -> NDArray[np.float32]:
        """Score of each caption with its own clip, shape (N,)."""
        return np.einsum("nd,nd->n", self.text, self.audio[self.evaluation.clips])

    def tags_of(self, clip: int, names: Sequence[str]) -> list[str]:
        """Name the most probable tags of a clip, best first."""
        if self.logits is None:
            return []
        return [names[tag] for tag in top_tags(self.logits[clip][np.newaxis])[0]]


@torch.no_grad()
def retrieve(model: nn.Module, part: LoadedSplit, *, logits: Tensor | None) -> Retrieval:
    """Embed a split and retrieve both ways; `logits`, shape (C, K), are those of its clips."""
    evaluation = evaluate(model, part.pairs, both_ways=True)
    return Retrieval(
        part.split,
        evaluation,
        model.encode_audio(part.pairs.features, part.pairs.tags).float().cpu().numpy(),
        model.encode_text(part.pairs.sentences).float().cpu().numpy(),
        None if logits is None else logits.float().cpu().numpy(),
    )


@dataclass(frozen=True)
class RecallCurve:
    """R@k for k = 1, 2, ...: mean, 95 % interval, and the score of a random order."""

    k: NDArray[np.int64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    chance: NDArray[np.float64]


def recall_curve(
    ranks: NDArray[np.int64], clip_of_caption: NDArray[np.int64], *, clips: int, seed: int
) -> RecallCurve:
    """Compute R@1 to R@100, or to as many clips as there are.

    Ranks and clips have shape (N,). The seed of the scores gives the same intervals.
    """
    k = np.arange(1, min(CURVE_LENGTH, clips) + 1)
    found = ranks[:, np.newaxis] <= k
    low, high = bootstrap_intervals(found, clip_of_caption, seed=seed)
    return RecallCurve(k, found.mean(axis=0), low, high, k / clips)


@dataclass(frozen=True)
class RankBin:
    """Captions whose clip has a rank from `first` to `last`, and their expected share by chance."""

    first: int
    last: int
    captions: int
    share: float
    chance: float

    @property
    def label(self) -> str:
        """The ranks, such as 3–5."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def rank_bins(ranks: NDArray[np.int64], *, clips: int) -> list[RankBin]:
    """Count captions by the rank of their clip, in bins that grow: 1, 2, 3–5, 6–10, 11–20, ..., C.

    Ranks have shape (N,) and count from 1.
    """
    series = (factor * 10**power for power in range(len(str(clips))) for factor in (1, 2, 5))
    lasts = [*(last for last in series if last < clips), clips]
    bins = []
    for first, last in zip([1, *(last + 1 for last in lasts)], lasts, strict=False):
        count = int(((ranks >= first) & (ranks <= last)).sum())
        bins.append(RankBin(first, last, count, count / len(ranks), (last - first + 1) / clips))
    return bins


@dataclass(frozen=True)
class Query:
    """A caption and what it retrieves: its own clip's rank and score, and (clip, score) pairs."""

    caption: int
    clip: int
    rank: int
    score: float
    found: list[tuple[int, float]]


def worst_queries(retrieval: Retrieval, *, count: int) -> list[Query]:
    """Find the captions whose clip ranks last, one per clip."""
    evaluation = retrieval.evaluation
    behind = evaluation.scores[:, 0] - retrieval.own_scores
    return _queries(retrieval, np.lexsort((-behind, -evaluation.ranks)), count)


def best_queries(retrieval: Retrieval, *, count: int) -> list[Query]:
    """Find the captions whose clip comes first by the widest margin, one per clip."""
    evaluation = retrieval.evaluation
    first = np.flatnonzero(evaluation.ranks == 1)
    if evaluation.scores.shape[1] > 1:
        margin = evaluation.scores[first, 0] - evaluation.scores[first, 1]
        first = first[np.argsort(-margin, kind="stable")]
    return _queries(retrieval, first, count)


def _queries(retrieval: Retrieval, order: NDArray[np.int64], count: int) -> list[Query]:
    evaluation, own_scores = retrieval.evaluation, retrieval.own_scores
    chosen: dict[int, Query] = {}
    for caption in order.tolist():
        if len(chosen) == count:
            break
        clip = int(evaluation.clips[caption])
        best, scores = evaluation.best[caption], evaluation.scores[caption]
        if clip not in chosen:
            chosen[clip] = Query(
                caption,
                clip,
                int(evaluation.ranks[caption]),
                float(own_scores[caption]),
                list(zip(best[:SHOWN_RESULTS].tolist(), scores.tolist(), strict=False)),
            )
    return list(chosen.values())


@dataclass(frozen=True)
class TagScore:
    """How well captions find the clips of one AudioSet tag; `interval` is that of `precision`."""

    name: str
    clips: int
    precision: float
    recall: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class TagScores:
    """The tags whose clips are found best and worst, among the tags that are common enough.

    If there are few, `best` holds all of them, and `worst` none.
    """

    best: list[TagScore]
    worst: list[TagScore]
    common: int


def fewest_clips(clips: int) -> int:
    """Return how many of C clips must have a tag for its score to be shown."""
    return min(10, max(3, clips // 20))


def tag_scores(retrieval: Retrieval, names: Sequence[str], *, count: int, seed: int) -> TagScores:
    """Score the captions by the K tags of their clips, and return `count` of the best and worst.

    A tag is common enough if it is among the `TOP_TAGS` of at least `fewest_clips` clips.
    """
    evaluation = retrieval.evaluation
    precision, recall = (evaluation.values[name] for name in (f"mAP@{CUTOFF}", "R@10"))
    tags = top_tags(retrieval.logits)
    tags_of_caption = tags[evaluation.clips]
    clips = np.bincount(tags[np.unique(evaluation.clips)].ravel(), minlength=len(names))
    common = np.flatnonzero(clips >= fewest_clips(len(tags)))
    captions = {tag: (tags_of_caption == tag).any(axis=1) for tag in common.tolist()}
    order = sorted(captions, key=lambda tag: (-precision[captions[tag]].mean(), names[tag]))

    def score(tag: int) -> TagScore:
        rows = captions[tag]
        return TagScore(
            names[tag],
            int(clips[tag]),
            float(precision[rows].mean()),
            float(recall[rows].mean()),
            bootstrap_interval(precision[rows], evaluation.clips[rows], seed=seed),
        )

    few = len(order) <= 2 * count
    best, worst = (order, []) if few else (order[:count], order[: -count - 1 : -1])
    return TagScores([*map(score, best)], [*map(score, worst)], len(order))


def top_tags(logits: NDArray[np.float32], *, count: int = TOP_TAGS) -> NDArray[np.int64]:
    """Find the most probable tags of clips, best first: (C, K) ─► (C, count)."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :count]
