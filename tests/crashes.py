"""Processes that are killed before each of their file operations in turn."""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

# What Python tells an audit hook before it does it; writes are not among them.
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock")


def kill_before(number: int, folder: Path) -> None:
    """Have this process killed before its operation `number`, from 0, on a file below a folder.

    Operations are those of CHANGES, and fsync, which counts twice: before the first, half of what
    the file holds is cut off, as if the process had been killed while it was written.
    """
    done = itertools.count()
    fsync = os.fsync

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def told(event: str, arguments: tuple) -> None:
        if event in CHANGES and _below(arguments[0], folder) and next(done) == number:
            die()

    def torn_fsync(descriptor: int) -> None:
        if _below(descriptor, folder):
            if next(done) == number:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                die()
            if next(done) == number:
                die()
        fsync(descriptor)

    os.fsync = torn_fsync
    sys.addaudithook(told)


def crashes(sequence: Callable[[], object], folder: Path) -> Iterator[int]:
    """Run a sequence in processes of its own, killed before the first, second, ... operation.

    Yields the number after each; the last process is not killed, and comes to the end.
    """
    for number in itertools.count():
        pid = os.fork()
        if pid == 0:
            try:
                kill_before(number, folder)
                sequence()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        yield number


def _below(target: object, folder: Path) -> bool:
    if isinstance(target, int):
        try:
            target = Path(f"/proc/self/fd/{target}").readlink()
        except OSError:
            return False
    return isinstance(target, str | os.PathLike) and folder in Path(target).parents
