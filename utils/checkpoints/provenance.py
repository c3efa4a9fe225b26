"""Which networks a model was trained with: new sounds and texts must go through the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError, shorten
from utils.settings.config import Integer, Number, Text
from utils.settings.loading import validated

# What must be the same for a new sound or text. Precisions may differ, and a sentence model has
# several names.
_PASST_MATTERS = ("model", "weights_sha256", "sample_rate", "window_seconds", "hop_seconds")
_TEXT_MATTERS = ("weights_sha256",)


@dataclass(frozen=True)
class PasstUsed:
    """A PaSST, in the words of vector files; None: not recorded."""

    model: Text | None = None
    weights_sha256: Text | None = None
    precision: Text | None = None
    sample_rate: Integer | None = None
    window_seconds: Number | None = None
    hop_seconds: Number | None = None


@dataclass(frozen=True)
class SentenceModelUsed:
    """A sentence model, likewise."""

    model: Text | None = None
    weights_sha256: Text | None = None
    precision: Text | None = None


@dataclass(frozen=True)
class TrainedWith:
    """The networks before a dual encoder."""

    passt: PasstUsed = field(default_factory=PasstUsed)
    sentence_model: SentenceModelUsed = field(default_factory=SentenceModelUsed)

    @classmethod
    def of(
        cls,
        *,
        passt: Mapping[str, Any] | None = None,
        sentence_model: Mapping[str, Any] | None = None,
    ) -> "TrainedWith":
        """Take what matters here from the `attributes` of vector files; nothing is told by none."""
        return cls(_taken(PasstUsed, passt or {}), _taken(SentenceModelUsed, sentence_model or {}))

    @classmethod
    def from_plain(cls, values: Any, source: Path) -> "TrainedWith":
        """Read back what `to_plain` gave; refuse anything else with an InputError."""
        problems: list[str] = []
        result = validated(cls, values, problems)
        if problems:
            raise InputError(
                f"{source} does not say which networks it was trained with:\n{shorten(problems)}"
            )
        return result

    def to_plain(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)

    def require(self, given: "TrainedWith", *, model: Path, source: str | Path) -> None:
        """Refuse other networks than these; what either side does not tell is not compared.

        Parameters
        ----------
        given : TrainedWith
            What new sounds or texts are embedded with.
        model : Path
            The model that was trained with these, named in the error.
        source : str or Path
            The file or setting where `given` comes from, likewise.

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


def _taken(kind: type, attributes: Mapping[str, Any]) -> Any:
    return kind(**{f.name: attributes.get(f.name) for f in fields(kind)})
