"""Signals that ask a command to stop: Ctrl-C, SIGTERM, and SIGHUP when its terminal closes."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A launcher may forward the Ctrl-C that the terminal has already sent to all processes.
_ONE_REQUEST = 1.0  # seconds


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to stop; `status` is the exit status that shells report."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


class _Request:
    """The first signal received, and whether it is deferred."""

    came_at: float | None = None
    deferring = 0
    waiting: int | None = None


_request = _Request()


def raise_when_asked_to_stop() -> None:
    """Make the signals that ask to stop raise `Stopped` in the main thread, from now on.

    A second signal, more than a second later, ends the process at once without cleanup.
    """
    _request.came_at = _request.waiting = None
    for number in _ASKING:
        # An ignored signal stays ignored, as SIGHUP is under nohup.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _asked)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defer `Stopped` to the end of the block.

    For writes through h5py, libsndfile and PyTorch, which lose or replace an exception that is
    raised while they call back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach only the main thread
        return
    _request.deferring += 1
    try:
        yield
    finally:
        _request.deferring -= 1
        if _request.waiting is not None and not _request.deferring:
            number, _request.waiting = _request.waiting, None
            raise Stopped(number)


def _asked(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _request.came_at is None:
        _request.came_at = now
        if not _request.deferring:
            raise Stopped(number)
        _request.waiting = number
    elif now - _request.came_at > _ONE_REQUEST:
        os._exit(128 + number)
