"""What every command has in common: arguments, progress, summary line, clean error exits."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from utils import config, consistency, distributed
from utils.errors import InputError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # as shells report SIGINT
EXIT_BROKEN_PIPE = 141  # as shells report SIGPIPE


def parser(description: str) -> argparse.ArgumentParser:
    """Make an argument parser with the options that every command takes: --config and --set."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_options(result)
    return result


def add_config_options(target: argparse.ArgumentParser, *, of_subcommand: bool = False) -> None:
    """Add --config and --set to a parser, or to one of its subcommands.

    A subcommand keeps its own in other attributes, so that options before and after its name
    count together instead of the later silencing the earlier.
    """
    prefix = "command_" if of_subcommand else ""
    target.add_argument(
        "--config",
        dest=f"{prefix}config",
        type=Path,
        metavar="FILE",
        help="settings file (default: the project's conf.yaml)",
    )
    target.add_argument(
        "--set",
        dest=f"{prefix}overrides",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override one setting, e.g. --set training.epochs=5; may be repeated",
    )


def add_subset_option(target: argparse.ArgumentParser, *choices: str) -> None:
    """Add --subset, which says for which data set to work; the first of the choices by default."""
    sections = {"clotho": "train_data", "task6b": "eval_data", "audiocaps": "audiocaps"}
    listing = "; ".join(f"{choice}: {sections[choice]} of the settings" for choice in choices)
    target.add_argument(
        "--subset",
        choices=choices,
        default=choices[0],
        help=f"which data set (default {choices[0]}). {listing}",
    )


def load_config(
    args: argparse.Namespace,
    *,
    default: Path | config.Config = config.DEFAULT_CONFIG,
    check: config.Check = consistency.contradictions,
) -> config.Config:
    """Load the settings that --config and --set ask for.

    `default` is the file, or the settings themselves, that hold without --config. `check` finds
    what contradicts itself in a file, see `utils.consistency`.
    """
    overrides = [*args.overrides, *getattr(args, "command_overrides", [])]
    given = config_file(args, default=default)
    if isinstance(given, config.Config):
        return config.parse_config(
            config.to_plain(given), overrides, base=Path.cwd(), source="the checkpoint's settings"
        )
    return config.load_config(given, overrides, check=check)


def config_file(
    args: argparse.Namespace, *, default: Path | config.Config = config.DEFAULT_CONFIG
) -> Path | config.Config:
    """Return the settings file that --config names, after a subcommand or before; or `default`."""
    return getattr(args, "command_config", None) or args.config or default


def progress(total: int, description: str, unit: str) -> tqdm:
    """Show a progress bar with rate and time left; silent where stderr is no terminal.

    Of several processes only rank 0 shows one.
    """
    disable = None if distributed.team().leads else True
    return tqdm(total=total, desc=description, unit=f" {unit}", disable=disable, dynamic_ncols=True)


def shown(path: Path) -> str:
    """Write a path the short way: relative to the working directory where it lies below it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class Summary:
    """The lines a command prints: what it reads and writes, and a last line with the time.

    Of several processes only rank 0 prints.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._silent = not distributed.team().leads

    def reads(self, *paths: Path) -> None:
        """Print the files or folders that are read."""
        for path in paths:
            self._print(f"reads  {shown(path)}")

    def writes(self, *paths: Path) -> None:
        """Print the files or folders that are written."""
        for path in paths:
            self._print(f"writes {shown(path)}")

    def finish(self, text: str) -> None:
        """Print the closing line of the command, with the seconds since the start."""
        self._print(f"{text} [{time.perf_counter() - self._started:.1f} s]")

    def _print(self, line: str) -> None:
        if not self._silent:
            print(line, flush=True)


def run(
    main: Callable[[], int | None], *, after_interrupt: str = "run the same command again to go on"
) -> int:
    """Call a command's main function and turn what it raises into an exit status.

    Returns
    -------
    int
        What `main` returns (None counts as 0); 2 for bad input, with its message on stderr;
        130 for Ctrl-C; 141 if the reader of the output has gone.

    """
    try:
        return main() or 0
    except InputError as error:
        # In one piece, because several processes may write to one terminal at the same time.
        print(f"error{distributed.label()}: {error}\n", end="", file=sys.stderr, flush=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(f"\ninterrupted; {after_interrupt}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; flushing at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
