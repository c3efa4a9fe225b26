"""The options that the search scripts share, and the searcher that they ask for."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.files.left_out import other_files, unusable_files
from utils.runtime import terminal
from utils.runtime.errors import SHOWN, counted, shorten
from utils.settings import options

if TYPE_CHECKING:
    from utils.search.searcher import Searcher


def add_options(target: argparse.ArgumentParser) -> None:
    """Add options that say what to search in, with which model, and how sounds are read."""
    target.add_argument(
        "--audio", type=Path, metavar="DIR", help="folder of sounds (default: the demo set)"
    )
    target.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="model folder (main.py export), run folder or checkpoint; tags: AudioSet tags alone, "
        "untrained (default: the newest finished run)",
    )
    target.add_argument("--index", type=Path, metavar="DIR", help="where to keep the index")
    target.add_argument(
        "--normalise",
        action="store_true",
        help="bring each sound to the same loudness before it is tagged (search.normalise)",
    )
    options.add_accept_truncated_option(target)
    options.add_list_skipped_option(target)


def open_searcher(args: argparse.Namespace, *, known_first: bool) -> "Searcher":
    """Load the model and bring the index of the folder up to date; reports on stderr.

    With `known_first` what the index has can be searched before that: see `Searcher`.
    """
    from utils.search.searcher import Searcher  # takes seconds to import

    normalise = ["search.normalise=True"] if args.normalise else []
    searcher = Searcher.open(
        args.model,
        args.audio,
        config=args.config,
        overrides=[*args.overrides, *normalise],
        index=args.index,
        accept_truncated=args.accept_truncated,
        progress=partial(terminal.progress, leave=False),
        note=report,
        known_first=known_first,
    )
    if searcher.is_current:
        report_library(searcher, list_all=args.list_skipped)
    else:
        known = f"{counted(searcher.inventory.sounds, 'sound')} known in"
        model = terminal.shown(searcher.source)
        report(f"{known} {terminal.shown(searcher.folder)}; model {model}")
    if searcher.demo_note:
        report(f"note: {searcher.demo_note}")
    return searcher


def report_library(searcher: "Searcher", *, list_all: bool) -> None:
    """Print what is searched, and what is not."""
    sounds = f"{counted(searcher.inventory.sounds, 'sound')} in {terminal.shown(searcher.folder)}"
    changes = f", {searcher.changes}" if str(searcher.changes) else ""
    report(f"{sounds}{changes}; model {terminal.shown(searcher.source)}")
    _report_skipped(searcher, list_all=list_all)
    if noted := searcher.library.noted:
        most = None if list_all else SHOWN
        odd = shorten([f"{name} {why}" for name, why in noted.items()], most=most)
        report(f"searched, but odd:\n{odd}")


def _report_skipped(searcher: "Searcher", *, list_all: bool) -> None:
    """Print which files of the folder are not searched, and why."""
    failed, others = searcher.inventory.failed, searcher.inventory.others
    if failed:
        most = None if list_all else SHOWN
        listing = shorten([f"{name} {reason}" for name, reason in failed.items()], most=most)
        report(f"{unusable_files(failed)}; skipped:\n{listing}")
        report(f"all of them are in {terminal.shown(searcher.failed_files)}")
    if others:
        kinds = [f"{name} ({kind})" for name, kind in others.items()]
        how = f":\n{shorten(kinds, most=None)}" if list_all else " (--list-skipped: which)"
        report(f"{other_files(others)}; skipped{how}")


def report(text: str) -> None:
    """Print on stderr what is not an answer."""
    print(text, file=sys.stderr, flush=True)
