"""What a command line does with what was found: collects it, or exports it."""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.runtime import terminal
from utils.runtime.errors import InputError, counted, printable, shorten
from utils.search.answers import EXIT_NOTHING_FOUND, Answer
from utils.search.command_line import report

if TYPE_CHECKING:  # takes seconds to import
    from utils.search.collections import Collections
    from utils.search.excerpts import Excerpt
    from utils.search.searcher import Searcher

# `utils.search.exports.exporting` has them, and takes seconds to import.
_FORMATS = ("csv", "json", "m3u8", "edl", "reaper", "copies", "links", "hardlinks", "regions")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add options that say what is done with hits."""
    target = parser.add_argument_group("collections and exports")
    target.add_argument(
        "--collect", metavar="NAME", help="add the hits to this collection; it is made if missing"
    )
    target.add_argument(
        "--collection", metavar="NAME", help="list or export this collection, without searching"
    )
    target.add_argument(
        "--collections", action="store_true", help="list all collections, without searching"
    )
    target.add_argument(
        "--export",
        type=Path,
        metavar="PATH",
        help="write the hits, or the collection, to this file (.csv, .json, .m3u8, .edl), or into "
        "this folder",
    )
    target.add_argument(
        "--export-as",
        choices=_FORMATS,
        help="the format, if the ending does not say: reaper: regions for REAPER's Region/Marker "
        "Manager; of a folder: copies, links (symbolic) or hardlinks of the sounds, or regions: a "
        "wav of each moment",
    )
    target.add_argument(
        "--whole",
        action="store_true",
        help="collect and export whole sounds; by default, moments where there are some",
    )
    target.add_argument(
        "--relative",
        action="store_true",
        help="write paths relative to the folder of the exported file (default: absolute)",
    )
    target.add_argument(
        "--fps",
        default="25",
        metavar="N",
        help="frames per second of an .edl: 23.976, 24, 25, 29.97 (drop-frame), 30, 50 or 60 "
        "(default: %(default)s)",
    )


def keeps(args: argparse.Namespace) -> bool:
    """Whether something is to be done with the hits."""
    return bool(args.export or args.collect or lists(args))


def lists(args: argparse.Namespace) -> bool:
    """Whether collections are asked for, in place of a search."""
    return args.collection is not None or args.collections


def check_options(args: argparse.Namespace, *, searches: bool) -> None:
    """Refuse options that contradict each other, before anything is searched.

    Raises
    ------
    InputError

    """
    from utils.search.exports.exporting import format_of
    from utils.search.exports.timecode import frame_rate

    if lists(args) and (searches or args.collect):
        raise InputError("--collection lists a collection: give no query and no --collect with it.")
    if args.collections and (args.collection is not None or args.export):
        raise InputError("--collections lists all of them: to export one, use --collection NAME.")
    if args.collect is not None and not args.collect.strip():
        raise InputError("--collect: the name of the collection is empty. Give it a name.")
    frame_rate(args.fps)
    if args.export:
        format_of(args.export, args.export_as)
    elif args.export_as:
        raise InputError(f"--export-as {args.export_as}: say where to, with --export PATH.")


def show_collections(args: argparse.Namespace, searcher: "Searcher") -> int:
    """List all collections, or one of them, which may be exported too; returns the status."""
    from utils.search.collections import Collections
    from utils.search.excerpts import look_up

    known = Collections(searcher.library.database)
    if args.collections:
        return _list(known, as_json=args.json)
    collection = known.find(args.collection)
    picks = list(known.picks(collection.number).values())
    excerpts = look_up(searcher.library, picks, whole=args.whole)
    if args.export:
        return _export(args, searcher, excerpts)
    if args.json:
        from utils.search.exports.tables import describe

        items = describe(excerpts, place=lambda path: path)
        print(json.dumps({"collection": collection.name, "items": items}))
    else:
        print(_as_text(collection.name, excerpts))
    return 0 if excerpts else EXIT_NOTHING_FOUND


def keep_answers(args: argparse.Namespace, searcher: "Searcher", answers: Sequence[Answer]) -> int:
    """Collect and export the hits of answers, as the options say; returns the status."""
    from utils.search.collections import Collections, added_to
    from utils.search.excerpts import look_up, picks_of

    picks = [
        pick for one in answers for pick in picks_of(one.hits, one.query.label, whole=args.whole)
    ]
    excerpts = look_up(searcher.library, picks, whole=args.whole)
    if args.collect and excerpts:
        collections = Collections(searcher.library.database)
        collection = collections.find_or_create(args.collect)
        added = collections.add(collection.number, excerpts)
        report(added_to(collection, added, len(excerpts)))
    return _export(args, searcher, excerpts) if args.export else 0


def _export(args: argparse.Namespace, searcher: "Searcher", excerpts: Sequence["Excerpt"]) -> int:
    from utils.search.exports.exporting import FOLDERS, export_file, export_folder, format_of

    kind = format_of(args.export, args.export_as)
    if kind in FOLDERS:
        bar = partial(terminal.progress, description="exporting", unit="files", leave=False)
        done = export_folder(kind, excerpts, args.export, folder=searcher.folder, progress=bar)
        what = counted(done.count, "file")
    else:
        done = export_file(
            kind,
            excerpts,
            args.export,
            folder=searcher.folder,
            relative=args.relative,
            fps=args.fps,
        )
        what = counted(done.count, "item")
    report(f"{what} exported to {terminal.shown(args.export)}")
    if done.left_out:
        report(f"{counted(len(done.left_out), 'item')} left out:\n{shorten(done.left_out)}")
        return terminal.EXIT_SOME_FAILED
    return 0


def _list(known: "Collections", *, as_json: bool) -> int:
    all_of_them = known.all()
    if as_json:
        print(json.dumps([{"name": one.name, "items": one.count} for one in all_of_them]))
    else:
        lines = [f"{one.count:6}  {printable(one.name)}" for one in all_of_them]
        print("\n".join(lines or ["no collections"]))
    return 0 if all_of_them else EXIT_NOTHING_FOUND


def _as_text(name: str, excerpts: Sequence["Excerpt"]) -> str:
    lines = [printable(name)]
    for number, one in enumerate(excerpts, start=1):
        query = f"  ({printable(one.label)})" if one.label else ""
        state = "  missing" if one.is_missing else ""
        lines.append(f"{number:3}. {printable(one.known_as)}  {one.place}{query}{state}")
    return "\n".join(lines if excerpts else [*lines, "  empty"])
