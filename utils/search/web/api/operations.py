"""Operations of the API: what each is given is validated, what it returns is answered."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from types import UnionType
from typing import Any, get_args, get_type_hints

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from utils.search.web.api.answers import AsciiJson
from utils.search.web.api.problems import as_refusal, schema_of
from utils.search.web.guard import Refusal

PREFIX = "/api/v1"
_MAX_BYTES = 4_000_000


class Given(BaseModel):
    """Parameters of an address and its query."""

    model_config = ConfigDict(extra="forbid")


class Sent(BaseModel):
    """The JSON object that a request brings."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Operation:
    """A method of an address below `PREFIX`.

    The annotations of its handler say what it takes and answers: ``given``, a `Given`; ``sent``, a
    `Sent`; ``request``, the request itself. It returns a `Response`, None, or what is answered in
    JSON. If it is not a coroutine, it runs in a thread.

    Attributes
    ----------
    method, path : str
    handler : callable
        Its docstring describes the operation.
    status : int
        Of an answer.
    also : tuple of int
        Other statuses of answers: 206, 304.
    errors : tuple of int
        What it may refuse with, beside `usual_errors`.
    media : tuple of str
        Types of answers that are not JSON.
    receives : str
        The type of a body that is not JSON.
    limiter : CapacityLimiter, optional
        Of the threads of this operation.
    middleware : tuple of Middleware

    """

    method: str
    path: str
    handler: Callable[..., Any]
    status: int = 200
    also: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    receives: str = ""
    limiter: anyio.CapacityLimiter | None = None
    middleware: tuple[Middleware, ...] = ()

    @cached_property
    def takes(self) -> dict[str, Any]:
        """The types of what the handler takes, by name."""
        return {name: one for name, one in get_type_hints(self.handler).items() if name != "return"}

    @property
    def answers(self) -> Any:
        """The type of what is answered in JSON, or None."""
        returned = get_type_hints(self.handler)["return"]
        kinds = get_args(returned) if isinstance(returned, UnionType) else [returned]
        return next((one for one in kinds if one not in (Response, type(None))), None)

    @property
    def usual_errors(self) -> set[int]:
        """What any operation of this kind may refuse with."""
        errors = {401, 421, 500, 503}
        if "given" in self.takes or self.has_body:
            errors.add(400)
        if self.has_body:
            errors.add(413)
        return errors if self.method == "GET" else errors | {403}

    @property
    def has_body(self) -> bool:
        """Whether a request brings something."""
        return "sent" in self.takes or bool(self.receives)

    def route(self) -> Route:
        """Make the route that leads to it."""
        path, methods = PREFIX + self.path, [self.method]
        return Route(path, self.respond, methods=methods, middleware=self.middleware)

    async def respond(self, request: Request) -> Response:
        """Answer a request."""
        body = await _read(request) if "sent" in self.takes else b""
        if inspect.iscoroutinefunction(self.handler):
            answer = await self.handler(**self._taken(request, body))
        else:
            answer = await to_thread.run_sync(self._act, request, body, limiter=self.limiter)
        if isinstance(answer, Response):
            return answer
        return AsciiJson(answer, self.status) if answer is not None else Response(status_code=204)

    def _act(self, request: Request, body: bytes) -> Any:
        return self.handler(**self._taken(request, body))

    def _taken(self, request: Request, body: bytes) -> dict[str, Any]:
        read = {
            "given": lambda model: _validated(model, partial(_parameters, model, request)),
            "sent": lambda model: _validated(model, lambda: body),
            "request": lambda _: request,
        }
        return {name: read[name](kind) for name, kind in self.takes.items()}


def _validated(model: type[BaseModel], read: Callable[[], Any]) -> BaseModel:
    value = read()
    try:
        if isinstance(value, bytes):
            return model.model_validate_json(value)
        return model.model_validate(value)
    except ValidationError as error:
        raise as_refusal(error, model) from None


def _parameters(model: type[BaseModel], request: Request) -> dict[str, Any]:
    known = schema_of(model)["properties"]
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        is_list = known.get(name, {}).get("type") == "array"
        if len(values) > 1 and not is_list:
            raise Refusal(400, f"{name[:50]} is given {len(values)} times: give it once.")
        given[name] = values if is_list else values[0]
    return {**given, **request.path_params}


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async for block in request.stream():
            body += block
            if len(body) > _MAX_BYTES:
                raise Refusal(413, f"The request is larger than {_MAX_BYTES // 10**6} MB.")
    except ClientDisconnect:
        raise Refusal(400, "The request was interrupted.") from None
    return bytes(body)
