"""Updates of the library in the background, one at a time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from utils.runtime.errors import InputError
from utils.search.searcher import Progress
from utils.search.web.guard import Refusal

_STOPS_WITHIN = 5.0  # seconds


class _Stopping(Exception):
    """The server is being stopped."""


class Updates:
    """A thread that brings the library up to date, and its progress.

    `update` does the work and returns a message about the result.
    """

    def __init__(self, update: Callable[[Progress], str]) -> None:
        self._update = update
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._state: dict[str, Any] = {"running": False}

    @property
    def state(self) -> dict[str, Any]:
        """Whether an update is running, its progress, or the result of the last one."""
        with self._lock:
            return dict(self._state)

    def start(self) -> None:
        """Start an update; a `Refusal` if one is already running."""
        with self._lock:
            if self._state["running"]:
                raise Refusal(409, "An update is already running.")
            self._state = {"running": True}
            # A daemon, because a working network cannot be stopped.
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after the current windows; finished passages are kept."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOPS_WITHIN)

    def _run(self) -> None:
        # Any other error ends the thread and is printed on the terminal.
        result = {"error": "The update failed: see the server's terminal."}
        try:
            result = {"message": self._update(self._progress)}
        except _Stopping:
            result = {"error": "The server was stopped."}
        except InputError as error:
            result = {"error": str(error)}
        finally:
            with self._lock:
                self._state = {"running": False, **result}

    @contextlib.contextmanager
    def _progress(self, total: int, description: str, unit: str) -> Iterator[SimpleNamespace]:
        """Make a progress bar that the page asks for."""
        state = {"running": True, "what": description, "unit": unit, "total": total, "done": 0}

        def update(count: int) -> None:
            if self._stopping.is_set():
                raise _Stopping
            state["done"] += count
            with self._lock:
                self._state = dict(state)

        update(0)
        yield SimpleNamespace(update=update)
