"""The page's addresses: HTTP on one side, `utils.search.web.service` on the other."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from utils.runtime.errors import InputError, is_shortage
from utils.search.filters import parse_filter
from utils.search.line_search import BY
from utils.search.near_duplicates import DUPLICATES
from utils.search.web.answers import AsciiJson
from utils.search.web.busy import BUSY_HEADERS, Bounded, busy, most_at_once
from utils.search.web.delivery import Delivery, send_file
from utils.search.web.desk_routes import desk_routes
from utils.search.web.guard import LOOPBACK, Guard, Refusal
from utils.search.web.service import MAX_FILTER, MAX_FILTERS, MAX_QUERY, MAX_TOP, Service

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_TOP = 20
_MAX_SOUND = 10**9
# Pictures, and sounds in which moments are found: leaves processors and threads for searches.
_DRAWN_AT_ONCE = 2


def create_app(service: Service, *, host: str) -> ASGIApp:
    """Make the application that serves the page; `host` is what the server listens on."""
    is_local = host in LOOPBACK
    handlers = _Handlers(service, is_local=is_local)
    sound = "/sounds/{library}/{sound}"
    bounded = Middleware(Bounded, at_once=most_at_once())
    app = Starlette(
        routes=[
            *(Route(_address(path), partial(_send_file, path)) for path in _PAGE.iterdir()),
            Route("/api/library", handlers.about),
            Route("/api/search", handlers.search),
            Route("/api/moments", handlers.moments),
            Route("/api/clips", handlers.receive_clip, methods=["POST"]),
            *desk_routes(service.desk, is_local=is_local),
            Route("/api/update", handlers.update_state),
            Route("/api/update", handlers.start_update, methods=["POST"]),
            Route(f"{sound}/audio", handlers.audio, middleware=[bounded]),
            Route(f"{sound}/file", handlers.original, middleware=[bounded]),
            Route(f"{sound}/spectrogram.png", handlers.picture),
        ],
        exception_handlers={
            InputError: _refuse,
            HTTPException: _no_such_address,
            OSError: _postpone,
            MemoryError: _postpone,
            Exception: _fail,
        },
    )
    return Guard(app, host=host)


def _address(path: Path) -> str:
    return "/" if path.name == "index.html" else f"/{path.name}"


def _send_file(path: Path, request: Request) -> Response:
    headers = {"cache-control": "no-cache"}
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=headers)


def _refuse(request: Request, error: Exception) -> Response:
    status = getattr(error, "status", 400)
    return AsciiJson({"error": str(error)}, status, BUSY_HEADERS if status == 503 else None)


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


class _Handlers:
    """One method for each address; those that are not coroutines run in threads."""

    def __init__(self, service: Service, *, is_local: bool) -> None:
        self._service, self._is_local = service, is_local
        self._delivery = Delivery(safe_mono=service.safe_mono)
        self._drawing = anyio.CapacityLimiter(_DRAWN_AT_ONCE)
        self._finding = anyio.CapacityLimiter(_DRAWN_AT_ONCE)
        self._delivering = anyio.CapacityLimiter(most_at_once())

    def about(self, request: Request) -> Response:
        about = self._service.about()
        if not self._is_local:
            del about["place"]  # tells others about the server's disk
        return AsciiJson(about)

    def search(self, request: Request) -> Response:
        return AsciiJson(self._service.search(**_query(request, self._service.tags)))

    async def moments(self, request: Request) -> Response:
        find = partial(self._service.moments, **_sound_and_text(request))
        return AsciiJson(await to_thread.run_sync(find, limiter=self._finding))

    async def receive_clip(self, request: Request) -> Response:
        try:
            return AsciiJson(await self._service.clips.receive(request.stream()))
        except ClientDisconnect:
            raise Refusal(400, "The upload of the clip was interrupted.") from None

    def update_state(self, request: Request) -> Response:
        return AsciiJson(self._service.updates.state)

    def start_update(self, request: Request) -> Response:
        if not self._service.updates.start():
            raise Refusal(409, "An update is already running.")
        return AsciiJson(self._service.updates.state, 202)

    async def audio(self, request: Request) -> Response:
        sound, decode = _sound(request), request.query_params.get("as") == "wav"

        def respond() -> Response:
            file, name = self._service.open_sound(*sound)
            return self._delivery.respond(file, name, request.headers, decode=decode)

        return await to_thread.run_sync(respond, limiter=self._delivering)

    async def original(self, request: Request) -> Response:
        opened = partial(self._service.open_sound, *_sound(request))
        return send_file(*await to_thread.run_sync(opened, limiter=self._delivering))

    async def picture(self, request: Request) -> Response:
        draw, sound = self._service.picture, _sound(request)
        png = await to_thread.run_sync(draw, *sound, limiter=self._drawing)
        headers = {"cache-control": "private, max-age=600"}
        return Response(png, media_type="image/png", headers=headers)


def _sound(request: Request) -> tuple[str, int]:
    return request.path_params["library"], _whole(request.path_params["sound"], "sound", _MAX_SOUND)


def _query(request: Request, tags: list[str]) -> dict[str, Any]:
    given = request.query_params
    named = [name for name in ("q", "clip", "like") if name in given]
    if len(named) != 1:
        raise Refusal(400, "Give one of q (a description), clip or like (a sound).")
    text = given.get("q")
    if text is not None:
        _check_text(text)
    filters = given.getlist("tag")
    if len(filters) > MAX_FILTERS:
        raise Refusal(400, f"There are {len(filters)} tag filters, more than {MAX_FILTERS}.")
    if (longest := max(map(len, filters), default=0)) > MAX_FILTER:
        raise Refusal(400, f"A tag filter has {longest} characters, more than {MAX_FILTER}.")
    like, start, by = given.get("like"), given.get("start"), given.get("by", "both")
    if by not in BY:
        raise Refusal(400, f"by={by[:50]!r}: give one of {', '.join(BY)}.")
    if (duplicates := given.get("duplicates", "fold")) not in DUPLICATES:
        wanted = ", ".join(DUPLICATES)
        raise Refusal(400, f"duplicates={duplicates[:50]!r}: give one of {wanted}.")
    return {
        "by": by,
        "duplicates": duplicates,
        "text": text,
        "clip": given.get("clip"),
        "like": None if like is None else _whole(like, "like", _MAX_SOUND),
        "start": None if start is None else _seconds(start, "start"),
        "library": given.get("library"),
        "filters": [parse_filter(one, tags) for one in filters],
        "top": _whole(given.get("top", str(_TOP)), "top", MAX_TOP, least=1),
    }


def _sound_and_text(request: Request) -> dict[str, Any]:
    given = request.query_params
    _check_text(given.get("q", ""))
    return {
        "text": given["q"],
        "library": given.get("library"),
        "sound": _whole(given.get("sound", ""), "sound", _MAX_SOUND),
        "at": _seconds(given.get("at", "0"), "at"),
    }


def _check_text(text: str) -> None:
    if not text.strip():
        raise Refusal(400, "The query is empty: describe a sound.")
    if len(text) > MAX_QUERY:
        text = f"The query has {len(text)} characters, more than {MAX_QUERY}. Shorten it."
        raise Refusal(400, text)


def _whole(text: str, name: str, most: int, *, least: int = 0) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
    if not least <= number <= most:
        raise Refusal(400, f"{name}={text[:50]!r}: give a whole number from {least} to {most}.")
    return number


def _seconds(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refusal(400, f"{name}={text[:50]!r} is not a time in seconds.")
    return number
