"""YAML read without trusting it: settings, recipes of sweeps, values from the command line."""

from pathlib import Path
from typing import Any

import yaml

from utils.runtime.errors import InputError

_MAX_BYTES = 2**18  # of a file; parsing as much takes about a second
# A few aliases of aliases can stand for more values than the memory holds.
_MAX_VALUES = 50_000
_MAX_DEPTH = 30
# PyYAML lets through what Python raises where a value does not fit its tag: `!!bool x` is a
# KeyError, `!!int ""` an IndexError.
_PYTHON_ERRORS = (TypeError, LookupError, AttributeError, ArithmeticError)
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path, kind: type[dict] | type[list], *, what: str, hint: str) -> Any:
    """Read a YAML file that holds a mapping or a list; an empty file is an empty one.

    Parameters
    ----------
    path : Path
    kind : dict or list
    what : str
        What the file is, for errors: "settings file".
    hint : str
        What to do where it is missing.

    Raises
    ------
    InputError
        If the file is missing, too large, no YAML, has a key twice, or holds something else.

    """
    try:
        with path.open("rb") as file:  # not by its size, for it may be a pipe
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no {what} {path}. {hint}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputError(f"cannot read {path}: {error}. {hint}") from None
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} has more than {_MAX_BYTES} bytes: that is no {what}. {hint}")
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
        Saying why not: no YAML, a key twice, a tag that asks for anything but built-in types, or
        aliases that stand for themselves or for very many values.

    """
    loader = None
    try:
        loader = _UniqueKeyLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep") from None
    except _PYTHON_ERRORS as error:
        raise ValueError(
            f"a value does not fit its tag ({type(error).__name__}: {error})"
        ) from None
    finally:
        if loader is not None:
            loader.dispose()


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but a key that stands twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                continue
            line = key_node.start_mark.line + 1
            if key in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands on line {lines[key]} and again on line {line}"
                )
            lines[key] = line
        return super().construct_mapping(node, deep=deep)


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Count the values of a node and its levels, those behind an alias each time it stands there.

    `known` holds what is counted already, by ``id``; None for what is being counted.
    """
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            raise ValueError("an alias stands for something that holds it")
        return measured
    known[id(node)] = None
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        below = node.value
    values, levels = 1, 1
    for part in below:
        of_part, deep = _measure(part, known)
        values, levels = values + of_part, max(levels, 1 + deep)
    if values > _MAX_VALUES:
        raise ValueError(f"it stands for more than {_MAX_VALUES} values, aliases written out")
    if levels > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    known[id(node)] = values, levels
    return values, levels
