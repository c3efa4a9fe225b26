"""What found moments are compared with: answers that know no edges, and an oracle.

Shapes: C cells of a recording, N windows.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS
from utils.evaluation.moments import LISTED
from utils.moments.ranking import candidate_spans
from utils.runs.moments import Ranked, Recording
from utils.runs.scorer import Scorer

_WINDOW, _HOP = 20, 5  # cells: 10 s every 2.5 s, as PaSST's windows
_PASSAGE = 40  # cells: 20 s, as a search has them


def baselines(recordings: Iterable[Recording], scorer: Scorer) -> dict[str, Ranked]:
    """Answer every query in ways that look for no edges, and by an oracle.

    Returns
    -------
    dict of str to Ranked
        The whole recording; the windows of 10 s and the passages of about 20 s that are most like
        the query, each embedded as a clip is; for each true window the best candidate of
        `utils.moments.ranking`, in the order of their fit.

    """
    found: dict[str, Ranked] = {
        name: {} for name in ("whole recording", "best 10 s", "best passage of 20 s", "oracle")
    }
    whole, windows, passages, oracle = found.values()
    for recording in recordings:
        count = len(recording.cells)
        tens = [(start, min(start + _WINDOW, count)) for start in range(0, count, _HOP)]
        scores_of_tens = _likeness(recording, scorer, tens)
        twenties = _passages(count)
        scores_of_twenties = _likeness(recording, scorer, twenties)
        for number, query in enumerate(recording.queries):
            whole[query.qid] = np.array([[0.0, recording.duration, 1.0]])
            windows[query.qid] = _ranked(tens, scores_of_tens[number])
            passages[query.qid] = _ranked(twenties, scores_of_twenties[number])
            oracle[query.qid] = _best_candidates(count, query.windows)
    return found


def _passages(count: int) -> list[tuple[int, int]]:
    """Cut cells into passages; the last is from half a passage to one and a half long."""
    edges = [*range(0, max(1, count - _PASSAGE // 2), _PASSAGE), count]
    return list(pairwise(edges))


def _likeness(
    recording: Recording, scorer: Scorer, spans: list[tuple[int, int]]
) -> NDArray[np.float32]:
    """Score spans of cells for each query, each embedded by its mean: (queries, spans)."""
    sums = np.pad(np.cumsum(recording.rows, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    starts, ends = np.array(spans).T
    means = (sums[ends] - sums[starts]) / (ends - starts)[:, None]
    embedded = scorer.embed(torch.from_numpy(means.astype(np.float32)))
    return (recording.text @ embedded.T).numpy()


def _ranked(spans: list[tuple[int, int]], scores: NDArray[np.float32]) -> NDArray[np.float64]:
    best = np.argsort(-scores, kind="stable")[:LISTED]
    return np.column_stack([CELL_SECONDS * np.array(spans, float)[best], scores[best]])


def _best_candidates(count: int, windows: Iterable[tuple[float, float]]) -> NDArray[np.float64]:
    spans = CELL_SECONDS * np.column_stack(candidate_spans(count))
    best: list[list[float]] = []
    for start, end in windows:
        shared = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
        hull = np.maximum(spans[:, 1], end) - np.minimum(spans[:, 0], start)
        overlap = shared / hull
        best.append([*spans[overlap.argmax()], overlap.max()])
    return np.array(sorted(best, key=lambda window: -window[2])[:LISTED]).reshape(-1, 3)
