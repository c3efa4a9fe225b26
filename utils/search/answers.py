"""Answers to the queries of a command line, for people and for programs."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from utils.runtime import terminal
from utils.runtime.errors import printable
from utils.search.queries import InvalidQuery
from utils.search.sorting import note_on, parse_order

if TYPE_CHECKING:  # takes seconds to import
    from utils.search.hits import Hit
    from utils.search.line_search import By
    from utils.search.near_duplicates import Duplicates
    from utils.search.searcher import Searcher

EXIT_NOTHING_FOUND = 1
_INDENT = " " * 13


class Query(NamedTuple):
    """A description, or the path of a sound; `place` names the line that it was read from."""

    given: str | Path
    place: str = ""

    @property
    def label(self) -> str:
        """What an answer calls it."""
        return f"like {self.given}" if isinstance(self.given, Path) else self.given


class Answer(NamedTuple):
    """The hits for a query and what of it does not count, or why there is no answer."""

    query: Query
    hits: Sequence["Hit"] = ()
    notes: Sequence[str] = ()
    error: str = ""

    @property
    def status(self) -> int:
        """The exit status that this answer asks for."""
        if self.error:
            return terminal.EXIT_BAD_INPUT
        return 0 if self.hits else EXIT_NOTHING_FOUND

    def as_json(self, library: dict[str, Any]) -> str:
        """Write the answer in one line; escapes what UTF-8 or standard output cannot hold."""
        content = {
            "query": self.query.label,
            "hits": [dataclasses.asdict(hit) for hit in self.hits],
            "notes": self.notes,
            **({"error": self.error} if self.error else {}),
            "library": library,
        }
        line = json.dumps(content, ensure_ascii=False)
        try:
            line.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            return json.dumps(content)
        return line if printable(line) == line else json.dumps(content)

    def as_text(self, *, why: bool) -> str:
        """Write the answer for people."""
        lines = [_styled("1", printable(self.query.label))]
        lines += [f"  note: {note}" for note in self.notes]
        for hit in self.hits:
            lines.append(
                f"{hit.rank:3}. {hit.score:6.3f}  {_styled('36', hit.name)}  {hit.place}  "
                f"{_styled('2', hit.tag_list)}"
            )
            lines += [f"{_INDENT}moment {hit.moment_list}"] if hit.moments else []
            facts = "  ".join(filter(None, [hit.category, hit.level])) if why else ""
            lines += [f"{_INDENT}{facts}"] if facts else []
            lines += [f"{_INDENT}also {printable(path)}" for path in hit.paths[1:]]
            lines += [f"{_INDENT}near duplicate {printable(path)}" for path in hit.duplicates]
            lines += [f"{_INDENT}{hit.notes}"] if hit.notes else []
            lines += [f"{_INDENT}{_reasons(hit)}"] if why else []
        return "\n".join([*lines, ""] if self.hits else [*lines, "  nothing found", ""])


def answer(
    query: Query,
    searcher: "Searcher",
    *,
    top: int,
    filters: Sequence[str],
    moments: int,
    by: "By" = "both",
    sort: str = "score",
    duplicates: "Duplicates" = "fold",
) -> Answer:
    """Search for a query; one that cannot be read gets an answer that says so."""
    try:
        hits = searcher.search(
            query.given,
            top=top,
            filters=filters,
            moments=moments,
            by=by,
            sort=sort,
            duplicates=duplicates,
        )
    except InvalidQuery as error:
        return Answer(query, error=f"{query.place}{error}")
    notes, ranked = [], True
    if isinstance(query.given, str):
        notes += searcher.notes_on(query.given)
        ranked = searcher.read_query(query.given).describes
    notes += note_on(parse_order(sort), found=len(hits), top=top, ranked=ranked)
    return Answer(query, hits, notes)


def _reasons(hit: "Hit") -> str:
    tags = ", ".join(f"{reason.tag} {reason.contribution:+.3f}" for reason in hit.reasons)
    parts = f"{hit.projection:.3f} learned projection {hit.tag_branch:+.3f} tags"
    parts += f" {hit.words:+.3f} words" if round(hit.words, 3) else ""
    return f"{parts} ({tags}, ...)" if tags else parts


def _styled(code: str, text: str) -> str:
    """Colour a text if standard output is a terminal."""
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if plain else f"\033[{code}m{text}\033[0m"
