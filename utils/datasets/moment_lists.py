"""Lists of moments: what is asked about long recordings, and when it is heard in them.

Two forms are read. In JSON Lines, as line/lighthouse and DCASE 2026 task 6 publish them, a row is a
query: qid, query, vid, duration, relevant_windows. In JSON, as line/CASTELLA publishes them, an
item is a recording: yid, duration, num_moments, and moments with local_caption and timestamps.

Windows keep the seconds of the list, and scores use these. CASTELLA's reach beyond the end of
recordings, because its durations are rounded down and its ends up: training takes
`MomentQuery.windows_within`.

CASTELLA: https://github.com/line/CASTELLA. Clotho-Moment: "Language-based audio moment retrieval",
arXiv 2409.15672.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.datasets.splits import is_caption, is_name
from utils.files import json_lines, reading
from utils.runtime.errors import InputError, counted, raise_if_any, shown

Window = tuple[float, float]  # start and end, in seconds

_LATEST = 1e9  # seconds
_FIX = "Fix the list, or use the published one."


@dataclass(frozen=True)
class MomentQuery:
    """What is asked about a recording.

    Attributes
    ----------
    qid : str
        Names the query; a number in the list becomes a text.
    query : str
        The text, verbatim.
    vid : str
        Names the recording.
    duration : float
        Of the recording, in seconds, as the list says.
    windows : tuple of (float, float)
        When it is heard: start and end in seconds, as in the list and in its order. Empty if the
        list does not say.

    """

    qid: str
    query: str
    vid: str
    duration: float
    windows: tuple[Window, ...] = ()

    @property
    def windows_within(self) -> tuple[Window, ...]:
        """The windows in order of time, cut at the end of the recording.

        Windows that begin there or later, or are empty, are left out.

        Examples
        --------
        >>> MomentQuery("1", "rain", "roof", 60, ((50, 62), (60, 61), (3, 9))).windows_within
        ((3, 9), (50, 60))

        """
        cut = ((start, min(end, self.duration)) for start, end in self.windows)
        return tuple(sorted(window for window in cut if window[0] < window[1]))


def read_moment_list(path: str | Path) -> list[MomentQuery]:
    """Read a list of moments: the first result of `read_with_notes`."""
    return read_with_notes(path)[0]


def read_with_notes(path: str | Path) -> tuple[list[MomentQuery], list[str]]:
    """Read a list of moments, in either form.

    Returns
    -------
    queries : list of MomentQuery
        In the order of the list. In the JSON form each moment is a query, ``<yid>_<n>`` with n
        from 1.
    notes : list of str
        What is odd, counted.

    Raises
    ------
    InputError
        If the file is missing, has neither form, or has no query. The message counts all problems
        and shows the first ten.

    """
    if reading.read_text(path).lstrip().startswith("["):
        rows, problems, notes = _queries_of_recordings(reading.read_json(path))
    else:
        lines, problems = json_lines.read_json_lines(path)
        rows, notes = [(f"line {line}", row) for line, row in lines], []
    queries, wrong = parse_rows(rows)
    raise_if_any([*problems, *wrong], path, _FIX)
    if not queries:
        raise InputError(f"{path} has no queries. {_FIX}")
    return queries, [*notes, *_notes_on_windows(queries)]


def parse_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> tuple[list[MomentQuery], list[str]]:
    """Make queries of rows as in JSON Lines, each with the place where it is.

    Returns
    -------
    queries : list of MomentQuery
    problems : list of str
        What is wrong with other rows, by place.

    """
    queries, problems, first = [], [], {}
    for place, row in rows:
        wrong = list(_row_problems(row))
        qid = str(row.get("qid"))
        if not wrong and qid in first:
            wrong = [f"qid {qid!r} is already that of {first[qid]}"]
        problems += [f"{place}: {problem}" for problem in wrong]
        if not wrong:
            first[qid] = place
            windows = tuple((float(s), float(e)) for s, e in row.get("relevant_windows", ()))
            queries.append(
                MomentQuery(qid, row["query"], row["vid"], float(row["duration"]), windows)
            )
    return queries, problems


def write_moment_list(path: str | Path, queries: Iterable[MomentQuery]) -> None:
    """Write a list of moments in JSON Lines, whole or not at all.

    Seconds without a fraction are written as whole numbers, and queries without windows without
    ``relevant_windows``, as published. Raises an InputError if the file cannot be written.
    """
    json_lines.write_json_lines(path, map(as_row, queries))


def as_row(query: MomentQuery) -> dict[str, Any]:
    """Turn a query into a row of a list in JSON Lines."""
    row: dict[str, Any] = {
        "qid": query.qid,
        "query": query.query,
        "duration": _plain(query.duration),
        "vid": query.vid,
    }
    if query.windows:
        row["relevant_windows"] = [[_plain(s), _plain(e)] for s, e in query.windows]
    return row


def is_seconds(value: Any) -> bool:
    """Whether a value can be a time: a finite number, no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LATEST


