"""YAML files and --set ─► `Config`, with all problems in one message."""

import typing
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError, counted, shown
from utils.settings.config import DEFAULT_CONFIG, Config
from utils.settings.consistency import Contradiction, contradictions
from utils.settings.safe_yaml import parse_yaml, read_yaml
from utils.settings.schema import build, section_names

Check = typing.Callable[[Config], list[Contradiction]]


def load_config(
    path: str | Path = DEFAULT_CONFIG,
    overrides: typing.Sequence[str] = (),
    *,
    check: Check = contradictions,
) -> Config:
    """Read settings from a YAML file and apply ``key.path=value`` overrides.

    Parameters
    ----------
    path : str or Path
        The YAML file. Relative paths inside it, and in overrides, start from its folder.
    overrides : sequence of str
        Each ``section.key=value``; the value is read as YAML.
    check : callable
        Finds what contradicts itself: see `utils.settings.consistency`.

    Returns
    -------
    Config

    Raises
    ------
    InputError
        If the file is missing, is no YAML mapping, or has unknown keys, wrong types, values out of
        range or settings that contradict each other: one message that lists them all.

    """
    path = Path(path)
    hint = f"Give one with --config FILE; the project's own is {DEFAULT_CONFIG}."
    values = read_yaml(path, dict, what="settings file", hint=hint)
    base = path.resolve().parent
    return parse_config(values, overrides, base=base, source=str(path), check=check)


def parse_config(
    values: dict[str, Any],
    overrides: typing.Sequence[str] = (),
    *,
    base: Path,
    source: str,
    check: Check | None = None,
) -> Config:
    """Check settings that come as nested dicts; `base` is where relative paths start.

    Without a `check` they may contradict each other, as those of a checkpoint may: it is trained.

    Raises
    ------
    InputError
        One message that lists all problems and names their `source`.

    """
    if not isinstance(values, dict):
        raise InputError(f"{source}: {shown(values)} stands where the settings should be.")
    # Overrides go into copies, of each section too: an alias may stand for two of them.
    values = {key: dict(part) if isinstance(part, dict) else part for key, part in values.items()}
    problems: list[str] = []
    for override in overrides:
        _apply_override(values, override, problems)
    config = build(Config, values, base=base, problems=problems)
    for keys, text in check(config) if check else ():
        # Where one of them is wrong by itself, a default has stood in for it.
        if not any(problem.startswith(f"{key}:") for problem in problems for key in keys):
            problems.append(f"{keys[0]}: {text}")
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        raise InputError(
            f"{counted(len(problems), 'problem')} in the settings "
            f"({source}{' and --set' if overrides else ''}):\n{listing}\n"
            f"Mend them and run again; {DEFAULT_CONFIG.name} explains every key."
        )
    return config


def _apply_override(values: dict, override: str, problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        problems.append(f"--set {shown(override)}: write it as section.key=value")
        return
    try:
        value = parse_yaml(text)
    except ValueError:
        problems.append(f"--set {shown(override)}: {shown(text)} is not a valid YAML value")
        return
    *sections, last = key.strip().split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            problems.append(f"--set {shown(override)}: {shown(section)} is a value, not a section")
            return
    if isinstance(values.get(last), dict) or (not sections and last in section_names(Config)):
        name = shown(key.strip())
        problems.append(f"--set {shown(override)}: {name} is a section; name a key in it")
        return
    values[last] = value
