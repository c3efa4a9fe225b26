"""Which networks a model was trained with: new sounds and texts must go through the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from utils.runtime.errors import InputError, shorten, shown
from utils.settings.config import Integer, Number, Text

# What must be the same for a new sound or text. Precisions may differ, and a sentence model has
# several names.
_PASST_MATTERS = ("model", "weights_sha256", "sample_rate", "window_seconds", "hop_seconds")
_TEXT_MATTERS = ("weights_sha256",)
NO_OTHER_KEYS = ConfigDict(extra="forbid")

T = TypeVar("T")


@dataclass(frozen=True)
class PasstUsed:
    """A PaSST, as vector files describe it; None: not recorded."""

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    model: Text | None = None
    weights_sha256: Text | None = None
    precision: Text | None = None
    sample_rate: Integer | None = None
    window_seconds: Number | None = None
    hop_seconds: Number | None = None


@dataclass(frozen=True)
class SentenceModelUsed:
    """A sentence model, as vector files describe it; None: not recorded."""

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    model: Text | None = None
    weights_sha256: Text | None = None
    precision: Text | None = None


@dataclass(frozen=True)
class TrainedWith:
    """The networks before a dual encoder."""

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    passt: PasstUsed = field(default_factory=PasstUsed)
    sentence_model: SentenceModelUsed = field(default_factory=SentenceModelUsed)

    @classmethod
    def of(
        cls,
        *,
        passt: Mapping[str, Any] | None = None,
        sentence_model: Mapping[str, Any] | None = None,
    ) -> "TrainedWith":
        """Take what matters here from the `attributes` of vector files."""
        given = ((PasstUsed, passt or {}), (SentenceModelUsed, sentence_model or {}))
        return cls(*(kind(*(used.get(f.name) for f in fields(kind))) for kind, used in given))

    def require(self, given: "TrainedWith", *, model: Path, source: str | Path) -> None:
        """Refuse other networks than these; what one side does not record is not compared.

        Parameters
        ----------
        given : TrainedWith
            What new sounds or texts are embedded with.
        model : Path
            The model that was trained with these networks, for the error.
        source : str or Path
            The file or setting that `given` comes from, for the error.

        Raises
        ------
        InputError
            Listing each difference.

        """
        differing = [
            f"{what}: {name} is {getattr(new, name)!r}, the model needs {getattr(used, name)!r}"
            for what, used, new, names in (
                ("PaSST", self.passt, given.passt, _PASST_MATTERS),
                ("sentence model", self.sentence_model, given.sentence_model, _TEXT_MATTERS),
            )
            for name in names
            if None not in (getattr(used, name), getattr(new, name))
            and getattr(used, name) != getattr(new, name)
        ]
        if differing:
            raise InputError(
                f"{source} does not go with the model {model}:\n{shorten(differing)}\n"
                "Embed sounds and texts with the networks that it was trained with."
            )


def parse_plain(kind: type[T], values: Any, what: str, advice: str) -> T:
    """Check plain values against the fields of a dataclass.

    Raises
    ------
    InputError
        Beginning with `what`, listing every problem with its key, and ending with `advice`.

    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        problems = [_described(problem, values) for problem in error.errors(include_url=False)]
        raise InputError(f"{what}:\n{shorten(problems)}\n{advice}") from None


def _described(problem: Any, values: Any) -> str:
    """Describe an error of pydantic: the key, the value and what is allowed."""
    place = ".".join(_place(problem["loc"], values))
    wording = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "unexpected_keyword_argument":
        wording = "unknown key"
    elif wording.startswith("Input "):
        wording = f"{shown(problem['input'])} {wording.removeprefix('Input ')}"
    return f"{place or 'the whole'}: {wording}"


def _place(location: Sequence[Any], values: Any) -> Iterator[str]:
    """Name each part of a location: the number of an entry of a list, from #1, or a key."""
    for part in location:
        if part == "[key]":  # the key before it is wrong, not its value
            return
        if isinstance(values, list | tuple):
            yield f"#{part + 1}" if isinstance(part, int) else part
            values = values[part] if isinstance(part, int) else None
        elif isinstance(values, dict):
            # YAML has keys that are no texts, which pydantic names by number or by text.
            key = next((key for key in values if part in (key, str(key))), part)
            yield str(key)
            values = values.get(key)
        else:
            yield str(part)
