"""Imported first by every script: makes the project importable, and Ctrl-C quiet during imports.

Nothing changes for the signals of a program outside the project that imports a script.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_SCRIPTS = Path(__file__).resolve().parent
_PROJECT = _SCRIPTS.parent
sys.path.insert(0, str(_PROJECT))

_program = Path(getattr(sys.modules["__main__"], "__file__", None) or "/").resolve()
# An ignored signal stays ignored. `terminal.run` sets the handler that lets commands clean up.
if (
    _program.parent in (_SCRIPTS, _PROJECT)
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(main: Callable[[], int | None], **options: str) -> NoReturn:
    """End the process with the exit status of a command: see `utils.runtime.terminal.run`."""
    from utils.runtime import terminal

    sys.exit(terminal.run(main, **options))
