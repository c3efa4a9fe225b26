"""What a sweep asks: questions, each with settings to vary, from a recipe or the command line."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from utils.checkpoints.provenance import NO_OTHER_KEYS, parse_plain
from utils.runtime.errors import InputError, shown
from utils.settings.safe_yaml import parse_yaml, read_yaml

_MAX_COMBINATIONS = 10_000  # of a question; more are a mistake


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{shown(value)} must be a printable text")
    return value


def _key(value: str) -> str:
    if not value.strip() or not value.isprintable() or "=" in value:
        raise ValueError(f"{shown(value)} is not a key; write section.key")
    if value == "seed":
        raise ValueError("the seed is not varied or set here: use --seeds")
    return value


def _value(value: Any) -> Any:
    """Accept what a setting can be: not dates, lists, or what cannot be written in a table."""
    if isinstance(value, str) and value.isprintable():
        return value
    if isinstance(value, float | None) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    raise ValueError(f"{shown(value)} is not a number, a text, True or False")


def _values(values: list[Any]) -> list[Any]:
    if len({json.dumps(value) for value in values}) < len(values):
        raise ValueError(f"a value occurs twice in {shown(values)}")
    return values


NotEmpty = Field(min_length=1)
Key = Annotated[str, AfterValidator(_key)]
Value = Annotated[Any, AfterValidator(_value)]


@dataclass(frozen=True)
class Question:
    """Settings to vary, in all combinations; the others are compared with the first.

    Attributes
    ----------
    question : str
    vary : dict of str to list
        For each ``section.key`` its values.
    set : dict
        ``section.key`` ─► value, the same for all combinations.

    """

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    question: Annotated[str, AfterValidator(_text)]
    vary: Annotated[dict[Key, Annotated[list[Value], NotEmpty, AfterValidator(_values)]], NotEmpty]
    set: dict[Key, Value] = field(default_factory=dict)

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """The values of the varied keys, for each combination."""
        return [
            dict(zip(self.vary, values, strict=True))
            for values in itertools.product(*self.vary.values())
        ]


def _question(asked: Question) -> Question:
    if both := asked.vary.keys() & asked.set.keys():
        raise ValueError(f"varied and set: {', '.join(sorted(both))}")
    if (count := math.prod(map(len, asked.vary.values()))) > _MAX_COMBINATIONS:
        raise ValueError(f"{count} combinations of values are more than {_MAX_COMBINATIONS}")
    return asked


def _questions(asked: list[Question]) -> list[Question]:
    if len({question.question for question in asked}) < len(asked):
        raise ValueError("a question is asked twice")
    return asked


Questions = Annotated[
    list[Annotated[Question, AfterValidator(_question)]], NotEmpty, AfterValidator(_questions)
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
        If the file is missing or is not such a list: one message with all problems.

    """
    hint = "data/sweeps/paper.yaml is one."
    content = read_yaml(path, list, what="recipe of a sweep", hint=hint)
    return parse_questions(content, source=str(path))


def parse_questions(content: Sequence[Any], *, source: str) -> list[Question]:
    """Check questions that come as plain lists and dicts; errors name their `source`."""
    return parse_plain(
        Questions,
        content,
        f"{source} is not a recipe of a sweep",
        "It is a list of entries with `question: text` and `vary: {section.key: [values]}`; "
        "data/sweeps/paper.yaml is one.",
    )


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


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
