"""Dataclasses as a schema: nested mappings from YAML ─► checked, typed values, all problems told.

A field's type says what may stand there: bool, int, float, str, Path (or None besides), a Literal
of texts, or another dataclass. `limited` adds ranges and patterns.
"""

import contextlib
import dataclasses
import difflib
import math
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal

from utils.runtime.errors import shown

_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes, of Linux


def limited(default, *, low=None, above=None, high=None, pattern=None, folder=None):
    """Declare a field with limits: low <= value, above < value, value <= high, or a pattern.

    A pattern is a pair: a regular expression, and how to say in an error what it allows.
    `folder` names the sibling field, declared before, whose folder a relative path starts from.
    """
    limits = {"low": low, "above": above, "high": high, "pattern": pattern, "folder": folder}
    return dataclasses.field(
        default=default, metadata={k: v for k, v in limits.items() if v is not None}
    )


def build(
    schema: type,
    values: Any,
    *,
    base: Path,
    problems: list[str],
    keys: tuple[str, ...] = (),
    root: type | None = None,
) -> Any:
    """Build a dataclass from a mapping.

    Parameters
    ----------
    schema : type
        A dataclass whose fields are of the types below, or dataclasses in turn.
    values : mapping
        Of field names to YAML values.
    base : Path
        Where relative paths start.
    problems : list of str
        What is wrong is appended, each with its key; a default stands in for the value.
    keys : tuple of str
        Where in the whole `schema` is; for the messages.
    root : type
        The whole schema, to guess from what a misspelt key may have meant; `schema` if None.

    Returns
    -------
    An instance of `schema`.

    """
    root = root or schema
    if not isinstance(values, dict):
        name = ".".join(keys) or "the whole"
        problems.append(f"{name}: {shown(values)} stands where a section of keys should be")
        return schema()
    fields = {f.name: f for f in dataclasses.fields(schema)}
    for key in values:
        if key not in fields:
            problems.append(_unknown_key(key, keys, root))
    hints = typing.get_type_hints(schema)
    built: dict[str, Any] = {}
    for name, spec in fields.items():
        here = (*keys, name)
        default = (
            spec.default if spec.default is not dataclasses.MISSING else spec.default_factory()
        )
        if dataclasses.is_dataclass(hints[name]):
            section = values.get(name)  # an empty one is None
            built[name] = build(
                hints[name],
                {} if section is None else section,
                base=base,
                problems=problems,
                keys=here,
                root=root,
            )
            continue
        value = default
        if name in values:
            try:
                value = _convert(values[name], hints[name], spec.metadata)
            except ValueError as error:
                problems.append(f"{'.'.join(here)}: {error}")
        if isinstance(value, Path):
            start = built[spec.metadata["folder"]] if "folder" in spec.metadata else base
            try:
                value = start / value.expanduser()
            except RuntimeError:  # no such user
                problems.append(f"{'.'.join(here)}: {str(value)!r} names no home directory here")
        built[name] = value
    return schema(**built)


def _unknown_key(key: Any, section: tuple[str, ...], root: type) -> str:
    if not isinstance(key, str) or not key.isprintable() or len(key) > _LONGEST_NAME:
        key = shown(key)
    full = ".".join((*section, key))
    known = [*_all_keys(root), *([] if section else section_names(root))]
    # A key in the wrong section is as common a slip as a misspelt one.
    same_name = [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    guesses = same_name or difflib.get_close_matches(full, known, n=1, cutoff=0.6)
    return f"{full}: unknown key" + (f"; did you mean {guesses[0]}?" if guesses else "")


def section_names(schema: type) -> list[str]:
    """List the fields of a dataclass that are dataclasses themselves."""
    hints = typing.get_type_hints(schema)
    return [name for name, hint in hints.items() if dataclasses.is_dataclass(hint)]


def _all_keys(schema: type, prefix: str = "") -> typing.Iterator[str]:
    for name, hint in typing.get_type_hints(schema).items():
        if dataclasses.is_dataclass(hint):
            yield from _all_keys(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def _convert(value: Any, hint: Any, limits: typing.Mapping[str, Any]) -> Any:
    """Turn a YAML value into what the field's type asks for, or raise ValueError saying why not."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value is None and "none" in choices:
            value = "none"  # YAML reads a bare `null` or `~` as nothing, which is what none means
        if not isinstance(value, str) or value not in choices:
            guess = difflib.get_close_matches(shown(value), choices, n=1)
            hint_text = f"; did you mean {guess[0]}?" if guess else ""
            raise ValueError(f"{shown(value)} is not one of {' | '.join(choices)}{hint_text}")
        return value
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    converted = _CONVERTERS[hint](value)
    _check_limits(converted, limits)
    return converted


def _check_limits(value: Any, limits: typing.Mapping[str, Any]) -> None:
    if "low" in limits and value < limits["low"]:
        raise ValueError(f"{shown(value)} is too small; the least is {limits['low']}")
    if "above" in limits and value <= limits["above"]:
        raise ValueError(f"{shown(value)} is too small; it must be more than {limits['above']}")
    if "high" in limits and value > limits["high"]:
        raise ValueError(f"{shown(value)} is too large; the most is {limits['high']}")
    if "pattern" in limits:
        pattern, meaning = limits["pattern"]
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is not {meaning}")


def _to_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not True or False")
    return value


def _to_int(value: Any) -> int:
    number = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value)  # YAML 1.1 takes 1e3 for a string
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{shown(value)} is not a whole number")
    return number


def _to_float(value: Any) -> float:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not a number")
    try:
        number = float(value)  # YAML 1.1 takes 1e-3 (no dot) for a string; people mean the number
    except ValueError:
        raise ValueError(f"{shown(value)} is not a number") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is not a finite number")
    return number


def _to_str(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{shown(value)} is not a text; put it in quotes if it should be one")
    if not value.isprintable():
        raise ValueError(f"{shown(value)} holds characters that cannot be printed")
    return value


def _to_path(value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{shown(value)} is not a path")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{shown(value)} is not a path: it is not Unicode") from None
    if size > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in value.split("/")):
        raise ValueError(
            f"{shown(value)} is too long: a path has at most {_LONGEST_PATH} bytes, each name in "
            f"it {_LONGEST_NAME}"
        )
    return Path(value)


_CONVERTERS = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_str, Path: _to_path}
