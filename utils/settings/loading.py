"""YAML files and --set ─► `Config`, with all problems in one message."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from utils.runtime.errors import InputError, counted, printable, shown
from utils.settings.config import DEFAULT_CONFIG, Config, DataFiles, leaves, to_plain
from utils.settings.consistency import Contradiction, contradictions
from utils.settings.safe_yaml import parse_yaml, read_yaml

Check = Callable[[Config], Iterable[Contradiction]]

_CONFIG = TypeAdapter(Config)
_SECTIONS = [field.name for field in fields(Config) if is_dataclass(field.type)]
_KEYS = [key for key, _ in leaves(to_plain(Config()))]
_WORDING = {  # of pydantic's errors, where a user of YAML needs other words
    "bool_type": "should be True or False",
    "dataclass_type": "should be a section of keys",
    "string_type": "should be a text; put it in quotes",
}


def load_config(
    path: str | Path = DEFAULT_CONFIG,
    overrides: Sequence[str] = (),
    *,
    check: Check = contradictions,
) -> Config:
    """Read settings from a YAML file and apply ``key.path=value`` overrides.

    Parameters
    ----------
    path : str or Path
        Relative paths inside the file, and in overrides, start from its folder.
    overrides : sequence of str
        Each ``section.key=value``; the value is read as YAML.
    check : callable
        Lists contradictions, see `utils.settings.consistency`.

    Raises
    ------
    InputError
        If the file is missing, is not a YAML mapping, or has unknown keys, wrong types, values out
        of range or contradictions: one message lists them all.

    """
    path = Path(path)
    hint = f"Pass one with --config FILE; the project's own is {DEFAULT_CONFIG}."
    values = read_yaml(path, dict, what="settings file", hint=hint)
    base = path.resolve().parent
    return parse_config(values, overrides, base=base, source=str(path), check=check)


def parse_config(
    values: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    base: Path,
    source: str,
    check: Check | None = None,
) -> Config:
    """Check settings given as nested dicts; relative paths start from `base`.

    The settings of a checkpoint may contradict each other, since it is trained: pass no `check`.

    Raises
    ------
    InputError
        One message that lists all problems and names their `source`.

    """
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected settings, found {shown(values)}.")
    problems: list[str] = []
    values = _printable_keys(values)
    # Each section is copied: two may be one object in memory, by a YAML alias.
    values = {
        key: _printable_keys(part) if isinstance(part, dict) else part
        for key, part in values.items()
        if part is not None or key not in _SECTIONS
    }
    for override in overrides:
        try:
            _apply(override, values)
        except ValueError as error:
            problems.append(f"--set {shown(override)}: {error}")
    config = _anchored(_validated(values, problems), base)
    for keys, text in check(config) if check else ():
        # A default stands in for a value that is already reported.
        if not any(problem.startswith(f"{key}:") for problem in problems for key in keys):
            problems.append(f"{keys[0]}: {text}")
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        raise InputError(
            f"{counted(len(problems), 'problem')} in the settings "
            f"({source}{' and --set' if overrides else ''}):\n{listing}\n"
            f"Fix them and run again; {DEFAULT_CONFIG.name} explains every key."
        )
    return config


def _printable_keys(values: dict) -> dict[str, Any]:
    """Copy a dict; a key that is not a printable text, and so unknown, becomes one."""
    return {
        key if isinstance(key, str) and key.isprintable() else shown(key): value
        for key, value in values.items()
    }


def _validated(values: dict[str, Any], problems: list[str]) -> Config:
    """Make settings; an invalid value is reported, removed, and replaced by its default."""
    try:
        return _CONFIG.validate_python(values)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            problems.append(_described(problem))
            *section, key = problem["loc"]
            (values[section[0]] if section else values).pop(key)
    return _CONFIG.validate_python(values)


def _described(problem: Any) -> str:
    """Describe an error of pydantic: the key, the value and what is allowed."""
    key = ".".join(problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        # A key in the wrong section is as common a slip as a misspelt one.
        guesses = [known for known in _KEYS if known.split(".")[-1] == key.split(".")[-1]]
        sections = [] if "." in key else _SECTIONS
        guesses += difflib.get_close_matches(key, [*_KEYS, *sections], n=1)
        text = f"{key}: unknown key"
    else:
        wording = re.sub(r"^(Input|Value error,) ", "", problem["msg"])
        wording = _WORDING.get(problem["type"], wording)
        choices = re.findall(r"'(.*?)'", problem.get("ctx", {}).get("expected", ""))
        guesses = difflib.get_close_matches(shown(problem["input"]), choices, n=1)
        text = f"{key}: {shown(problem['input'])} {wording}"
    return f"{text}; did you mean {guesses[0]}?" if guesses else text


def _anchored(section: Any, base: Path) -> Any:
    """Let the relative paths of settings start from a folder."""
    changed: dict[str, Any] = {}
    for key, value in vars(section).items():
        if is_dataclass(value):
            changed[key] = _anchored(value, base)
        elif isinstance(value, Path):
            of_vectors = isinstance(section, DataFiles) and key in section.vector_files
            changed[key] = (changed["input_path"] if of_vectors else base) / value
    return replace(section, **changed)


def _apply(override: str, values: dict[str, Any]) -> None:
    """Write ``section.key=value`` into nested dicts; a ValueError says why it cannot be done."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ValueError("write it as section.key=value")
    try:
        value = parse_yaml(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a valid YAML value") from None
    *sections, last = printable(key.strip()).split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ValueError(f"{shown(section)} is a value, not a section")
    if isinstance(values.get(last), dict) or (not sections and last in _SECTIONS):
        raise ValueError(f"{shown(key.strip())} is a section; name a key in it")
    values[last] = value
