"""Search a folder of sounds with a trained model.

Reads   a folder of sounds (--audio; any format, sub-folders too), a model (--model)
Writes  an index of the folder: <output_path>/indexes/, or --index DIR

    python scripts/07_search.py --audio my_sounds/ "rain on a tin roof"
    python scripts/07_search.py --audio my_sounds/ "a dog" "a door" --top 3 --why
    python scripts/07_search.py --audio my_sounds/ --tag "Dog > 0.3" --tag "Speech < 0.1" barking
    python scripts/07_search.py --audio my_sounds/ --like clip.wav
    python scripts/07_search.py --audio my_sounds/ --queries queries.txt --json > hits.jsonl
    python scripts/07_search.py --audio my_sounds/                  # a prompt that stays open

The first search tags all sounds of the folder, the next ones only what is new or changed. Without
--audio the demo set is searched, without --model the newest run of the experiment in conf.yaml.
Exit status: 0 if every query found something, 1 if one did not, 2 for bad input.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.runtime import interrupts

interrupts.end_quietly_until_run(__name__)

import numpy as np

from utils.audio.sound_file import check_sound_file, read_header
from utils.datasets.audioset import read_labels
from utils.files.reading import read_text
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError, printable
from utils.search.command_line import add_options, open_searcher, tell
from utils.search.engine import Hit
from utils.search.filters import parse_filter
from utils.search.searcher import Searcher
from utils.settings import options

EXIT_NOTHING_FOUND = 1


def main(argv: list[str] | None = None) -> int:
    """Answer the queries of the command line, of a file, or of a prompt."""
    args = parse_arguments(argv)
    distributed.refuse_team("scripts/07_search.py")
    # What cannot be asked is told before a folder is tagged.
    filters = [parse_filter(text, read_labels()) for text in args.tag]
    texts = [*map(checked, args.query), *(lines_of(args.queries) if args.queries else [])]
    for path in args.like:
        check_sound_file(path, root=path.parent)
        read_header(path)
    searcher = open_searcher(args)
    found = True
    for query, vector in queries(args, texts, searcher):
        (hits,) = searcher.engine.search(vector[None], top=args.top, filters=filters)
        found &= bool(hits)
        if args.json:
            print(as_json(query, hits), flush=True)
        else:
            print(as_text(query, hits, why=args.why), flush=True)
    return 0 if found else EXIT_NOTHING_FOUND


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser(__doc__)
    parser.add_argument("query", nargs="*", help="what to look for, in words")
    add_options(parser)
    parser.add_argument("--queries", type=Path, metavar="FILE", help="one query per line")
    parser.add_argument(
        "--like", type=Path, action="append", default=[], metavar="FILE", help="sounds like this"
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="'TAG > 0.3'",
        help="only sounds with this AudioSet tag (or, with <, without it); may be repeated",
    )
    parser.add_argument("--why", action="store_true", help="say what each score is a sum of")
    parser.add_argument("--json", action="store_true", help="one JSON object per query")
    args = parser.parse_args(argv)
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more.")
    return args


def queries(
    args: argparse.Namespace, texts: list[str], searcher: Searcher
) -> Iterator[tuple[str, np.ndarray]]:
    """Go through all queries and their vectors, one after the other."""
    for path in args.like:
        yield f"like {path}", searcher.embed_sound(path)
    if not (texts or args.like):
        texts = map(checked, ask() if sys.stdin.isatty() else piped())
    for text in texts:
        yield text, searcher.engine.embed_texts([text])[0]


def checked(text: str) -> str:
    """Refuse a query that says nothing, or that is no text."""
    if not text.strip():
        raise InputError("a query is empty. Say in words what to look for.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"the query {text!a} is not in UTF-8. Mend it.") from None
    return text


def piped() -> Iterator[str]:
    """Read queries from the standard input, one per line."""
    try:
        yield from filter(None, map(str.strip, sys.stdin))
    except UnicodeDecodeError as error:
        raise InputError(f"the standard input is not in UTF-8 ({error.reason}).") from None


def lines_of(path: Path) -> list[str]:
    """Read a file of queries, one per line."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"--queries {path}: the file holds no query. Write one per line.")
    return lines


def ask() -> Iterator[str]:
    """Ask for queries until the user has no more."""
    tell("What do you look for? An empty line ends.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return
        if not text:
            return
        yield text


def as_json(query: str, hits: list[Hit]) -> str:
    """Write a query and its hits in one line; names that are not UTF-8 as Python reads them."""
    answer = {"query": query, "hits": [dataclasses.asdict(hit) for hit in hits]}
    line = json.dumps(answer, ensure_ascii=False)
    return line if printable(line) == line else json.dumps(answer)


def as_text(query: str, hits: list[Hit], *, why: bool) -> str:
    """Write a query and its hits for people."""
    lines = [styled("1", query)]
    for hit in hits:
        place = f"{minutes(hit.start)}–{minutes(hit.end)} of " if hit.is_part else ""
        tags = ", ".join(f"{tag.tag} {tag.probability:.2f}" for tag in hit.tags)
        lines.append(
            f"{hit.rank:3}. {hit.score:6.3f}  {styled('36', printable(hit.paths[0]))}  "
            f"{place}{minutes(hit.duration)}  {styled('2', tags)}"
        )
        lines += [f"             also {printable(path)}" for path in hit.paths[1:]]
        if why:
            reasons = ", ".join(
                f"{reason.tag} {reason.contribution:+.3f}" for reason in hit.reasons
            )
            lines.append(
                f"             {hit.projection:.3f} learned projection "
                f"{hit.tag_branch:+.3f} tags" + (f" ({reasons}, ...)" if reasons else "")
            )
    return "\n".join([*lines, ""] if hits else [*lines, "  nothing found", ""])


def minutes(seconds: float) -> str:
    """Write a time as 0:07.5 or 1:02:03."""
    tenths = round(10 * seconds)
    if tenths >= 36_000:
        whole = tenths // 10
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


def styled(code: str, text: str) -> str:
    """Colour a text, on terminals alone."""
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if plain else f"\033[{code}m{text}\033[0m"


if __name__ == "__main__":
    sys.exit(terminal.run(main))
