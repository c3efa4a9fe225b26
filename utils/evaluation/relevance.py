"""Which clips are relevant to each query. N queries."""

import ast
import math
from dataclasses import dataclass
from pathlib import Path

from utils.datasets.splits import CaptionSplit
from utils.files import tables
from utils.runtime.errors import InputError, raise_if_any

RELEVANT_HEADER = ["query", "audio_filenames"]
GRADED_HEADER = ["query", "audio_filename", "grade"]
_ADVICE = "Each row is a query and a list of file names: \"['a.wav', 'b.wav']\", in quotes."


@dataclass(frozen=True)
class Relevance:
    """Queries in order, each with its relevant clips.

    A text may occur several times, as in CASTELLA and AudioCaps: each is a query of its own.

    Attributes
    ----------
    queries : list of N str
    clips : list of N non-empty sets of str
        File names.
    grades : list of N dicts of str to float, or None
        How relevant each of these clips is, if that is known.

    """

    queries: list[str]
    clips: list[set[str]]
    grades: list[dict[str, float]] | None = None


def read_relevant_csv(path: Path, clip_names: list[str]) -> Relevance:
    """Read queries that may each have several relevant clips.

    Parameters
    ----------
    path : Path
        CSV with the header query,audio_filenames; names are a list in Python's notation, which is
        parsed as a literal and never run. Every row is a query of its own. Or with the header
        query,audio_filename,grade: every row is a clip, and rows of the same text are one query. A
        clip of the grade 0 is not relevant.
    clip_names : list of str
        The file names that may occur.

    Returns
    -------
    Relevance
        In the order of the file.

    Raises
    ------
    InputError
        If the file is missing or invalid: one message that counts all problems and shows ten.

    Examples
    --------
    >>> import csv, tempfile
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     rows = [["query", "audio_filenames"], ["rain", "['a.wav', 'b.wav']"]]
    ...     csv.writer(file).writerows(rows)
    ...     file.flush()
    ...     relevant = read_relevant_csv(Path(file.name), ["a.wav", "b.wav", "c.wav"])
    >>> relevant.queries, [sorted(clips) for clips in relevant.clips]
    (['rain'], [['a.wav', 'b.wav']])

    """
    rows = tables.read_csv(path)
    header = rows[0][1] if rows else []
    if header not in (RELEVANT_HEADER, GRADED_HEADER):
        raise InputError(tables.header_problem(path, header, ",".join(RELEVANT_HEADER)))
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no queries. {_ADVICE}")
    if header == GRADED_HEADER:
        return _read_grades(path, rows[1:], set(clip_names))
    relevant = Relevance([], [])
    problems = []
    known = set(clip_names)
    for line, cells in rows[1:]:
        query, names, problem = _read_row(cells)
        if unknown := sorted(set(names) - known):
            problem = f"{unknown[0]!r} is not one of the {len(known)} clips"
        if problem:
            problems.append(f"line {line}: {problem}")
        relevant.queries.append(query)
        relevant.clips.append(set(names))
    raise_if_any(problems, path, _ADVICE)
    return relevant


def _read_grades(path: Path, rows: list[tuple[int, list[str]]], known: set[str]) -> Relevance:
    grades: dict[str, dict[str, float]] = {}
    problems = []
    for line, cells in rows:
        if len(cells) != len(GRADED_HEADER):
            problems.append(f"line {line}: {len(cells)} columns, not {len(GRADED_HEADER)}")
            continue
        query, name, text = cells
        of_query = grades.setdefault(query, {})
        if not query.strip():
            problems.append(f"line {line}: the query is empty")
        if name not in known:
            problems.append(f"line {line}: {name!r} is not one of the {len(known)} clips")
        if name in of_query:
            problems.append(f"line {line}: {name!r} has a grade for this query already")
        of_query[name] = _grade(text)
        if of_query[name] < 0:
            problems.append(f"line {line}: {text!r} is not a grade: a number from 0")
    relevant = {
        query: {name: grade for name, grade in of_query.items() if grade > 0}
        for query, of_query in grades.items()
    }
    problems += [f"{query!r} has no relevant clip" for query, of in relevant.items() if not of]
    raise_if_any(problems, path, "Each row is a query, a file name, and how relevant that clip is.")
    clips = [set(of_query) for of_query in relevant.values()]
    return Relevance(list(relevant), clips, list(relevant.values()))


def _grade(text: str) -> float:
    """Read a grade; -1 if it is none."""
    try:
        grade = float(text)
    except ValueError:
        return -1
    return grade if math.isfinite(grade) else -1


def relevant_by_caption(split: CaptionSplit) -> Relevance:
    """List the captions of a split, each with all clips that have this caption, usually one."""
    clips: dict[str, set[str]] = {}
    for caption, clip in zip(split.captions, split.clip_of_caption.tolist(), strict=True):
        clips.setdefault(caption, set()).add(split.clip_names[clip])
    return Relevance(split.captions, [clips[caption] for caption in split.captions])


def _read_row(cells: list[str]) -> tuple[str, list[str], str | None]:
    """Return query, file names and what is wrong with them."""
    query = cells[0]
    if len(cells) != len(RELEVANT_HEADER):
        return query, [], f"{len(cells)} columns, not {len(RELEVANT_HEADER)}"
    if not query.strip():
        return query, [], "the query is empty"
    try:
        names = ast.literal_eval(cells[1].strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        return query, [], f"{cells[1][:200]!r} is not a list of file names"
    return query, names, None
