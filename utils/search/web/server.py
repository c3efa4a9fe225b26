"""The server: takes an address, and answers requests until Ctrl-C."""

import asyncio
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from utils.runtime.errors import InputError, is_shortage
from utils.search.web.busy import busy

_WAITING = 128  # connections that are not yet accepted; asyncio tries to accept so many at once
_GRACE = 1  # seconds for answers that are being sent when the server is stopped


def listen(host: str, port: int) -> socket.socket:
    """Take an address of this machine; port 0 picks a free one.

    Raises
    ------
    InputError
        If the address is not available.

    """
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port}: give a number from 0 to 65535.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"cannot listen on port {port} of {host}: {error}. Another program may be using it, "
            "perhaps this one in another terminal; choose another with --port or --host."
        ) from None


def address_of(listener: socket.socket, host: str) -> str:
    """Return the address of the page for a browser on this machine."""
    port = listener.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def open_in_browser(address: str) -> None:
    """Open a page in the user's browser, without waiting for it."""
    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()


def serve(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C or SIGTERM, then raise its exception.

    The listener is closed at the end; `ready` is called once requests are answered.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        backlog=_WAITING,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE,
    )
    with listener:
        _Server(config, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, with a callback when it is ready, and a quiet end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and call back."""
        asyncio.get_running_loop().set_exception_handler(_report)
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering. Cutting off sounds that are being played is not an error."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report an error outside requests: without a traceback if no connection can be accepted."""
    error = context.get("exception")
    if is_shortage(error):
        busy(error)
    else:
        loop.default_exception_handler(context)
