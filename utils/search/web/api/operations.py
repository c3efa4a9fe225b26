"""Operations of the API: what each is given is validated, what it returns is answered."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
    def given(self) -> type[BaseModel]:
        """The type of its parameters; of none, if the handler takes none."""
        return self.takes.get("given", Given)

    @property
    def answers(self) -> Any:
        """The type of what is answered in JSON, or None."""
        returned = get_type_hints(self.handler)["return"]
        kinds = get_args(returned) if isinstance(returned, UnionType) else [returned]
        return next((one for one in kinds if one not in (Response, type(None))), None)

    @property
    def usual_errors(self) -> set[int]:
        """What any operation of this kind may refuse with."""
        errors = {400, 401, 421, 500, 503}
        if "sent" in self.takes or self.receives:
            errors.add(413)
        return errors if self.method == "GET" else errors | {403}

    def route(self) -> Route:
        """Make the route that leads to it."""
        path, methods = PREFIX + self.path, [self.method]
        return Route(path, self.respond, methods=methods, middleware=self.middleware)

    async def respond(self, request: Request) -> Response:
        """Answer a request."""
        body = await _read(request) if "sent" in self.takes else b""
        if not inspect.iscoroutinefunction(self.handler):
            return await to_thread.run_sync(self._act, request, body, limiter=self.limiter)
        taken = await to_thread.run_sync(self._taken, request, body)
        return self._answer(await self.handler(**taken))

    def _act(self, request: Request, body: bytes) -> Response:
        return self._answer(self.handler(**self._taken(request, body)))

    def _taken(self, request: Request, body: bytes) -> dict[str, Any]:
        """Read what the handler takes; numbers may be many, so this is for a thread."""
        read: dict[str, Any] = {"request": request}
        read["given"] = _validated(self.given, _parameters(self.given, request))
        if "sent" in self.takes:
            read["sent"] = _validated(self.takes["sent"], body)
        return {name: read[name] for name in self.takes}

    def _answer(self, answer: Any) -> Response:
        if isinstance(answer, Response):
            return answer
        return Response(status_code=204) if answer is None else AsciiJson(answer, self.status)


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
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
