"""Search a folder of sounds with a trained model.

Reads   a folder of sounds (--audio; any format, sub-folders too), a model (--model)
Writes  an index of the folder: <output_path>/indexes/, or --index DIR; in it failed_files.csv, if
        sound files cannot be used; what --export names

    python scripts/07_search.py --audio my_sounds/ "rain on a tin roof"
    python scripts/07_search.py --audio my_sounds/ "rain on a tin roof" --model tags  # untrained
    python scripts/07_search.py --audio my_sounds/ "a dog" "a door" --top 3 --why
    python scripts/07_search.py --audio my_sounds/ "a dog barks" --moments 5  # where in each sound
    python scripts/07_search.py --audio my_sounds/ --tag "Dog > 0.3" --tag "Speech < 0.1" barking
    python scripts/07_search.py --audio my_sounds/ 'rain -wind "tin roof" duration:<30 tag:rain>0.3'
    python scripts/07_search.py --audio my_sounds/ 'folder:foley loudness:<-30' --sort -duration
    python scripts/07_search.py --audio my_sounds/ --like clip.wav
    python scripts/07_search.py --audio my_sounds/ --queries queries.txt --json > hits.jsonl
    python scripts/07_search.py --audio my_sounds/ "a door" --collect doors --export doors.csv
    python scripts/07_search.py --audio my_sounds/ --collection doors --export doors.edl --fps 24
    python scripts/07_search.py --audio my_sounds/ rain --export cuts/ --export-as regions
    python scripts/07_search.py --audio my_sounds/ --list-duplicates  # to clean up
    python scripts/07_search.py --audio my_sounds/                  # an interactive prompt

The first search tags all sounds of the folder, later ones only new or changed sounds. In a
terminal, answers from what is known come first, and again if the folder has something better.
Without --audio the demo set is searched; without --model, the newest run of the experiment in
conf.yaml is used. A query that the sentence model cannot read is reported, and does not stop the
others.

Exit status: 0 if every query found something and every sound file can be used; 2 for bad input,
also in one of several queries; else 1 if a query found nothing; else 3 if sound files are skipped
because they cannot be used, or left out of an export.
"""

import argparse
import codecs
import io
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import start

from utils.files.reading import read_bytes
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.search import keeping
from utils.search.answers import EXIT_NOTHING_FOUND, Answer, Query, answer
from utils.search.command_line import add_options, open_searcher, report, report_library
from utils.search.sorting import KEYS, parse_order
from utils.settings import options

if TYPE_CHECKING:  # takes seconds to import
    from utils.search.searcher import Progress, Searcher

_NOT_LOOKED = "the folder was not looked through"
# Which of several statuses counts.
_FIRST = (terminal.EXIT_BAD_INPUT, EXIT_NOTHING_FOUND, terminal.EXIT_SOME_FAILED, 0)


def main(argv: list[str] | None = None) -> int:
    """Answer the queries of the command line, of a file, or of a prompt."""
    args = parse_arguments(argv)
    distributed.refuse_team("scripts/07_search.py")
    # These take seconds to import, so that --help and the checks above do without them.
    from utils.audio.sound_file import check_sound_file, read_header
    from utils.datasets.audioset import read_labels
    from utils.search.filters import parse_filter
    from utils.search.query_plan import read_query
    from utils.search.updates import Updates

    # Report invalid arguments before a folder is tagged.
    for text in args.tag:
        parse_filter(text, read_labels())
    for text in args.query:
        read_query(text, read_labels())
    queries = [Query(given) for given in (*args.like, *args.query)]
    if args.queries:
        queries += lines_of(args.queries)
    keeping.check_options(args, searches=bool(queries))
    if args.list_duplicates and (queries or keeping.keeps(args)):
        raise InputError("--list-duplicates lists files: give no query, collection or export.")
    for path in args.like:
        check_sound_file(path, root=path.parent)
        read_header(path, accept_truncated=args.accept_truncated)
    interactive = not queries and sys.stdin.isatty()
    at_terminal = sys.stdout.isatty() and not args.json
    waits = keeping.keeps(args)  # for all that is found
    waits_for_all = waits or args.list_duplicates
    known_first = args.no_update or ((interactive or at_terminal) and not waits_for_all)
    searcher = open_searcher(args, known_first=known_first)
    if args.list_duplicates:
        return list_duplicates(args, searcher)
    if keeping.lists(args):
        return keeping.show_collections(args, searcher)
    ask_ = partial(
        answer,
        searcher=searcher,
        top=args.top,
        filters=args.tag,
        moments=args.moments,
        by=args.by,
        sort=args.sort,
        duplicates=args.duplicates,
    )
    updates = Updates(partial(update, searcher))
    if not (searcher.is_current or args.no_update):
        updates.start()
    statuses, shown, answers = set(), [], []
    for query in queries or (ask() if interactive else piped()):
        found = ask_(query)
        if not searcher.is_current:
            found = found._replace(notes=[*found.notes, updates.note or _NOT_LOOKED])
            shown.append(found)
        else:
            statuses.add(found.status)
        write(found, args, searcher)
        answers += [found] if waits else []
    if interactive:
        updates.stop()
    elif shown and not args.no_update:
        updates.wait(partial(terminal.progress, leave=False))
        report_library(searcher, list_all=args.list_skipped)
        for number, before in enumerate(shown):
            shown[number] = found = ask_(before.query)
            if found.hits != before.hits:
                write(found, args, searcher)
    statuses |= {found.status for found in shown}
    if waits:
        statuses.add(keeping.keep_answers(args, searcher, answers))
    if searcher.inventory.failed:
        statuses.add(terminal.EXIT_SOME_FAILED)
    return next(status for status in _FIRST if status in statuses | {0})


