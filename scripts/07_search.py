"""Search a folder of sounds with a trained model.

Reads   a folder of sounds (--audio; any format, sub-folders too), a model (--model)
Writes  an index of the folder: <output_path>/indexes/, or --index DIR

    python scripts/07_search.py --audio my_sounds/ "rain on a tin roof"
    python scripts/07_search.py --audio my_sounds/ "rain on a tin roof" --model tags  # untrained
    python scripts/07_search.py --audio my_sounds/ "a dog" "a door" --top 3 --why
    python scripts/07_search.py --audio my_sounds/ --tag "Dog > 0.3" --tag "Speech < 0.1" barking
    python scripts/07_search.py --audio my_sounds/ --like clip.wav
    python scripts/07_search.py --audio my_sounds/ --queries queries.txt --json > hits.jsonl
    python scripts/07_search.py --audio my_sounds/                  # an interactive prompt

The first search tags all sounds of the folder, later ones only new or changed sounds. Without
--audio the demo set is searched; without --model, the newest run of the experiment in conf.yaml is
used. Exit status: 0 if every query found something, 1 if one did not, 2 for bad input.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import start

from utils.files.reading import read_text
from utils.runtime import distributed
from utils.runtime.errors import InputError, printable
from utils.search.command_line import add_options, open_searcher, report
from utils.settings import options

if TYPE_CHECKING:
    from utils.search.engine import Hit

EXIT_NOTHING_FOUND = 1


def main(argv: list[str] | None = None) -> int:
    """Answer the queries of the command line, of a file, or of a prompt."""
    args = parse_arguments(argv)
    distributed.refuse_team("scripts/07_search.py")
    # These take seconds to import, so that --help and the checks above do without them.
    from utils.audio.sound_file import check_sound_file, read_header
    from utils.datasets.audioset import read_labels
    from utils.search.embedder import check_query
    from utils.search.filters import parse_filter

    # Report invalid arguments before a folder is tagged.
    for text in args.tag:
        parse_filter(text, read_labels())
    for text in args.query:
        check_query(text)
    queries = [*args.like, *args.query, *(lines_of(args.queries) if args.queries else [])]
    for path in args.like:
        check_sound_file(path, root=path.parent)
        read_header(path, accept_truncated=args.accept_truncated)
    searcher = open_searcher(args)
    found = True
    for query in queries or (ask() if sys.stdin.isatty() else piped()):
        hits = searcher.search(query, top=args.top, filters=args.tag)
        found &= bool(hits)
        label = f"like {query}" if isinstance(query, Path) else query
        answer = as_json(label, hits) if args.json else as_text(label, hits, why=args.why)
        print(answer, flush=True)
    return 0 if found else EXIT_NOTHING_FOUND


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser(__doc__)
    parser.add_argument("query", nargs="*", help="description of a sound")
    add_options(parser)
    parser.add_argument(
        "--queries", type=Path, metavar="FILE", help="a text file with one query per line"
    )
    parser.add_argument(
        "--like",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="search for sounds like this one",
    )
    parser.add_argument(
        "--top", type=int, default=10, metavar="N", help="hits per query (default: %(default)s)"
    )
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="'TAG > 0.3'",
        help="only sounds with this AudioSet tag (or, with <, without it); may be repeated",
    )
    parser.add_argument("--why", action="store_true", help="explain each score")
    parser.add_argument("--json", action="store_true", help="print one JSON object per query")
    args = parser.parse_args(argv)
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more.")
    return args


def piped() -> Iterator[str]:
    """Read queries from the standard input, one per line."""
    try:
        yield from filter(None, map(str.strip, sys.stdin))
    except UnicodeDecodeError as error:
        raise InputError(f"the standard input is not UTF-8 ({error.reason}).") from None


def lines_of(path: Path) -> list[str]:
    """Read a file of queries, one per line."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"--queries {path}: the file is empty. Write one query per line.")
    return lines


def ask() -> Iterator[str]:
    """Ask for queries until an empty line."""
    report("Describe the sound you are looking for. An empty line ends.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return
        if not text:
            return
        yield text


def as_json(query: str, hits: list["Hit"]) -> str:
    """Write a query and its hits in one line; escapes file names that are not UTF-8."""
    answer = {"query": query, "hits": [dataclasses.asdict(hit) for hit in hits]}
    line = json.dumps(answer, ensure_ascii=False)
    return line if printable(line) == line else json.dumps(answer)


def as_text(query: str, hits: list["Hit"], *, why: bool) -> str:
    """Write a query and its hits for people."""
    lines = [styled("1", query)]
    for hit in hits:
        lines.append(
            f"{hit.rank:3}. {hit.score:6.3f}  {styled('36', hit.name)}  {hit.place}  "
            f"{styled('2', hit.tag_list)}"
        )
        lines += [f"             also {printable(path)}" for path in hit.paths[1:]]
        lines += [f"             {hit.notes}"] if hit.notes else []
        if why:
            reasons = ", ".join(
                f"{reason.tag} {reason.contribution:+.3f}" for reason in hit.reasons
            )
            lines.append(
                f"             {hit.projection:.3f} learned projection "
                f"{hit.tag_branch:+.3f} tags" + (f" ({reasons}, ...)" if reasons else "")
            )
    return "\n".join([*lines, ""] if hits else [*lines, "  nothing found", ""])


def styled(code: str, text: str) -> str:
    """Colour a text if standard output is a terminal."""
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if plain else f"\033[{code}m{text}\033[0m"


if __name__ == "__main__":
    start.run(main)
