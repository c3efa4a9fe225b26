"""Imported first by every script: makes the project importable, and Ctrl-C quiet during imports.

Where memory runs out before the script itself can say so, while libraries are imported or in their
C++, this says so. Nothing changes for a program outside the project that imports a script.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_SCRIPTS = Path(__file__).resolve().parent
_PROJECT = _SCRIPTS.parent
sys.path.insert(0, str(_PROJECT))

_AGAIN = "run the same command again to resume"
_BY_ABORT = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)  # how C++ ends without memory
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def _report(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Print an uncaught error, as one line if it is for lack of memory."""
    from utils.runtime import errors, terminal

    if not errors.out_of_memory(error):
        sys.__excepthook__(kind, error, traceback)
        return
    status = terminal.fail(terminal.no_memory(errors.first_line(error), _AGAIN))
    sys.stdout.flush()
    os._exit(status)


def _watch_for_aborts() -> None:
    """Go on in a child process; this one waits for it, and explains why it was aborted."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)  # until they can be passed on
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # end with the parent
        return
    for number in _ASKING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if -status in _BY_ABORT:
        from utils.runtime import terminal

        status = terminal.fail(
            terminal.no_memory(
                f"a library aborted ({signal.Signals(-status).name}), probably for lack of it",
                _AGAIN,
            )
        )
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


_main = sys.modules["__main__"]
_program = Path(getattr(_main, "__file__", None) or "/").resolve()
if _program.parent in (_SCRIPTS, _PROJECT):
    # An ignored signal stays ignored. `terminal.run` sets the handler that lets commands clean up.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _main.__name__ == "__main__":  # not a process that multiprocessing has started
        sys.excepthook = _report
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            _watch_for_aborts()


def run(main: Callable[[], int | None], **options: str) -> NoReturn:
    """End the process with the exit status of a command: see `utils.runtime.terminal.run`."""
    from utils.runtime import terminal

    sys.exit(terminal.run(main, **options))
