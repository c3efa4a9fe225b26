"""CSV files, every cell verbatim."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from utils.files.reading import read_text
from utils.runtime.errors import InputError

_SHOWN = 200  # characters of a header


def read_csv(
    path: str | Path,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    keep_empty: bool = False,
) -> list[tuple[int, list[str]]]:
    """Read the rows of a CSV file with any line ends, every cell verbatim.

    By default the encoding is UTF-8, with or without a byte-order mark. With `keep_empty` an empty
    line before the last row is a row without cells; otherwise it is skipped.

    Returns
    -------
    list of (int, list of str)
        The line on which a row begins, counted from 1, and its cells.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8, or has a quote that is never closed.

    """
    text = read_text(path, encoding=encoding)
    if "\0" in text.split("\n", 1)[0]:
        raise InputError(
            f"{path}, line 1: there are NUL characters, as in UTF-16. Save the file with the "
            "encoding UTF-8."
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells or keep_empty:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {line}: the row that begins here is not valid CSV ({error}). A cell "
            f"with quotes inside needs quotes around it, and each inner one doubled."
        ) from error
    while rows and not rows[-1][1]:
        rows.pop()
    return rows


def write_csv(file: IO[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows of a CSV file so that `read_csv` gives every cell back verbatim."""
    plain = csv.writer(file, lineterminator="\n")
    # A lone carriage return ends a line for a reader, but the writer does not quote it.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)


def header_problem(path: str | Path, header: Sequence[str], wanted: str) -> str:
    """Describe a wrong header of a CSV file, and how its columns seem to be separated."""
    if not header:
        return f"{path} is empty: its header must be {wanted}."
    found = ",".join(header)
    other = next((mark for mark in "\t;|" if len(header) == 1 and mark in found), None)
    hint = f" Its columns look separated by {other!r}: save it with commas." if other else ""
    return f"{path}, line 1: the header is {found[:_SHOWN]!r}, and must be {wanted}.{hint}"
