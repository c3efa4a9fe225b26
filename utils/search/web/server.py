"""The server: an address to listen on, and the time until Ctrl-C."""

import logging
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from utils.runtime.errors import InputError

_LETS_FINISH = 1  # second, for what is being sent when the server is stopped


def listen(host: str, port: int) -> socket.socket:
    """Take an address, before anything that needs time is done.

    Parameters
    ----------
    host : str
        A name or an address of this machine.
    port : int
        0 for any that is free.

    Raises
    ------
    InputError
        If it cannot be had.

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
    """Write the address of the page for a browser on this machine."""
    port = listener.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def open_in_browser(address: str) -> None:
    """Open a page in the user's browser, which may take its time."""
    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()


def serve(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C or SIGTERM, whose exception is then raised.

    Parameters
    ----------
    app : ASGI application
    listener : socket
        From `listen`; closed in the end.
    ready : callable
        Called when requests are answered.

    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_LETS_FINISH,
    )
    with listener:
        _Server(config, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready, and ends without a word."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering. Sounds that are being played are cut off, which is no error."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