def _queries_of_recordings(
    recordings: list[Any],
) -> tuple[list[tuple[str, dict[str, Any]]], list[str], list[str]]:
    """Make the rows of queries from recordings with moments; also problems and notes."""
    rows, problems, disagreeing, without = [], [], 0, 0
    for position, recording in enumerate(recordings, start=1):
        moments = recording.get("moments") if isinstance(recording, dict) else None
        place = f"recording {position}"
        if not isinstance(moments, list) or not all(isinstance(m, dict) for m in moments):
            problems.append(f"{place}: {shown(recording)} has no list of moments")
            continue
        vid = recording.get("yid")
        for n, moment in enumerate(moments, start=1):
            row = {
                "qid": f"{vid}_{n}",
                "query": moment.get("local_caption"),
                "vid": vid,
                "duration": recording.get("duration"),
                "relevant_windows": moment.get("timestamps", "missing"),
            }
            rows.append((f"{place}, moment {n}", row))
        disagreeing += recording.get("num_moments", len(moments)) != len(moments)
        without += not moments
    notes = []
    if disagreeing:
        notes.append(
            f"num_moments is not the number of moments in {counted(disagreeing, 'recording')}; "
            "the moments count"
        )
    if without:
        notes.append(f"{counted(without, 'recording')} without moments; no query asks about them")
    return rows, problems, notes


def _row_problems(row: dict[str, Any]) -> Iterator[str]:
    qid, query, vid = row.get("qid"), row.get("query"), row.get("vid")
    if isinstance(qid, bool) or not isinstance(qid, int | str) or not _is_said(str(qid)):
        yield f"qid is {shown(qid)}, and must be a text or a whole number"
    if not _is_said(query):
        yield f"query is {shown(query)}, and must be a text"
    if not is_name(vid):
        yield f"vid is {shown(vid)}, and must be the name of a recording, without a folder"
    duration = row.get("duration")
    if not is_seconds(duration) or duration <= 0:
        yield f"duration is {shown(duration)}, and must be seconds above 0"
    windows = row.get("relevant_windows", [])
    if not isinstance(windows, list):
        yield f"relevant_windows is {shown(windows)}, and must be a list of [start, end]"
        return
    for window in windows:
        if not _is_window(window):
            yield f"window {shown(window)} must be [start, end] in seconds, 0 <= start <= end"


def _is_said(value: Any) -> bool:
    return is_caption(value) and bool(value.strip())


def _is_window(window: Any) -> bool:
    return (
        isinstance(window, list)
        and len(window) == 2
        and all(map(is_seconds, window))
        and 0 <= window[0] <= window[1]
    )


def _notes_on_windows(queries: list[MomentQuery]) -> list[str]:
    windows = [(query.duration, *window) for query in queries for window in query.windows]
    counts = {
        "reaching beyond the end of the recording; cut there for training": sum(
            start < duration < end for duration, start, end in windows
        ),
        "wholly beyond the end of the recording; left out of training": sum(
            start >= duration for duration, start, _ in windows
        ),
        "without a length; left out of training": sum(
            start == end < duration for duration, start, end in windows
        ),
    }
    notes = [f"{counted(count, 'window')} {what}" for what, count in counts.items() if count]
    if unheard := sum(bool(query.windows) and not query.windows_within for query in queries):
        has = "query has no window in its" if unheard == 1 else "queries have no window in their"
        notes.append(f"{unheard} {has} recording; left out of training")
    return notes


def _plain(seconds: float) -> float:
    """Write seconds without a fraction as a whole number."""
    return int(seconds) if float(seconds).is_integer() else seconds
