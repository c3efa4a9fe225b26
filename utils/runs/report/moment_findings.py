"""How well moments are found, beyond the scores: the numbers behind a report of moments.

N queries with true windows that count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.evaluation.moments import (
    LISTED,
    MomentScores,
    best_overlaps,
    score_moments,
    scored_windows,
)
from utils.runs.moments import Answer, Ranked

STAGES = ("first", "ten", "possible")  # that may be right
ENOUGH = (0.5, 0.7)  # overlaps from which a window is right
_LONG = (3.0, 10.0)  # seconds, between the kinds of moments
_KINDS = ("< 3 s", "3–10 s", "> 10 s")


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers beside the truth.

    Attributes
    ----------
    answers : list of N Answer
    scores : MomentScores
    overlaps : ndarray, shape (N, 3)
        With the nearest true window: of the first window, of the best listed one, and of the best
        candidate, before the edges of windows are moved.

    """

    answers: list[Answer]
    scores: MomentScores
    overlaps: NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Queries whose moments are about as long, with their scores in per cent.

    `right` has, for each of `ENOUGH`, the share of queries for which each of `STAGES` is right.
    """

    label: str
    queries: int
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    right: dict[float, list[float]]


def judge(answers: Sequence[Answer], candidates: Ranked) -> Judged:
    """Compare answers with the true windows of their queries, of which one or more has some.

    Parameters
    ----------
    candidates : Ranked
        From `utils.runs.moment_baselines.oracle`.

    """
    scored = [answer for answer in answers if scored_windows(answer.query)]
    found = {answer.query.qid: answer.windows for answer in scored}
    overlaps = np.zeros((len(scored), len(STAGES)))
    for row, answer in zip(overlaps, scored, strict=True):
        listed = overlaps_of(answer)[:LISTED]
        fits = candidates[answer.query.qid][:, 2]
        row[:] = listed[0] if len(listed) else 0, listed.max(initial=0), fits.max(initial=0)
    return Judged(scored, score_moments(found, [answer.query for answer in scored]), overlaps)


def overlaps_of(answer: Answer) -> NDArray[np.float64]:
    """Overlap each window of an answer with the nearest true one."""
    return best_overlaps(answer.windows, scored_windows(answer.query))


def by_length(judged: Judged, *, seed: int) -> list[Group]:
    """Group the queries by the mean length of their true windows; the last group has all."""
    lengths = [np.diff(scored_windows(answer.query)).mean() for answer in judged.answers]
    kinds = np.searchsorted(_LONG, lengths)
    kinds[np.equal(lengths, _LONG[0])] = 1
    masks = {label: kinds == kind for kind, label in enumerate(_KINDS)}
    masks["all"] = np.ones(len(kinds), dtype=bool)
    return [_group(judged, label, rows, seed) for label, rows in masks.items() if rows.any()]


def _group(judged: Judged, label: str, rows: NDArray[np.bool_], seed: int) -> Group:
    scores, overlaps = judged.scores.among(rows), judged.overlaps[rows]
    right = {enough: (100 * (overlaps >= enough).mean(axis=0)).tolist() for enough in ENOUGH}
    return Group(label, int(rows.sum()), scores.means(), scores.intervals(seed=seed), right)


def worst_answers(judged: Judged, *, count: int) -> list[Answer]:
    """Find answers whose first window is wrong: those furthest from the truth, surest first.

    No recording is shown twice before all others with such an answer.
    """
    first, listed, _ = judged.overlaps.T
    order = np.lexsort((-_first_scores(judged), listed, first))
    return _spread(judged, order[first[order] < ENOUGH[0]], count)


def best_answers(judged: Judged, *, count: int) -> list[Answer]:
    """Find answers whose first window is right, the best of each recording first."""
    first = judged.overlaps[:, 0]
    order = np.argsort(-first, kind="stable")
    return _spread(judged, order[first[order] >= ENOUGH[0]], count)


def _first_scores(judged: Judged) -> NDArray[np.float64]:
    return np.array([answer.windows[:1, 2].sum() for answer in judged.answers])


def _spread(judged: Judged, order: NDArray[np.int64], count: int) -> list[Answer]:
    """Take turns between recordings."""
    seen: Counter[str] = Counter()
    turns = []
    for answer in (answers := [judged.answers[row] for row in order]):
        turns.append(seen[answer.recording])
        seen[answer.recording] += 1
    return [answers[place] for place in np.argsort(turns, kind="stable")[:count]]
