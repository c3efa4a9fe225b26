"""The addresses of collections and exports."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from utils.search.excerpts import Pick
from utils.search.exports.exporting import FPS
from utils.search.web.answers import AsciiJson, read_object
from utils.search.web.delivery import attachment
from utils.search.web.desk import MAX_PICKS, Desk
from utils.search.web.guard import Refusal

_MAX_TEXT = 4000  # characters
_MAX_NUMBER = 2**53
_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
    "edl": "text/plain",
    "reaper": "text/csv",
}


def desk_routes(desk: Desk, *, is_local: bool) -> list[Route]:
    """List the routes; `is_local` says whether users may know places on the server's disk."""
    handlers = _Handlers(desk, is_local=is_local)
    one = "/api/collections/{collection}"
    return [
        Route("/api/collections", handlers.all),
        Route("/api/collections", handlers.create, methods=["POST"]),
        Route(one, handlers.show),
        Route(one, handlers.rename, methods=["PATCH"]),
        Route(one, handlers.delete, methods=["DELETE"]),
        Route(f"{one}/items", handlers.add, methods=["POST"]),
        Route(f"{one}/items", handlers.remove, methods=["DELETE"]),
        Route("/api/exports", handlers.export, methods=["POST"]),
    ]


class _Handlers:
    """One method for each address; those that are not coroutines run in threads."""

    def __init__(self, desk: Desk, *, is_local: bool) -> None:
        self._desk, self._is_local = desk, is_local

    def all(self, request: Request) -> Response:
        return AsciiJson({"collections": self._desk.all()})

    def show(self, request: Request) -> Response:
        return AsciiJson(self._desk.show(_number(request)))

    def delete(self, request: Request) -> Response:
        self._desk.delete(_number(request))
        return AsciiJson({})

    async def create(self, request: Request) -> Response:
        name = _text(await read_object(request), "name")
        return AsciiJson(await _in_thread(self._desk.create, name), 201)

    async def rename(self, request: Request) -> Response:
        name = _text(await read_object(request), "name")
        return AsciiJson(await _in_thread(self._desk.rename, _number(request), name))

    async def add(self, request: Request) -> Response:
        given = await read_object(request)
        picks, library = _picks(given), _text(given, "library")
        added = await _in_thread(self._desk.add, _number(request), picks, library)
        return AsciiJson({"added": added, "given": len(picks)})

    async def remove(self, request: Request) -> Response:
        items = [_whole(one, "items") for one in _list(await read_object(request), "items")]
        removed = await _in_thread(self._desk.remove, _number(request), items)
        return AsciiJson({"removed": removed})

    async def export(self, request: Request) -> Response:
        given = await read_object(request)
        kind = _text(given, "format")
        collection = given.get("collection")
        content, name, exported = await _in_thread(
            partial(
                self._desk.export,
                kind,
                picks=_picks(given) if collection is None else [],
                library=_text(given, "library", ""),
                collection=None if collection is None else _whole(collection, "collection"),
                whole=given.get("whole") is True,
                fps=_text(given, "fps", FPS),
                absolute=self._is_local,
            )
        )
        counts = {"x-exported": str(exported.count), "x-left-out": str(len(exported.left_out))}
        return Response(content, headers={**attachment(name), **counts}, media_type=_TYPES[kind])


async def _in_thread(act: Callable[..., Any], *values: Any) -> Any:
    return await to_thread.run_sync(act, *values)


def _number(request: Request) -> int:
    text = request.path_params["collection"]
    is_number = text.isascii() and text.isdecimal() and len(text) < 16
    return _whole(int(text) if is_number else text, "collection")


def _picks(given: dict[str, Any]) -> list[Pick]:
    return [_pick(one) for one in _list(given, "picks")]


def _pick(given: Any) -> Pick:
    if not isinstance(given, dict):
        raise Refusal(400, "picks: give objects with sound, and start and end of a part.")
    start, end = (_seconds(given.get(name), name) for name in ("start", "end"))
    if (start is None) != (end is None):
        raise Refusal(400, "picks: give both start and end, or none of them.")
    sound, label = _whole(given.get("sound"), "sound"), _text(given, "label", "")
    return Pick(sound, start, end, label, _seconds(given.get("score"), "score"))


def _list(given: dict[str, Any], name: str) -> list[Any]:
    values = given.get(name)
    if not isinstance(values, list):
        raise Refusal(400, f"{name}: give a list.")
    if len(values) > MAX_PICKS:
        raise Refusal(400, f"{name}: there are {len(values)}, more than {MAX_PICKS}.")
    return values


def _text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    text = given.get(name, default)
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise Refusal(400, f"{name}: give a text of at most {_MAX_TEXT} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(400, f"{name}: the text is not Unicode.") from None
    return text


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise Refusal(400, f"{name}={str(value)[:50]!r}: give a whole number.")
    return value


def _seconds(value: Any, name: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and abs(value) < _MAX_NUMBER and math.isfinite(value)):
        raise Refusal(400, f"{name}={str(value)[:50]!r} is not a number.")
    return float(value)
