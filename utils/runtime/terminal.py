"""What commands show: progress, what they read and write, and clean error exits."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.runtime import distributed, errors, interrupts
from utils.runtime.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

EXIT_BAD_INPUT = 2
EXIT_SOME_FAILED = 3  # everything else is done
EXIT_INTERRUPTED = 130  # as shells report SIGINT
EXIT_BROKEN_PIPE = 141  # as shells report SIGPIPE

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LINE_EVERY = 60.0  # seconds, where no terminal shows a bar


def progress(
    total: int, description: str, unit: str, *, leave: bool = True, scaled: bool = False
) -> AbstractContextManager[Any]:
    """Show progress on stderr with rate and time left: a bar, or a line a minute in a log file.

    Only rank 0 shows it. With `leave` the finished bar stays on the screen. `scaled` writes 1.2G
    for 1200000000. A total of 0 is unknown. ``update`` of what this returns is called with numbers
    of what is done.
    """
    from tqdm import tqdm  # its import takes a moment, which --help need not wait for

    options = {"total": total or None, "unit": f" {unit}", "unit_scale": scaled}
    if distributed.team().is_first and not sys.stderr.isatty():
        return _Lines(partial(tqdm.format_meter, prefix=description, **options))
    return tqdm(
        desc=description,
        disable=not distributed.team().is_first,
        dynamic_ncols=True,
        leave=leave,
        **options,
    )


class _Lines:
    """Progress as lines, the first after a minute; `write` words a number of what is done."""

    def __init__(self, write: Callable[..., str]) -> None:
        self._write = write
        self._done = 0
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown >= _LINE_EVERY:
            self._shown = now
            line = self._write(self._done, elapsed=now - self._began, ncols=0)
            print(line, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """Write a path below the working directory relative to it, and others in full."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def resumable(arguments: str) -> Iterator[None]:
    """Print, if the block is interrupted, the arguments with which main.py resumes."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nto resume: python main.py {arguments}")
        raise


class Summary:
    """The lines a command prints: what it reads and writes, and a last line with the time.

    Only rank 0 prints.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.silent = not distributed.team().is_first

    def reads(self, *paths: Path) -> None:
        """Print the files or folders that are read."""
        for path in paths:
            self.notes(f"reads  {shown(path)}")

    def writes(self, *paths: Path) -> None:
        """Print the files or folders that are written."""
        for path in paths:
            self.notes(f"writes {shown(path)}")

    def notes(self, text: str) -> None:
        """Print what the user should know."""
        if not self.silent:
            print(text, flush=True)

    def finish(self, text: str) -> None:
        """Print the closing line of the command, with the seconds since the start."""
        self.notes(f"{text} [{time.perf_counter() - self._started:.1f} s]")


def run(
    main: Callable[[], int | None], *, after_interrupt: str = "run the same command again to resume"
) -> int:
    """Call a command's main function and turn what it raises into an exit status.

    Returns
    -------
    int
        What `main` returns (None counts as 0; 3 means that some sound files are unusable); 2 for
        bad input, a full disk or too little memory, with a message on stderr; 130 for Ctrl-C, 143
        for SIGTERM, 129 for SIGHUP; 141 for a broken pipe.

    """
    interrupts.raise_when_asked_to_stop()
    _escape_unknown_characters()
    try:
        return main() or 0
    except InputError as error:
        return fail(str(error))
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError):  # the terminal may be closed
            print(f"\ninterrupted; {after_interrupt}", file=sys.stderr)
        return error.status if isinstance(error, interrupts.Stopped) else EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has exited; flushing at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            return fail(f"the disk is full: {error}. Free some space; {after_interrupt}.")
        if isinstance(error, OSError) and error.errno in errors.TOO_MANY_FILES:
            return fail(f"{error}. Raise the limit (ulimit -n); {after_interrupt}.")
        if isinstance(error, PermissionError):
            return fail(f"{error}. Check the permissions of this file or folder.")
        if errors.out_of_memory(error):
            return fail(no_memory(errors.first_line(error), after_interrupt))
        raise


def no_memory(reason: str, after_interrupt: str) -> str:
    """Say that the memory ran out, what to lower, and which limit this process has."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    raise_it = (
        ""
        if limit == resource.RLIM_INFINITY
        else f"Raise the limit of this process, {limit / 1e9:.1f} GB (ulimit -v). "
    )
    return (
        f"not enough memory: {reason.rstrip('.')}. {raise_it}Close other programs, or lower "
        "passt.batch_size, sentence_model.batch_size or training.batch_size; "
        f"{after_interrupt}."
    )


def _escape_unknown_characters() -> None:
    """Print characters that the output cannot encode as escapes, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        # Others, such as replace, raise none.
        raises = getattr(stream, "errors", None) in ("strict", "surrogateescape")
        if isinstance(stream, io.TextIOWrapper) and raises:
            stream.reconfigure(errors="backslashreplace")


def fail(message: str) -> int:
    """Print an error, and return the exit status for it."""
    # In one write, because several processes may share the terminal.
    print(f"error{distributed.label()}: {message}\n", end="", file=sys.stderr, flush=True)
    return EXIT_BAD_INPUT
