"""Tables of the clips found for each query: written, read and checked.

The challenge's form is caption,file_name_1,...,file_name_10, best first; `results` in the settings
is the number of columns. N queries, C clips.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.evaluation.metrics import CUTOFF
from utils.files import tables
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, counted, raise_if_any


def result_header(results: int) -> list[str]:
    """Name the columns of a result table: caption, file_name_1, ..., file_name_<results>."""
    return ["caption", *(f"file_name_{i}" for i in range(1, results + 1))]


def write_result_table(
    path: Path, captions: Sequence[str], names: Sequence[str], best: NDArray[np.int64]
) -> None:
    """Write a result table; `best`, shape (N, up to 10), holds positions in `names`, best first."""
    with atomic_write(path, "w") as file:
        tables.write_csv(file, [result_header(best.shape[1])])
        rows = zip(captions, best, strict=True)
        tables.write_csv(file, ([caption, *(names[i] for i in row)] for caption, row in rows))


def read_result_table(path: Path) -> list[tuple[int, list[str]]]:
    """Read the rows of a result table after its header: the line, and query and file names.

    Raises
    ------
    InputError
        If the file is missing, has another form, or names a clip twice for a query.

    """
    rows = tables.read_csv(path)
    header = rows[0][1] if rows else []
    if header != result_header(max(1, len(header) - 1)):
        raise InputError(tables.header_problem(path, header, ",".join(result_header(CUTOFF))))
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no queries.")
    problems = [
        f"line {line}: {len(cells)} columns, not {len(header)}"
        if len(cells) != len(header)
        else f"line {line}: a file name occurs more than once"
        for line, cells in rows[1:]
        if len(cells) != len(header) or len(set(cells[1:])) < len(cells) - 1
    ]
    raise_if_any(problems, path)
    return rows[1:]


def results_for(
    queries: Sequence[str],
    rows: Sequence[tuple[int, list[str]]],
    names: Sequence[str],
    *,
    path: Path,
    partial: bool = False,
    depth: int = CUTOFF,
) -> list[list[str]]:
    """Find the results for a set of queries, exactly one row for each, in any order.

    Of queries with the same text, the first gets the first row with that text, and so on.

    Parameters
    ----------
    queries : sequence of N str
    rows : sequence of (int, list of str)
        From `read_result_table`.
    names : sequence of C str
        The file names that may occur.
    path : Path
        Of the table, for messages.
    partial : bool
        Accept a table without some of the queries, or with fewer results than the depth.
    depth : int
        Results per row that the scores need.

    Returns
    -------
    list of N lists of str
        Best first; empty for a query without a row.

    Raises
    ------
    InputError
        If the table lacks a query, or has rows of others or too many of one; if it names other
        clips: one message that counts all problems.

    """
    wanted, results = min(depth, len(names)), len(rows[0][1]) - 1
    if results < wanted and not partial:
        raise InputError(
            f"{path} has {counted(results, 'result')} per query, and the scores need {wanted}. "
            "Write more, or give --partial, which counts the others as not relevant."
        )
    known = set(names)
    waiting: dict[str, deque[int]] = {}
    for position, query in enumerate(queries):
        waiting.setdefault(query, deque()).append(position)
    found: list[list[str]] = [[] for _ in queries]
    line_of: dict[str, int] = {}
    problems = []
    for line, (query, *clips) in rows:
        problems += [
            f"line {line}: {clip!r} is not one of the {len(known)} clips"
            for clip in clips
            if clip not in known
        ]
        if query not in waiting:
            problems.append(f"line {line}: {query!r} is not one of the {len(queries)} queries")
        elif not waiting[query]:
            problems.append(f"line {line}: {query!r} is already on line {line_of[query]}")
        else:
            found[waiting[query].popleft()] = clips
        line_of.setdefault(query, line)
    advice = f"Every one of the {len(queries)} queries needs one row."
    if not partial and (missing := sorted(i for left in waiting.values() for i in left)):
        problems += [f"no row for {queries[position]!r}" for position in missing]
        advice += f" {len(missing)} have none; --partial counts them as not found."
    raise_if_any(problems, path, advice)
    return found


def check_submission(
    path: Path, queries: list[str], names: list[str], *, depth: int = CUTOFF
) -> list[str]:
    """List what is wrong with a submission, each problem with its line; empty if it is valid.

    Parameters
    ----------
    queries : list of N str
        In the order that the rows must have.
    names : list of C str
        The file names that may occur.
    depth : int
        Results per query, or as many as there are clips.

    Raises
    ------
    InputError
        If the file cannot be read as CSV.

    """
    rows = tables.read_csv(path)
    header = result_header(min(depth, len(names)))
    if not rows or rows[0][1] != header:
        found = ",".join(rows[0][1]) if rows else ""
        return [f"line 1: the header is {found[:200]!r}, and must be {','.join(header)}"]
    problems = []
    if len(rows) - 1 != len(queries):
        problems.append(f"{len(rows) - 1} rows for {len(queries)} queries")
    known = set(names)
    for (line, cells), query in zip(rows[1:], queries, strict=False):
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} columns, not {len(header)}")
            continue
        if cells[0] != query:
            problems.append(f"line {line}: the caption is {cells[0]!r}, the query {query!r}")
        problems += [
            f"line {line}: {name!r} is not one of the {len(names)} files"
            for name in cells[1:]
            if name not in known
        ]
        repeated = sorted({name for name in cells[1:] if cells[1:].count(name) > 1})
        problems += [f"line {line}: {name!r} occurs more than once" for name in repeated]
    return problems


def write_score_matrix(
    path: Path, scores: NDArray[np.float32], queries: Sequence[str], names: Sequence[str]
) -> None:
    """Write all scores as HDF5: ``scores`` (N, C), ``queries`` (N,) and ``file_names`` (C,)."""
    import h5py  # slow to import, and checking a submission does not need it

    text = h5py.string_dtype("utf-8")
    with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
        file.create_dataset("scores", data=scores)
        file.create_dataset("queries", data=list(queries), dtype=text)
        file.create_dataset("file_names", data=list(names), dtype=text)
