"""What a sweep asks: questions, each with settings to vary, from a recipe or the command line."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError, shorten, shown
from utils.settings.safe_yaml import parse_yaml, read_yaml

_KEYS = {"question", "vary", "set"}
_MAX_COMBINATIONS = 10_000  # of a question; more are a slip


@dataclass(frozen=True)
class Question:
    """Settings to vary, all combinations, the first of which the others are compared with.

    Attributes
    ----------
    question : str
    vary : dict of str to list
        For each ``section.key`` its values.
    set : dict
        ``section.key`` ─► value, the same for all combinations.

    """

    question: str
    vary: dict[str, list[Any]]
    set: dict[str, Any] = field(default_factory=dict)

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """The values of the varied keys, for each combination."""
        return [
            dict(zip(self.vary, values, strict=True))
            for values in itertools.product(*self.vary.values())
        ]


def read_questions(recipe: Path | None, vary: Sequence[str]) -> list[Question]:
    """Collect the questions of a recipe, if there is one, and that of --vary options.

    Raises
    ------
    InputError
        If the file or an option is wrong, or nothing is asked.

    """
    questions = read_recipe(recipe) if recipe else []
    if vary:
        questions.append(parse_vary(vary))
    if not questions:
        raise InputError("nothing to compare: give --recipe FILE or --vary KEY=VALUE1,VALUE2.")
    return questions


def read_recipe(path: Path) -> list[Question]:
    """Read questions from a YAML file: a list, each with question, vary and perhaps set.

    Raises
    ------
    InputError
        If the file is missing or is no such list: one message with all problems.

    """
    hint = "data/sweeps/paper.yaml is one."
    return parse_questions(
        read_yaml(path, list, what="recipe of a sweep", hint=hint), source=str(path)
    )


def parse_questions(content: Sequence[Any], *, source: str) -> list[Question]:
    """Check questions that come as plain lists and dicts; errors name their `source`."""
    problems: list[str] = []
    asked: set[str] = set()
    for number, entry in enumerate(content, start=1):
        found = _problems(entry)
        if not found and entry["question"] in asked:
            found.append(f"{entry['question']!r} is asked already")
        elif not found:
            asked.add(entry["question"])
        problems += [f"question {number}: {problem}" for problem in found]
    if problems or not content:
        raise InputError(
            f"{source} is no recipe of a sweep:\n{shorten(problems or ['no questions'])}\n"
            "It is a list of entries with `question: text` and `vary: {section.key: [values]}`; "
            "data/sweeps/paper.yaml is one."
        )
    return [Question(**entry) for entry in content]


def parse_vary(options: Sequence[str]) -> Question:
    """Make a question of --vary options, each ``section.key=value1,value2,...``.

    Raises
    ------
    InputError
        If one has another form.

    """
    vary: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        try:
            values = parse_yaml(f"[{text}]")
        except ValueError:
            values = None
        if not equals or not values or key.strip() in vary:
            raise InputError(
                f"--vary {shown(option)}: write it as section.key=value1,value2 with a key that is "
                "not varied yet."
            )
        vary[key.strip()] = values
    entry = {"question": " and ".join(vary), "vary": vary}
    return parse_questions([entry], source="--vary")[0]


def label(values: Mapping[str, Any]) -> str:
    """Describe a combination by the last part of its keys: ``margin = 0.4``."""
    return ", ".join(f"{key.rpartition('.')[2]} = {_shown(value)}" for key, value in values.items())


def _problems(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{shown(entry)} is no mapping"]
    problems = [f"unknown key {shown(key)}" for key in entry if key not in _KEYS]
    question = entry.get("question")
    if not isinstance(question, str) or not question.strip() or not question.isprintable():
        problems.append(f"question is {shown(question)}, and must be a text")
    vary, fixed = entry.get("vary"), entry.get("set", {})
    if not isinstance(vary, dict) or not vary:
        return [*problems, f"vary is {shown(vary)}, and must name keys with lists of values"]
    if not isinstance(fixed, dict):
        return [*problems, f"set is {shown(fixed)}, and must be a mapping of keys to values"]
    if unusable := [key for key in (*vary, *fixed) if not _is_key(key)]:
        return [*problems, *(f"{shown(key)} is no key; write section.key" for key in unusable)]
    problems += [f"{key} is varied and set" for key in vary if key in fixed]
    if "seed" in vary or "seed" in fixed:
        problems.append("seed is no key to vary or set: every run is repeated with --seeds")
    values_of = {**vary, **{key: [value] for key, value in fixed.items()}}
    for key, values in values_of.items():
        if not isinstance(values, list) or not values:
            problems.append(f"{key} is {shown(values)}, and must be a list of values")
        elif not all(_is_plain(value) for value in values):
            problems.append(f"{key} is {shown(values)}, and must be numbers, texts, True or False")
        elif len({json.dumps(value) for value in values}) < len(values):
            problems.append(f"{key} has a value twice: {shown(values)}")
    if not problems and math.prod(map(len, vary.values())) > _MAX_COMBINATIONS:
        problems.append(
            f"{math.prod(map(len, vary.values()))} combinations of values are more than "
            f"{_MAX_COMBINATIONS}"
        )
    return problems


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and bool(key.strip()) and "=" not in key and key.isprintable()


def _is_plain(value: Any) -> bool:
    """Tell what a setting can be from dates, lists and what cannot be written in a table."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, float)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
