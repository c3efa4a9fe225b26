"""The report of a search for moments: scores, what limits them, and answers that are drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.evaluation.moments import METRICS, scored_windows
from utils.runs.moments import Answer
from utils.runs.report.moment_findings import (
    ENOUGH,
    STAGES,
    Judged,
    best_answers,
    by_length,
    overlaps_of,
    worst_answers,
)
from utils.runs.report.rendering import render

_SHOWN_WORST, _SHOWN_BEST = 12, 4
_WIDTH = 1000  # units of a drawing, for the whole recording
_NARROWEST = 4  # units, of a window
_CURVE, _TRUE, _LISTED, _STEP = 64, 70, 84, 7  # pixels: heights of the curve and of what is below


def moment_page(
    name: str,
    answers: Sequence[Answer],
    judged: Judged | None,
    *,
    rows: Mapping[str, Mapping[str, float]],
    how: str,
    facts: Mapping[str, Any],
    note: str | None,
    seed: int,
) -> str:
    """Write the page.

    Parameters
    ----------
    name : str
        Of the data set and its split.
    answers : sequence of Answer
        One or more.
    judged : Judged or None
        The answers beside the truth; None if no query has true windows.
    rows : mapping of label to metrics
        The scores, those of the answers last; empty without the truth.
    how : str
        By what the moments were found.
    facts : mapping of str to Any
        What the page lists about model and settings.
    note : str or None
        A warning about the data.
    seed : int
        Of the intervals.

    """
    durations = {answer.recording: answer.duration for answer in answers}
    return render(
        "moments.html",
        digits=1,
        title=f"Moments of {name}",
        name=name,
        queries=len(answers),
        recordings=len(durations),
        hours=sum(durations.values()) / 3600,
        how=how,
        note=note,
        names=list(METRICS),
        rows=rows,
        stages=STAGES,
        enough=ENOUGH[0],
        truth=judged and _beside_truth(judged, seed),
        some=[] if judged else list(map(_drawing, _some(answers))),
        facts_of_run=facts,
    )


def _beside_truth(judged: Judged, seed: int) -> dict[str, Any]:
    worst = worst_answers(judged, count=_SHOWN_WORST)
    best = best_answers(judged, count=_SHOWN_BEST)
    return {
        "queries": len(judged.answers),
        "intervals": judged.scores.intervals(seed=seed),
        "groups": by_length(judged, seed=seed),
        "wrong": int((judged.overlaps[:, 0] < ENOUGH[0]).sum()),
        "worst": list(map(_drawing, worst)),
        "best": list(map(_drawing, best)),
    }


def _some(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Take a few answers, evenly spaced."""
    return answers[:: -(-len(answers) // _SHOWN_WORST)]


def _drawing(answer: Answer) -> dict[str, Any]:
    """Describe an answer: curves over time, true windows, and those that are listed."""
    true = sorted(scored_windows(answer.query))
    overlaps = overlaps_of(answer).tolist() if true else [None] * len(answer.windows)
    likeness = answer.likeness - answer.likeness.min()
    highest = max(answer.windows[:, 2].max(initial=0), 1e-6)
    return {
        "query": answer.query.query,
        "recording": answer.recording,
        "times": [clock(answer.duration * share, digits=0) for share in (0, 0.5, 1)],
        "height": _LISTED + _STEP * len(answer.windows),
        "line": _path(likeness / max(likeness.max(), 1e-6)),
        "area": f"M0 {_CURVE}L{_path(answer.inside)[1:]}L{_WIDTH} {_CURVE}Z",
        "true": [{**_place(window, answer.duration), "y": _TRUE} for window in true],
        "windows": [
            {
                **_place(window[:2], answer.duration),
                "y": _LISTED + _STEP * place,
                "score": f"{window[2]:.2f}",
                "opacity": f"{0.25 + 0.75 * window[2] / highest:.2f}",
                "overlap": None if overlap is None else f"{overlap:.2f}",
                "right": overlap is not None and overlap >= ENOUGH[0],
            }
            for place, (window, overlap) in enumerate(zip(answer.windows, overlaps, strict=True))
        ],
    }


def _place(window: Sequence[float] | NDArray[np.float64], duration: float) -> dict[str, str]:
    """Describe a window on the axis of time, at least as wide as can be seen."""
    start, end = window
    left, right = _WIDTH * start / duration, _WIDTH * end / duration
    return {
        "x": f"{min(left, _WIDTH - _NARROWEST):.1f}",
        "width": f"{max(right - left, _NARROWEST):.1f}",
        "time": f"{clock(start)}–{clock(end)}",
    }


def _path(curve: NDArray[np.floating]) -> str:
    """Draw a curve of values from 0 to 1."""
    x = _WIDTH * (np.arange(len(curve)) + 0.5) / len(curve)
    y = _CURVE - (_CURVE - 2) * curve
    return "M" + "L".join(f"{a:.0f} {b:.1f}" for a, b in zip(x, y, strict=True))


def clock(seconds: float, *, digits: int = 1) -> str:
    """Write a time as a player shows it.

    Examples
    --------
    >>> clock(62.54), clock(3600, digits=0)
    ('1:02.5', '1:00:00')

    """
    minutes, rest = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    begin = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{begin}:{rest:0{digits + 3 if digits else 2}.{digits}f}"
