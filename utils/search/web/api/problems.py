"""What is wrong with a request, in one sentence."""

from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from utils.search.web.guard import Refusal

_SHOWN = 50  # characters of a value


class Untitled(GenerateJsonSchema):
    """JSON schemas without titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return whether a field has a title."""
        return False


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of what a model is made from."""
    return model.model_json_schema(schema_generator=Untitled)


def as_refusal(error: ValidationError, model: type[BaseModel]) -> Refusal:
    """Say where the first problem of a request is, what is there, and what to give."""
    (problem, *_) = error.errors(include_url=False)
    kind, where, value = problem["type"], problem["loc"], problem["input"]
    if not where:
        return Refusal(400, "Send a JSON object, in UTF-8.")
    name = _name(where)
    if kind == "extra_forbidden":
        known = ", ".join(_schema_at(model, where[:-1])["properties"]) or "none"
        return Refusal(400, f"There is no {name[:_SHOWN]} here. Known are: {known}.")
    if kind in ("too_long", "string_too_long"):
        unit = "characters" if isinstance(value, str) else "values"
        most = problem["ctx"]["max_length"]
        return Refusal(400, f"{name} has {len(value)} {unit}, more than {most}.")
    wanted = _wanted(_schema_at(model, where))
    if kind == "missing":
        return Refusal(400, f"{name} is missing: give {wanted}.")
    if isinstance(value, str | int | float):
        name = f"{name}={str(value)[:_SHOWN]!r}"
    return Refusal(400, f"{name}: give {wanted}.")


def _name(where: tuple[int | str, ...]) -> str:
    """Write a place as picks[3].sound."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in where]
    return "".join(steps).removeprefix(".")


def _schema_at(model: type[BaseModel], where: tuple[int | str, ...]) -> dict[str, Any]:
    whole = schema_of(model)
    at = whole
    for step in where:
        at = at["items"] if isinstance(step, int) else at["properties"][step]
        at = next((one for one in at.get("anyOf", []) if one.get("type") != "null"), at)
        if "$ref" in at:
            at = whole["$defs"][at["$ref"].rpartition("/")[2]]
    return at


def _wanted(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    low, high = (schema.get(key) for key in ("minimum", "maximum"))
    match schema["type"]:
        case "integer":
            return f"a whole number from {low} to {high}"
        case "number":
            return "a number"
        case "string":
            return f"a text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
        case "boolean":
            return "true or false"
        case "array":
            return f"a list of {schema.get('minItems', 0)} to {schema['maxItems']} values"
    return f"an object with {', '.join(schema['properties'])}"
