"""What found moments are compared with: answers that know no edges, and an oracle."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS
from utils.datasets.moment_lists import MomentQuery
from utils.evaluation.moments import LISTED, best_overlaps
from utils.moments.ranking import candidate_spans
from utils.runs.moments import Ranked, Recording
from utils.runs.scorer import Scorer

_WINDOW, _HOP = 20, 5  # cells: 10 s every 2.5 s, as PaSST's windows
_PASSAGE = 40  # cells: 20 s, as a search has them


def baselines(recording: Recording, scorer: Scorer) -> dict[str, Ranked]:
    """Answer every query in ways that look for no edges.

    Returns
    -------
    dict of str to Ranked
        The whole recording; the windows of 10 s and the passages of about 20 s that are most like
        the query, each embedded as a clip is.

    """
    count = len(recording.cells)
    tens = [(start, min(start + _WINDOW, count)) for start in range(0, count, _HOP)]
    whole = np.array([[0.0, recording.duration, 1.0]])
    return {
        "whole recording": {query.qid: whole for query in recording.queries},
        "best 10 s": _most_alike(recording, scorer, tens),
        "best passage of 20 s": _most_alike(recording, scorer, _passages(count)),
    }


def oracle(recording: Recording) -> Ranked:
    """Answer every query by the best candidate for each true window, in the order of their fit.

    Candidates are those of `utils.moments.ranking`.
    """
    spans = CELL_SECONDS * np.column_stack(candidate_spans(len(recording.cells)))
    return {query.qid: _best_candidates(spans, query) for query in recording.queries}


def _passages(count: int) -> list[tuple[int, int]]:
    """Cut cells into passages; the last is from half a passage to one and a half long."""
    edges = [*range(0, max(1, count - _PASSAGE // 2), _PASSAGE), count]
    return list(pairwise(edges))


def _most_alike(recording: Recording, scorer: Scorer, spans: list[tuple[int, int]]) -> Ranked:
    """Rank spans of cells for each query, each embedded by its mean."""
    sums = np.pad(np.cumsum(recording.rows, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    starts, ends = np.array(spans).T
    means = (sums[ends] - sums[starts]) / (ends - starts)[:, None]
    embedded = scorer.embed(torch.from_numpy(means.astype(np.float32)))
    ranked = {}
    for query, scores in zip(recording.queries, (recording.text @ embedded.T).numpy(), strict=True):
        best = np.argsort(-scores, kind="stable")[:LISTED]
        ranked[query.qid] = np.column_stack(
            [CELL_SECONDS * np.array(spans, float)[best], scores[best]]
        )
    return ranked


def _best_candidates(spans: NDArray[np.float64], query: MomentQuery) -> NDArray[np.float64]:
    best: list[list[float]] = []
    for start, end in query.windows:
        near = spans[(spans[:, 0] < end) & (spans[:, 1] > start)]  # a few of millions, in hours
        if len(near):
            overlaps = best_overlaps(near, [(start, end)])
            best.append([*near[overlaps.argmax()], overlaps.max()])
    return np.array(sorted(best, key=lambda window: -window[2])[:LISTED]).reshape(-1, 3)
