"""Looking for new sounds in the background, one look at a time."""

import threading
from collections.abc import Callable
from typing import Any

from utils.runtime.errors import InputError
from utils.search.searcher import Progress
from utils.search.web.guard import Refusal

_STOPS_WITHIN = 5.0  # seconds


class _Stopping(Exception):
    """The server ends."""


class Updates:
    """A thread that brings the library up to date, and what it tells meanwhile.

    Parameters
    ----------
    update : callable
        Does the work; called with what `utils.search.searcher.Searcher` takes as ``progress``. What
        it returns is told when it is done, as a text.

    """

    def __init__(self, update: Callable[[Progress], str]) -> None:
        self._update = update
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._state: dict[str, Any] = {"running": False}

    @property
    def state(self) -> dict[str, Any]:
        """Whether it is running, at what and how much of it is done, or what came of it."""
        with self._lock:
            return dict(self._state)

    def start(self) -> None:
        """Begin to look for new sounds.

        Raises
        ------
        Refusal
            If that is being done already.

        """
        with self._lock:
            if self._state["running"]:
                raise Refusal(409, "New sounds are being looked for already.")
            self._state = {"running": True}
            # A daemon, because a network that is at work cannot be stopped.
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after the sound that is being tagged; what is finished is kept."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOPS_WITHIN)

    def _run(self) -> None:
        # Of any other error the thread's end tells on the terminal.
        result = {"error": "Looking for new sounds failed; the server's terminal says why."}
        try:
            result = {"message": self._update(self._progress)}
        except _Stopping:
            result = {"error": "The server was stopped."}
        except InputError as error:
            result = {"error": str(error)}
        finally:
            with self._lock:
                self._state = {"running": False, **result}

    def _progress(self, total: int, description: str, unit: str) -> "_Progress":
        return _Progress(self, {"what": description, "unit": unit, "total": total, "done": 0})

    def _tell(self, state: dict[str, Any]) -> None:
        if self._stopping.is_set():
            raise _Stopping
        with self._lock:
            self._state = {"running": True, **state}


class _Progress:
    """A progress bar that is looked at from elsewhere."""

    def __init__(self, updates: Updates, state: dict[str, Any]) -> None:
        self._updates, self._state = updates, state

    def __enter__(self) -> "_Progress":
        self.update(0)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        self._state["done"] += count
        self._updates._tell(self._state)
