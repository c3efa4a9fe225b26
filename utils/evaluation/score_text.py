"""Scores and examples as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from utils.datasets.splits import CaptionSplit
from utils.evaluation import metrics, moments
from utils.evaluation.metrics import CUTOFF, METRICS, Evaluation
from utils.evaluation.moments import MomentScores
from utils.evaluation.relevance import Relevance

_NAME_WIDTH = 42
_CAPTION_WIDTH = 90


def score_table(
    rows: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, tuple[float, float]],
    *,
    names: Sequence[str] = METRICS,
    digits: int = 3,
) -> str:
    """Format a table of scores by label and metric, and the 95 % intervals of the last row."""
    width = max(map(len, [*rows, "95 % interval"])) + 2
    lines = [" " * width + "".join(f"{name:>14}" for name in names)]
    lines += [
        f"{label:<{width}}" + "".join(f"{scores[name]:>14.{digits}f}" for name in names)
        for label, scores in rows.items()
    ]
    ranges = (f"{low:.{digits}f}-{high:.{digits}f}" for low, high in map(intervals.get, names))
    lines.append(f"{'95 % interval':<{width}}" + "".join(f"{text:>14}" for text in ranges))
    return "\n".join(lines)


def audio_to_text_line(scores: Mapping[str, float]) -> str:
    """Summarise audio-to-text retrieval in one line."""
    numbers = "  ".join(f"{name} {scores[name]:.3f}" for name in METRICS)
    return f"audio to text (any own caption counts for R@k): {numbers}"


def examples(split: CaptionSplit, evaluation: Evaluation, *, count: int = 3, top: int = 3) -> str:
    """Show what a few queries retrieve: evenly spaced clips, the first caption of each.

    The clip that the query was written for is marked with a star; each clip is shown with its own
    first caption.
    """
    caption_of_clip: dict[int, int] = {}
    for caption, clip in enumerate(split.clip_of_caption.tolist()):
        caption_of_clip.setdefault(clip, caption)
    clips = sorted(caption_of_clip)
    lines: list[str] = []
    for clip in clips[:: max(1, len(clips) // count)][:count]:
        query = caption_of_clip[clip]
        lines.append(f"\n“{split.captions[query]}”  (own clip at rank {evaluation.ranks[query]})")
        for place, (found, score) in enumerate(
            zip(evaluation.best[query][:top], evaluation.scores[query][:top], strict=True), 1
        ):
            star = "*" if found == clip else " "
            name = _shorten(split.clip_names[found], _NAME_WIDTH)
            described = _shorten(split.captions[caption_of_clip[int(found)]], _CAPTION_WIDTH)
            lines.append(f"  {place}.{star} {score:.3f}  {name:<{_NAME_WIDTH}}  {described}")
    return "\n".join(lines)


def epoch_line(row: Mapping[str, float], epochs: int, *, best: bool) -> str:
    """Summarise an epoch in one line."""
    return (
        f"epoch {row['epoch']:>3}/{epochs}  loss {row['train_loss']:.4f}  "
        f"validation {row['validation_loss']:.4f}  "
        f"mAP@10 {row['mAP@10']:.4f}{'  best so far' if best else ''}"
    )


def captions_and_clips(split: CaptionSplit) -> str:
    """Count a split, e.g. '300 captions of 60 clips'."""
    return f"{len(split.captions)} captions of {len(split.clip_names)} clips"


def score_queries(
    found: Sequence[Sequence[str]],
    relevance: Relevance,
    *,
    divide_by: str,
    cutoff: int = CUTOFF,
    seed: int,
) -> str:
    """Format the scores of results, their 95 % intervals, and how they are defined.

    Parameters and errors are those of `utils.evaluation.metrics.several_relevant`.
    """
    values = metrics.several_relevant(found, relevance.clips, divide_by=divide_by, cutoff=cutoff)
    if relevance.grades is not None:
        graded = metrics.graded_relevance(found, relevance.grades, cutoff=cutoff)
        values[f"nDCG@{cutoff}"] = graded
    each = np.arange(len(relevance.queries))
    means = {name: float(value.mean()) for name, value in values.items()}
    intervals = {
        name: metrics.bootstrap_interval(value, each, seed=seed) for name, value in values.items()
    }
    convention = metrics.AP_CONVENTIONS[divide_by].format(cutoff=cutoff)
    return (
        f"{score_table({'scores': means}, intervals, names=list(values))}\n"
        "R@k is the share of a query's relevant clips among the first k; "
        f"AP@{cutoff} is divided by {convention}"
    )


def moment_table(
    scores: MomentScores, *, seed: int, rows: Mapping[str, Mapping[str, float]] | None = None
) -> str:
    """Format the scores of moments, and their 95 % intervals, in per cent.

    `rows` are what the table shows, if it is more than these scores: they are the last.
    """
    intervals = scores.intervals(seed=seed)
    rows = rows or {"scores": scores.means()}
    table = score_table(rows, intervals, names=moments.METRICS, digits=2)
    return f"{table}\nin per cent; mAP is the mean over overlaps of 0.50, 0.55, ..., 0.95"


def moment_json(scores: MomentScores, *, seed: int) -> dict[str, Any]:
    """Collect the scores of moments in the form of the published evaluator, with intervals."""
    full = scores.at_thresholds()
    return {
        "brief": {f"MR-full-{name}": round(mean, 2) for name, mean in scores.means().items()},
        "full": {
            kind: {at: round(mean, 2) for at, mean in means.items()} for kind, means in full.items()
        },
        "unrounded": full,
        "intervals_95": {
            name: [round(low, 2), round(high, 2)]
            for name, (low, high) in scores.intervals(seed=seed).items()
        },
        "queries": len(scores.recordings),
        "recordings": len(set(scores.recordings.tolist())),
    }


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
