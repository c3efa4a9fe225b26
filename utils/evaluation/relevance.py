"""Which clips are relevant to each query. N queries."""

import ast
from dataclasses import dataclass
from pathlib import Path

from utils.datasets.splits import CaptionSplit
from utils.files import tables
from utils.runtime.errors import InputError, raise_if_any

RELEVANT_HEADER = ["query", "audio_filenames"]
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

    """

    queries: list[str]
    clips: list[set[str]]


def read_relevant_csv(path: Path, clip_names: list[str]) -> Relevance:
    """Read queries that may each have several relevant clips; every row is a query of its own.

    Parameters
    ----------
    path : Path
        CSV with the header query,audio_filenames; names are a list in Python's notation, which is
        parsed as a literal and never run.
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
    if header != RELEVANT_HEADER:
        raise InputError(tables.header_problem(path, header, ",".join(RELEVANT_HEADER)))
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no queries. {_ADVICE}")
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
