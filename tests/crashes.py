"""Processes that are killed, or find the disk full, at each of their file operations in turn."""

import errno
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

# Events of Python's audit hooks, raised before the operation. There are none for writes.
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock")
NEEDS_ROOM = ("open", "os.rename", "os.mkdir")

_HARMLESS = 100  # exit status where the error made no difference


def crashes(sequence: Callable[[], object], folder: Path) -> Iterator[int]:
    """Run a sequence in processes of its own, killed before the first, second, ... operation.

    Operations are those of CHANGES on files below the folder, and fsync, which counts twice: the
    first time, half of the file is cut off, as if the process had been killed while writing it.
    Yields the number after each; the last process is not killed.
    """

    def die(event: str, descriptor: int | None) -> None:
        if event == "half written":
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    for number in itertools.count():
        status = _status_of(sequence, folder, number, (*CHANGES, "half written", "fsync"), die)
        if status == 0:
            return
        assert status == -signal.SIGKILL
        yield number


def full_disks(sequence: Callable[[], int], folder: Path) -> Iterator[int]:
    """Run a sequence with a disk that is full at the first, second, ... operation, and only then.

    The sequence returns its exit status, which must be 2. Yields the number after each.
    """

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in itertools.count():
        status = _status_of(sequence, folder, number, (*NEEDS_ROOM, "fsync"), fail)
        if status == 0:
            return
        assert status in (2, _HARMLESS)
        yield number


def in_child(sequence: Callable[[], object]) -> int:
    """Run a sequence in a process of its own; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = sequence() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _status_of(
    sequence: Callable[[], object],
    folder: Path,
    number: int,
    events: tuple[str, ...],
    strike: Callable[[str, int | None], object],
) -> int:
    """Run a sequence that is struck at one operation; returns 0 if there are fewer."""

    def run() -> int:
        done = itertools.count()
        struck = []
        fsync = os.fsync

        def on_event(event: str, target: object) -> None:
            if event in events and _below(target, folder) and next(done) == number:
                struck.append(event)
                strike(event, target)

        def fsync_with_events(descriptor: int) -> None:
            on_event("half written", descriptor)
            on_event("fsync", descriptor)
            fsync(descriptor)

        os.fsync = fsync_with_events
        sys.addaudithook(
            lambda event, arguments: _changes(arguments) and on_event(event, arguments[0])
        )
        status = sequence() or 0
        if not struck:
            assert status == 0
            return 0
        return status or _HARMLESS

    return in_child(run)


def _changes(arguments: tuple) -> bool:
    """Whether an event is not an open for reading: the third argument of "open" is its flags."""
    if len(arguments) == 3 and isinstance(arguments[2], int):
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return bool(arguments)


def _below(target: object, folder: Path) -> bool:
    if isinstance(target, int):
        try:
            target = Path(f"/proc/self/fd/{target}").readlink()
        except OSError:
            return False
    return isinstance(target, str | os.PathLike) and folder in Path(target).parents
