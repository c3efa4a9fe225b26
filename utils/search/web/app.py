"""The application: the page, the API, and what errors are answered with."""

from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from utils.runtime.errors import InputError, is_shortage
from utils.search.web.api.answers import AsciiJson
from utils.search.web.api.desk_api import desk_operations
from utils.search.web.api.openapi import Description
from utils.search.web.api.operations import Operation
from utils.search.web.api.search_api import search_operations
from utils.search.web.api.sound_api import sound_operations
from utils.search.web.api.vector_api import vector_operations
from utils.search.web.busy import BUSY_HEADERS, busy
from utils.search.web.guard import LOOPBACK, Guard
from utils.search.web.service import Service
from utils.search.web.token_gate import TokenGate

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def create_app(service: Service, *, host: str, token: str | None = None) -> ASGIApp:
    """Make the application that serves the page and the API.

    Parameters
    ----------
    service : Service
    host : str
        What the server listens on.
    token : str, optional
        What requests must have, except those for the page itself.

    """
    page = {_address(path): path for path in _PAGE.iterdir()}
    app: ASGIApp = Starlette(
        routes=[
            *(Route(address, partial(_send_file, path)) for address, path in page.items()),
            *(operation.route() for operation in operations_of(service, host=host)),
        ],
        exception_handlers={
            InputError: _refuse,
            HTTPException: _no_such_address,
            OSError: _postpone,
            MemoryError: _postpone,
            Exception: _fail,
        },
    )
    if token is not None:
        app = TokenGate(app, token=token, free=page.keys())
    return Guard(app, host=host)


def operations_of(service: Service, *, host: str) -> list[Operation]:
    """List all operations of the API."""
    is_local = host in LOOPBACK
    described = [
        *search_operations(service, is_local=is_local),
        *sound_operations(service),
        *vector_operations(service.vectors),
        *desk_operations(service.desk, is_local=is_local),
    ]
    return Description(described).operations


def _address(path: Path) -> str:
    return "/" if path.name == "index.html" else f"/{path.name}"


def _send_file(path: Path, request: Request) -> Response:
    headers = {"cache-control": "no-cache"}
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=headers)


def _refuse(request: Request, error: Exception) -> Response:
    status, headers = getattr(error, "status", 400), getattr(error, "headers", {})
    return AsciiJson({"error": str(error)}, status, BUSY_HEADERS if status == 503 else headers)


def _postpone(request: Request, error: Exception) -> Response:
    """Let the browser ask again if descriptors or memory have run out."""
    if not is_shortage(error):
        raise error
    return _refuse(request, busy(error))


def _no_such_address(request: Request, error: HTTPException) -> Response:
    text = f"{error.detail}: {request.method} {request.url.path}"
    return AsciiJson({"error": text}, error.status_code, error.headers)


def _fail(request: Request, error: Exception) -> Response:
    """Hide the error from the browser; the traceback goes to the terminal."""
    return AsciiJson({"error": "Something went wrong: see the server's terminal."}, 500)
