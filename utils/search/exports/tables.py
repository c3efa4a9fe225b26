"""Excerpts as CSV and JSON. Both have those that are missing, and say so."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from utils.files import tables
from utils.search.excerpts import Excerpt

_COLUMNS = (
    "query", "score", "path", "start", "end", "duration", "loudness", "sha256", "missing"
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def as_csv(excerpts: Sequence[Excerpt], *, place: Callable[[str], str]) -> bytes:
    """Write a row for each excerpt.

    No cell can be a formula to a spreadsheet: a query that begins like one has an apostrophe in
    front, and a path has "./".

    Parameters
    ----------
    place : callable
        A path in the library's folder ─► what is written for it.

    """
    text = io.StringIO()
    rows = [_entry(excerpt, place) for excerpt in excerpts]
    for row in rows:
        row["query"] = _harmless(row["query"], "'")
        row["path"] = _harmless(row["path"], "./")
        row["missing"] = "yes" if row["missing"] else ""
    tables.write_csv(text, [_COLUMNS, *([row[name] for name in _COLUMNS] for row in rows)])
    return text.getvalue().encode(errors="backslashreplace")


def as_json(excerpts: Sequence[Excerpt], *, place: Callable[[str], str]) -> bytes:
    """Write an object for each excerpt, with the paths of all files that have its sound.

    What is not UTF-8 in a name is escaped as Python does, which reads it back.
    """
    entries = describe(excerpts, place=place)
    text = json.dumps(entries, ensure_ascii=False, indent=1)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(entries, indent=1)}\n".encode()


def describe(excerpts: Sequence[Excerpt], *, place: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return what JSON says of each excerpt."""
    return [
        {**_entry(one, place), "paths": [place(path) for path in one.paths]} for one in excerpts
    ]


def _entry(excerpt: Excerpt, place: Callable[[str], str]) -> dict[str, Any]:
    return {
        "query": excerpt.label,
        "score": None if excerpt.score is None else round(excerpt.score, 4),
        "path": place(excerpt.known_as),
        "start": round(excerpt.start, 3),
        "end": round(excerpt.end, 3),
        "duration": round(excerpt.duration, 3),
        "loudness": None if excerpt.loudness is None else round(excerpt.loudness, 1),
        "sha256": excerpt.source,
        "missing": excerpt.is_missing,
    }


def _harmless(text: str, prefix: str) -> str:
    return f"{prefix}{text}" if text.startswith(_FORMULA) else text
