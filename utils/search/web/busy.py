"""What happens when the server has too much to do: requests are told when to ask again."""

import logging
import resource

from starlette.types import ASGIApp, Receive, Scope, Send

from utils.search.web.guard import Refusal

_log = logging.getLogger(__name__)

# A browser that must ask again lets its connection go, which is a descriptor too.
BUSY_HEADERS = {"retry-after": "1", "connection": "close"}
_MOST = 256  # requests of one kind at once
_DESCRIPTORS = 8  # of all that the process may have, for each of them
_PAUSE = 60  # seconds between messages


class _OncePerMinute(logging.Filter):
    """Drops what is logged within a minute after another message."""

    _next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a message."""
        if record.created < self._next:
            return False
        self._next = record.created + _PAUSE
        return True


_log.addFilter(_OncePerMinute())


def busy(shortage: BaseException) -> Refusal:
    """Return the answer to a request that failed for a shortage, and log it once a minute."""
    reason = getattr(shortage, "strerror", None) or "out of memory"
    _log.warning("warning: requests must wait (%s). `ulimit -n` limits the open files.", reason)
    return Refusal(503, "The server is busy. Try again in a moment.")


def most_at_once() -> int:
    """Return how many sounds may be open at once, so that descriptors are left for the rest."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(_MOST, limit // _DESCRIPTORS))


class Bounded:
    """ASGI middleware: passes so many requests on at once, and refuses the others with 503."""

    def __init__(self, app: ASGIApp, *, at_once: int) -> None:
        self._app = app
        self._free = at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, until the answer has been sent."""
        if not self._free:
            raise Refusal(503, "Too many sounds are being played. Try again in a moment.")
        self._free -= 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._free += 1
