"""Tasks that are done with the modules of any checkout.

    python build_driver.py ROOT TASK VALUES       VALUES is JSON; the last line printed is, too

Only what all builds have is used: `Searcher.open`, `search`, `embed_text` and `library`, and
`update_library` and `tag_files` with their arguments by name. `model`, `folder`, `config`,
`overrides` and `index` are those of `Searcher.open`.
"""

import contextlib
import inspect
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_TOP = 10
_TOLERANCE = 1e-4  # in a score
_AT_ONCE = 50_000  # embeddings that are compared
# What an index of an earlier form has not: as if all of it had been read and tagged.
_DONE = ("cells", "described")


def kind(**opening: Any) -> dict[str, Any]:
    """Say what the rows of an index depend on, and how wide they are."""
    from utils.search import searcher

    asked: dict[str, Any] = {}

    def ask(folder: Path, index: Path, **values: Any) -> None:
        asked.update({name: values[name] for name in ("origin", "width", "tags")})
        raise InterruptedError

    searcher.update_library = ask
    with contextlib.suppress(InterruptedError):
        searcher.Searcher.open(**opening)
    return asked


def settle(**opening: Any) -> dict[str, float]:
    """Bring an index of made-up rows up to date without tagging a sound."""
    from utils.search import library, searcher

    library.tag_files = lambda *_, **__: {}
    if hasattr(library, "describe"):
        library.describe = lambda *_, **__: None
    started = time.perf_counter()
    searcher.Searcher.open(**opening)
    seconds = time.perf_counter() - started
    if (database := Path(opening["index"], "library.sqlite")).exists():
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(contents)")}
            for column in columns & set(_DONE):
                connection.execute(f"UPDATE contents SET {column} = 1")
    return {"seconds": seconds}


def query(texts: list[str], **opening: Any) -> dict[str, Any]:
    """Time searches for texts, and count how many of the ten best vectors are found."""
    from utils.search.searcher import Searcher

    if "known_first" in inspect.signature(Searcher.open).parameters:
        opening["known_first"] = True
    searcher = Searcher.open(**opening)
    searcher.search(texts[0])  # loads what is needed once
    seconds = []
    for text in texts:
        started = time.perf_counter()
        searcher.search(text)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "recall": _recall(searcher, searcher.embed_text(texts))}


def _recall(searcher: Any, queries: np.ndarray) -> float:
    """Compare searches by vectors with all dot products; the share of the ten best found."""
    library = searcher.library
    (path,) = library.derived.glob("embeddings-*.f32")
    vectors = np.memmap(path, "<f4", "r").reshape(-1, queries.shape[1])
    scores = np.empty((len(vectors), len(queries)), np.float32)
    for first in range(0, len(vectors), _AT_ONCE):
        scores[first : first + _AT_ONCE] = vectors[first : first + _AT_ONCE] @ queries.T
    scores = scores[library.rows]
    top = min(_TOP, len(scores))
    least = np.partition(scores, -top, axis=0)[-top]
    found = [
        sum(hit.score >= limit - _TOLERANCE for hit in searcher.search(vector, top=top))
        for vector, limit in zip(queries, least, strict=True)
    ]
    return sum(found) / (top * len(queries))


if __name__ == "__main__":
    root, task, values = sys.argv[1:]
    sys.path[0] = root
    print(json.dumps({"kind": kind, "settle": settle, "query": query}[task](**json.loads(values))))
