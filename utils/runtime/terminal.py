"""What every command has in common: arguments, progress, summary line, clean error exits."""

import argparse
import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from utils.datasets import sound_checks
from utils.runtime import distributed, errors, interrupts
from utils.runtime.errors import InputError, shorten
from utils.settings import config, consistency

EXIT_BAD_INPUT = 2
EXIT_SOME_FAILED = 3  # all else is done
EXIT_INTERRUPTED = 130  # as shells report SIGINT
EXIT_BROKEN_PIPE = 141  # as shells report SIGPIPE
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


def add_strict_option(target: argparse.ArgumentParser) -> None:
    """Add --strict, which stops at the first sound file that cannot be used."""
    target.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first sound file that cannot be used, instead of leaving it out",
    )


def load_config(
    args: argparse.Namespace,
    *,
    default: Path | config.Config = config.DEFAULT_CONFIG,
    check: config.Check = consistency.contradictions,
) -> config.Config:
    """Load the settings that --config and --set ask for.

    `default` is the file, or the settings themselves, that hold without --config. `check` finds
    what contradicts itself in a file, see `utils.settings.consistency`.
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


def progress(total: int, description: str, unit: str, *, leave: bool = True) -> tqdm:
    """Show a progress bar with rate and time left; silent where stderr is no terminal.

    Of several processes only rank 0 shows one. With `leave` it stays there when all is done.
    """
    return tqdm(
        total=total,
        desc=description,
        unit=f" {unit}",
        disable=None if distributed.team().leads else True,
        dynamic_ncols=True,
        leave=leave,
    )


def shown(path: Path) -> str:
    """Write a path the short way: relative to the working directory where it lies below it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def going_on(arguments: str) -> Iterator[None]:
    """Say, where the block is interrupted, with which arguments main.py goes on."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nto go on: python main.py {arguments}")
        raise


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

    def notes(self, text: str) -> None:
        """Print what the user should know."""
        self._print(text)

    def finish(self, text: str) -> None:
        """Print the closing line of the command, with the seconds since the start."""
        self._print(f"{text} [{time.perf_counter() - self._started:.1f} s]")

    def failed(self, folder: Path, step: str, failed: Mapping[str, str]) -> int:
        """Tell which sound files a step cannot use, and keep the list.

        Parameters
        ----------
        folder : Path
            Where ``failed_files.csv`` is.
        step : str
            What failed.
        failed : mapping of str to str
            Reasons by ``split/file name``; empty if nothing failed.

        Returns
        -------
        int
            The exit status: 0 if nothing failed.

        """
        if self._silent:
            return EXIT_SOME_FAILED if failed else 0
        path = sound_checks.write_failed(folder, step, failed)
        if path is None:
            return 0
        listing = shorten([f"{name} {reason}" for name, reason in failed.items()])
        self._print(f"cannot be used, and left out:\n{listing}")
        self.writes(path)
        return EXIT_SOME_FAILED

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
        What `main` returns (None counts as 0; 3 means that some sound files cannot be used); 2 for
        bad input, a full disk or too little memory, with a message on stderr; 130 for Ctrl-C, 143
        for SIGTERM, 129 for SIGHUP; 141 if the reader of the output has gone.

    """
    interrupts.raise_when_asked_to_stop()
    try:
        return main() or 0
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError):  # the terminal may have gone
            print(f"\ninterrupted; {after_interrupt}", file=sys.stderr)
        return error.status if isinstance(error, interrupts.Stopped) else EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; flushing at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            return _fail(f"no room on the disk: {error}. Make room; {after_interrupt}.")
        if errors.out_of_memory(error):
            return _fail(
                f"not enough memory: {_first_line(error)}. Let other programs end, or lower "
                "passt.batch_size, sentence_model.batch_size or training.batch_size; "
                f"{after_interrupt}."
            )
        raise


def _fail(message: str) -> int:
    # In one piece, because several processes may write to one terminal at the same time.
    print(f"error{distributed.label()}: {message}\n", end="", file=sys.stderr, flush=True)
    return EXIT_BAD_INPUT


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
