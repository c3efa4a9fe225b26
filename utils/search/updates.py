"""Updates of the library in the background, one at a time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from utils.runtime.errors import InputError
from utils.search.searcher import Progress

_STOPS_WITHIN = 5.0  # seconds
_SHOWN_EVERY = 0.2  # seconds


class _Stopping(Exception):
    """The server is being stopped."""


class Updates:
    """A thread that brings a library up to date, and its progress.

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

    def start(self) -> bool:
        """Start an update; returns False if one is already running."""
        with self._lock:
            if self._state["running"]:
                return False
            self._state = {"running": True}
            # A daemon, because a working network cannot be stopped.
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return True

    def wait(self, progress: Progress) -> None:
        """Wait for the update, and show its progress; an InputError if it failed with one."""
        shown: tuple[str, str, int] | None = None
        with contextlib.ExitStack() as bars:
            while (state := self.state)["running"]:
                kind = (state.get("what"), state.get("unit"), state.get("total"))
                if state.get("what") and kind != shown:
                    bars.close()
                    bar, shown, done = bars.enter_context(progress(kind[2], *kind[:2])), kind, 0
                if shown == kind:
                    bar.update(state["done"] - done)
                    done = state["done"]
                self._thread.join(_SHOWN_EVERY)
        if "error" in state:
            raise InputError(state["error"])

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

    @property
    def note(self) -> str:
        """How far a running update is: "still looking: 20 of 300 files"; else empty."""
        state = self.state
        if not state["running"]:
            return ""
        if "what" not in state:
            return "still looking for changes in the folder"
        return f"still {state['what']}: {state['done']} of {state['total']} {state['unit']}"

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
