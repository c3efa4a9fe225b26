"""JSON Lines: one JSON object a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from utils.files.reading import read_text
from utils.files.writing import atomic_write
from utils.runtime.errors import shown


def read_json_lines(path: str | Path) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """Read the objects of a JSON Lines file; empty lines are skipped.

    Returns
    -------
    rows : list of (int, dict)
        The line, counted from 1, and its object.
    problems : list of str
        Lines that are not a JSON object.

    Raises
    ------
    InputError
        If the file cannot be read or is not UTF-8.

    """
    rows, problems = [], []
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {line}: not valid JSON ({error})")
            continue
        if isinstance(value, dict):
            rows.append((line, value))
        else:
            problems.append(f"line {line}: {shown(value)} is not a JSON object")
    return rows, problems


def write_json_lines(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON Lines file whole or not at all, see `utils.files.writing.atomic_write`."""
    with atomic_write(path, "w") as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
