"""Files of predicted moments: read for scoring, and checked as submissions. N queries.

A row of JSON Lines is a query: qid, query, vid and pred_relevant_windows, best first. A window is
[start, end, score] for scoring and [start, end] in a submission, in seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.datasets.moment_lists import MomentQuery, is_seconds
from utils.evaluation.moments import LISTED, Predicted
from utils.files.json_lines import read_json_lines, write_json_lines
from utils.runtime.errors import raise_if_any, shown

WINDOWS = "pred_relevant_windows"
# Lists round durations down to whole seconds, so that a recording may be a little longer.
_TOLERANCE = 1.0  # seconds

Row = dict[str, Any]


def read_predictions(
    path: Path, queries: Sequence[MomentQuery], *, partial: bool = False
) -> dict[str, Predicted]:
    """Read the windows that a system predicts for queries, one row for each query, in any order.

    Rows are matched by qid alone. Windows may reach out of the recording, and may have no length.

    Parameters
    ----------
    queries : sequence of N MomentQuery
    partial : bool
        Accept a file without some of the queries, or without windows for them.

    Returns
    -------
    dict of qid to windows
        As listed: [start, end] or [start, end, score].

    Raises
    ------
    InputError
        If the file is missing or invalid, or lacks a query: one message that counts all problems.

    """
    rows, problems = _read_rows(path, queries, lambda row, _: _scored_problems(row))
    empty = [qid for qid, row in rows.items() if row.get(WINDOWS) == []]
    missing = [*_missing(rows, queries), *(f"no window for qid {qid!r}" for qid in empty)]
    advice = f"Each of the {len(queries)} queries needs one row, with a window."
    if missing and not partial:
        advice += f" {len(missing)} have none; --partial counts them as not found."
    raise_if_any(problems if partial else problems + missing, path, advice)
    return {qid: row[WINDOWS] for qid, row in rows.items()}


def notes_on(predictions: Mapping[str, Predicted]) -> list[str]:
    """Say how many queries are scored by rules that may surprise."""
    unsorted = sum(map(_is_unsorted, predictions.values()))
    long = sum(len(windows) > LISTED for windows in predictions.values())
    notes = {
        "list a window before one with a higher score: R1 takes the first as listed": unsorted,
        f"list more than {LISTED} windows: AP takes the first {LISTED} as listed": long,
    }
    return [
        f"{count} of {len(predictions)} queries {what}" for what, count in notes.items() if count
    ]


def check_moment_submission(path: Path, queries: Sequence[MomentQuery]) -> list[str]:
    """List what is wrong with a submission, each problem with its line; empty if it is valid.

    It needs one row for each query, with the query's text and recording, and at least one window of
    two numbers inside the recording. As durations are rounded down, a window may end up to a second
    after the duration of the list.

    Parameters
    ----------
    queries : sequence of N MomentQuery

    Raises
    ------
    InputError
        If the file cannot be read.

    """
    rows, problems = _read_rows(path, queries, _submitted_problems)
    return problems + _missing(rows, queries)


def write_predictions(
    path: Path, queries: Sequence[MomentQuery], ranked: Mapping[str, NDArray[np.float64]]
) -> None:
    """Write the windows of queries for scoring, best first: [start, end, score] each.

    As they are sorted and at most ten are scored, all readings of the published rules agree.

    Parameters
    ----------
    ranked : mapping of qid to ndarray, shape (N, 3)

    """
    write_json_lines(path, (_row(query, ranked[query.qid]) for query in queries))


def write_submission(
    path: Path, queries: Sequence[MomentQuery], ranked: Mapping[str, NDArray[np.float64]]
) -> None:
    """Write the windows of queries as DCASE 2026 task 6 wants them: [start, end], best first."""
    write_json_lines(path, (_row(query, ranked[query.qid][:, :2]) for query in queries))


def _row(query: MomentQuery, windows: NDArray[np.float64]) -> Row:
    named = {"qid": query.qid, "query": query.query, "vid": query.vid}
    return {**named, WINDOWS: np.round(windows, 4).tolist()}


def _read_rows(
    path: Path,
    queries: Sequence[MomentQuery],
    problems_of: Callable[[Row, MomentQuery], Iterable[str]],
) -> tuple[dict[str, Row], list[str]]:
    """Read the rows of queries by qid, and what is wrong, by line."""
    query_of = {query.qid: query for query in queries}
    lines, problems = read_json_lines(path)
    rows, first = {}, {}
    for line, row in lines:
        qid = str(row.get("qid"))
        if qid not in query_of:
            found = [f"qid {shown(row.get('qid'))} is not one of the {len(queries)} queries"]
        elif qid in first:
            found = [f"qid {qid!r} is already on line {first[qid]}"]
        else:
            rows[qid], first[qid] = row, line
            found = problems_of(row, query_of[qid])
        problems += [f"line {line}: {problem}" for problem in found]
    return rows, problems


def _missing(rows: Mapping[str, Row], queries: Sequence[MomentQuery]) -> list[str]:
    return [f"no row for qid {query.qid!r}" for query in queries if query.qid not in rows]


def _scored_problems(row: Row) -> Iterator[str]:
    windows = row.get(WINDOWS)
    if not isinstance(windows, list):
        yield _no_list(windows)
        return
    for window in windows:
        if not _are_seconds(window) or len(window) not in (2, 3):
            yield f"window {shown(window)} must be [start, end] or [start, end, score], as numbers"
        elif window[0] > window[1]:
            yield f"window {shown(window)} ends before it starts"
    if len({len(window) for window in windows if isinstance(window, list)}) > 1:
        yield "some windows have a score, and others have none"


def _submitted_problems(row: Row, query: MomentQuery) -> Iterator[str]:
    for key, wanted in (("query", query.query), ("vid", query.vid)):
        if row.get(key) != wanted:
            yield f"{key} is {shown(row.get(key))}, and must be {wanted!r}"
    windows = row.get(WINDOWS)
    if not isinstance(windows, list):
        yield _no_list(windows)
        return
    if not windows:
        yield f"{WINDOWS} is empty, and needs a window"
    for window in windows:
        if not _are_seconds(window) or len(window) != 2:
            yield f"window {shown(window)} must be [start, end], two numbers"
        elif window[0] >= window[1]:
            yield f"window {shown(window)} does not end after its start"
        elif window[0] < 0 or window[1] > query.duration + _TOLERANCE:
            yield f"window {shown(window)} is outside the recording of {query.duration:g} s"


def _no_list(value: Any) -> str:
    return f"{WINDOWS} is {shown(value)}, and must be a list of windows"


def _are_seconds(window: Any) -> bool:
    return isinstance(window, list) and all(map(is_seconds, window))


def _is_unsorted(windows: Predicted) -> bool:
    scores = [window[2] for window in windows if len(window) > 2]
    return scores != sorted(scores, reverse=True)
