"""YAML of built-in types: settings, recipes of sweeps, values from the command line."""

from pathlib import Path
from typing import Any

import yaml

from utils.runtime.errors import InputError, UnreadableError

# PyYAML lets through what Python raises where a value does not fit its tag: `!!bool x` is a
# KeyError, `!!int ""` an IndexError.
_PYTHON_ERRORS = (TypeError, LookupError, AttributeError, ArithmeticError)


def read_yaml(path: Path, kind: type[dict] | type[list], *, what: str, hint: str) -> Any:
    """Read a YAML file that holds a mapping or a list; an empty file gives an empty one.

    Errors call the file `what`; `hint` says what to do where it is missing.

    Raises
    ------
    InputError
        If the file is missing, is not YAML, repeats a key, or holds something else.

    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no {what} {path}. {hint}") from None
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:  # a NUL in the path
        raise InputError(f"cannot read {path}: {error}. {hint}") from None
    try:
        values = parse_yaml(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"cannot read {path}: {error}, on line {line}. Save it with the encoding UTF-8."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if values is None:
        return kind()
    if not isinstance(values, kind):
        wanted = "a mapping of keys to values" if kind is dict else "a list"
        raise InputError(f"{path} holds a {type(values).__name__}, but a {what} is {wanted}.")
    return values


def parse_yaml(text: str) -> Any:
    """Read a YAML text of built-in types.

    Raises
    ------
    ValueError
        If it is not YAML, repeats a key, has a tag of another type or is nested too deep.

    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except _PYTHON_ERRORS as error:
        text = f"a value does not fit its tag ({type(error).__name__}: {error})"
        raise ValueError(text) from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but a repeated key is an error; otherwise the last one would win."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                text = f"key {key.value!r} is on line {lines[key.value]} and again on line {line}"
                raise yaml.constructor.ConstructorError(None, None, text)
            lines[key.value] = line
        return super().construct_mapping(node, deep=deep)