def update(searcher: "Searcher", progress: "Progress") -> str:
    """Look through the folder."""
    searcher.update(progress, report)
    searcher.measure(progress)
    return str(searcher.changes)


def list_duplicates(args: argparse.Namespace, searcher: "Searcher") -> int:
    """List copies and near duplicates; returns the status."""
    from utils.search import duplicate_list

    database = searcher.library.database
    if note := duplicate_list.note_on(database):
        report(f"note: {note}")
    groups = duplicate_list.duplicates_of(database)
    if args.json:
        for group in groups:
            print(duplicate_list.as_json(group))
    else:
        print(duplicate_list.as_text(groups))
    return 0 if groups else EXIT_NOTHING_FOUND


def write(found: Answer, args: argparse.Namespace, searcher: "Searcher") -> None:
    """Print an answer."""
    if found.error:
        report(f"error: {found.error}")
    if args.json:
        print(found.as_json(searcher.inventory.counts()), flush=True)
    elif not found.error:
        print(found.as_text(why=args.why), flush=True)


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
    parser.add_argument(
        "--by",
        choices=["both", "meaning", "words"],
        default="both",
        help="meaning: what is heard; words: of names and metadata (default: %(default)s)",
    )
    parser.add_argument(
        "--sort",
        default="score",
        metavar="KEY",
        help=f"list the hits by {', '.join(KEYS)}; with a dash in front, such as -duration, the "
        "other way round (default: %(default)s)",
    )
    parser.add_argument(
        "--moments",
        type=int,
        default=1,
        metavar="N",
        help="at most N moments of each sound that the text describes (default: %(default)s; 0: "
        "none)",
    )
    parser.add_argument(
        "--duplicates",
        choices=["fold", "show"],
        default="fold",
        help="the same sound in other formats, at other levels or with silence around it: fold it "
        "under the best hit, or show each as a hit (default: %(default)s)",
    )
    parser.add_argument(
        "--list-duplicates",
        action="store_true",
        help="list copies and near duplicates, the best form first, without searching",
    )
    parser.add_argument(
        "--no-update",
        action="store_true",
        help="answer from what the index has, without looking through the folder",
    )
    keeping.add_options(parser)
    parser.add_argument("--why", action="store_true", help="explain each score")
    parser.add_argument("--json", action="store_true", help="print one JSON object per query")
    args = parser.parse_args(list(_joined(sys.argv[1:] if argv is None else argv)))
    parse_order(args.sort)
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more.")
    if args.moments < 0:
        raise InputError(f"--moments {args.moments}: give 0 or more.")
    return args


def _joined(argv: Iterable[str]) -> Iterator[str]:
    """Write --sort and its value as one, because a value with a dash is an option to argparse."""
    given = iter(argv)
    for argument in given:
        if argument == "--sort" and (value := next(given, None)) is not None:
            argument = f"--sort={value}"
        yield argument


def piped() -> Iterator[Query]:
    """Read queries from the standard input, one per line."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # to report a line that is not UTF-8
    return numbered(sys.stdin, "standard input")


def lines_of(path: Path) -> list[Query]:
    """Read a file of queries, one per line."""
    text = read_bytes(path).removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    queries = list(numbered(text.splitlines(), str(path)))
    if not queries:
        raise InputError(f"--queries {path}: the file is empty. Write one query per line.")
    return queries


def numbered(lines: Iterable[str], source: str) -> Iterator[Query]:
    """Make queries of all lines that are not empty."""
    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            yield Query(text, f"{source}, line {number}: ")


def ask() -> Iterator[Query]:
    """Ask for queries until an empty line."""
    report("Describe the sound you are looking for. An empty line ends.")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return
        if not text:
            return
        yield Query(text)


if __name__ == "__main__":
    start.run(main)
