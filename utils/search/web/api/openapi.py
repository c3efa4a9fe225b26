"""The OpenAPI file of the API, made from its operations and their types."""

import inspect
import re
from collections.abc import Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from utils.search.web.api.answers import Error
from utils.search.web.api.operations import PREFIX, Operation
from utils.search.web.api.problems import Untitled, schema_of

_JSON = "application/json"
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = (
    "Searches a folder of sounds by text, by example and by vector. A sound has a number, which is "
    "that of one library: `library` of an answer goes with it. GET operations answer HEAD too. "
    "Every error is an object with `error`, a text. 503 has `Retry-After`, in seconds."
)
VERSION = "1.0.0"


class Description:
    """Describes operations, and itself, when it is asked for the first time."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        itself = Operation("GET", "/openapi.json", self.openapi)
        self.operations = [*operations, itself]

    @cached_property
    def _made(self) -> dict[str, Any]:
        return describe(self.operations)

    def openapi(self) -> dict[str, Any]:
        """Describe the API in OpenAPI 3.1."""
        return self._made


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Make the OpenAPI 3.1 description of operations."""
    schemas, shared = _schemas(operations)
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, schemas)
    errors = sorted({status for one in operations for status in _errors(one)})
    about = "If the server was started with a token."
    token = {"type": "http", "scheme": "bearer", "description": about}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sound search", "version": VERSION, "description": _ABOUT},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": shared,
            "responses": {f"Error{status}": _error(status, schemas["error"]) for status in errors},
            "securitySchemes": {"token": token},
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Make the schemas of what operations take and answer, and those that they share."""
    types: list[tuple[Any, str, Any]] = [("error", "serialization", Error)]
    for one in operations:
        types.append(((one, "sent"), "validation", one.takes.get("sent")))
        types.append(((one, "answer"), "serialization", one.answers))
    wanted = [(key, mode, TypeAdapter(kind)) for key, mode, kind in types if kind is not None]
    made, shared = TypeAdapter.json_schemas(
        wanted, ref_template=_REFERENCE, schema_generator=Untitled
    )
    return {key: schema for (key, _), schema in made.items()}, shared["$defs"]


def _operation(one: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    summary, _, more = inspect.getdoc(one.handler).partition("\n")
    made: dict[str, Any] = {"operationId": one.handler.__name__, "summary": summary.rstrip(".")}
    if more:
        made["description"] = more.strip()
    if parameters := _parameters(one):
        made["parameters"] = parameters
    if one.receives:
        made["requestBody"] = {"required": True, "content": {one.receives: {}}}
    elif "sent" in one.takes:
        content = {_JSON: {"schema": schemas[one, "sent"]}}
        made["requestBody"] = {"required": True, "content": content}
    content: dict[str, Any] = {media: {} for media in one.media}
    if one.answers is not None:
        content[_JSON] = {"schema": schemas[one, "answer"]}
    answers = {str(status): _answer(status, content) for status in (one.status, *one.also)}
    errors = {str(s): {"$ref": f"#/components/responses/Error{s}"} for s in sorted(_errors(one))}
    return {**made, "responses": {**answers, **errors}}


def _answer(status: int, content: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status == HTTPStatus.PARTIAL_CONTENT:
        content = {**content, "multipart/byteranges": {}}
    if content and status != HTTPStatus.NOT_MODIFIED:
        answer["content"] = content
    return answer


def _parameters(one: Operation) -> list[dict[str, Any]]:
    schema = schema_of(one.given)
    in_path = set(re.findall(r"{(\w+)}", one.path))
    made = []
    for name, field in schema["properties"].items():
        place = "path" if name in in_path else "query"
        required = name in schema.get("required", [])
        field = dict(field)
        given = {"name": name, "in": place, "required": required}
        if "description" in field:
            given["description"] = field.pop("description")
        made.append({**given, "schema": _without_null(field)})
    return made


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """An address has no null: a parameter that may be null may be left out."""
    for one in field.pop("anyOf", []):
        if one.get("type") != "null":
            field |= one
    if field.get("default", "") is None:
        del field["default"]
    return field


def _errors(one: Operation) -> set[int]:
    return {*one.errors, *one.usual_errors}


def _error(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": {_JSON: {"schema": schema}}}
