"""What the scripts that search a folder of sounds have in common on the command line."""

import argparse
import sys
from functools import partial
from pathlib import Path

from utils.checkpoints.trained_model import newest_run, open_model
from utils.runtime import terminal
from utils.runtime.errors import counted, shorten
from utils.search.searcher import Searcher
from utils.settings import options

DEMO_NOTE = (
    "this model's tagger knows the demo's synthetic sounds alone. For real recordings, train with "
    "PaSST's own weights (see README.md)."
)


def add_options(target: argparse.ArgumentParser) -> None:
    """Add --audio, --model and --index, which say what to search in and with which model."""
    target.add_argument("--audio", type=Path, metavar="DIR", help="default: the demo set")
    target.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="a model folder (main.py export), a run folder or a checkpoint; default: the newest "
        "finished run",
    )
    target.add_argument("--index", type=Path, metavar="DIR", help="where to keep the index")


def open_searcher(args: argparse.Namespace) -> Searcher:
    """Load the model and bring the index of the folder up to date; tells about it on stderr."""
    config = options.load_config(args)
    model = open_model(
        args.model or newest_run(config),
        here=config,
        overrides=args.overrides,
    )
    searcher = Searcher(
        model,
        args.audio or config.train_data.dataset_path,
        index=args.index,
        progress=partial(terminal.progress, leave=False),
    )
    library, changes = searcher.library, searcher.changes
    sounds = f"{counted(len(library.sounds), 'sound')} in {terminal.shown(searcher.folder)}"
    tell(f"{', '.join(filter(None, (sounds, str(changes))))}; model {terminal.shown(model.source)}")
    if library.failed:
        reasons = [f"{name} {reason}" for name, reason in library.failed.items()]
        tell(f"cannot be used, and left out:\n{shorten(reasons)}")
    if searcher.knows_only_the_demo:
        tell(f"note: {DEMO_NOTE}")
    return searcher


def tell(text: str) -> None:
    """Print what is no answer."""
    print(text, file=sys.stderr, flush=True)
