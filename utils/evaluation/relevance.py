"""Which clips are relevant to each query. N queries."""

import ast
from pathlib import Path

from utils.datasets.splits import CaptionSplit
from utils.files import tables
from utils.runtime.errors import InputError, raise_if_any

RELEVANT_HEADER = ["query", "audio_filenames"]
_ADVICE = "Each row is a query and a list of file names: \"['a.wav', 'b.wav']\", in quotes."


def read_relevant_csv(path: Path, clip_names: list[str]) -> dict[str, set[str]]:
    """Read queries that may each have several relevant clips.

    Parameters
    ----------
    path : Path
        CSV with the header query,audio_filenames; names are a list in Python's notation, which is
        parsed as a literal and never run.
    clip_names : list of str
        The file names that may occur.

    Returns
    -------
    dict of N queries to set of str
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
    >>> sorted(relevant["rain"])
    ['a.wav', 'b.wav']

    """
    rows = tables.read_csv(path)
    header = rows[0][1] if rows else []
    if header != RELEVANT_HEADER:
        raise InputError(tables.header_problem(path, header, ",".join(RELEVANT_HEADER)))
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no queries. {_ADVICE}")
    relevant: dict[str, set[str]] = {}
    line_of: dict[str, int] = {}
    problems = []
    known = set(clip_names)
    for line, cells in rows[1:]:
        query, names, problem = _read_row(cells)
        if query in relevant:
            problem = f"the query {query!r} is already on line {line_of[query]}"
        elif unknown := sorted(set(names) - known):
            problem = f"{unknown[0]!r} is not one of the {len(known)} clips"
        if problem:
            problems.append(f"line {line}: {problem}")
        relevant[query] = set(names)
        line_of.setdefault(query, line)
    raise_if_any(problems, path, _ADVICE)
    return relevant


def relevant_by_caption(split: CaptionSplit) -> dict[str, set[str]]:
    """Map each caption of a split to the clips that it was written for, usually one."""
    relevant: dict[str, set[str]] = {}
    for caption, clip in zip(split.captions, split.clip_of_caption.tolist(), strict=True):
        relevant.setdefault(caption, set()).add(split.clip_names[clip])
    return relevant


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
