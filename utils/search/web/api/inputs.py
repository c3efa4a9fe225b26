"""The types of what requests give."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from utils.search.excerpts import Pick
from utils.search.exports.exporting import FPS
from utils.search.line_search import By
from utils.search.near_duplicates import Duplicates
from utils.search.sorting import KEYS
from utils.search.web.api.operations import Given, Sent
from utils.search.web.desk import MAX_PICKS
from utils.search.web.guard import Refusal
from utils.search.web.service import MAX_FILTER, MAX_FILTERS, MAX_MOMENTS, MAX_QUERY, MAX_TOP
from utils.search.web.vectors import MAX_SOUNDS

_MAX_NUMBER = 2**53 - 1
_TOP = 20
_MAX_DIMENSION = 8192


def _decimal(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError
    return value


def _described(text: str) -> str:
    if not text.strip():
        raise Refusal(400, "The query is empty: describe a sound.")
    return text


Whole = Annotated[int, Field(ge=0, le=_MAX_NUMBER), BeforeValidator(_decimal)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=MAX_QUERY)]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY), AfterValidator(_described)]
Sound = Annotated[Whole, Field(description="The number of a sound.")]
Token = Annotated[
    str,
    Field(max_length=100, description="`library` of the answer that the numbers are from."),
]
Sorting = Literal[*KEYS, *(f"-{key}" for key in KEYS)]
VectorFormat = Literal["json", "npy", "safetensors"]
Filter = Annotated[str, Field(max_length=MAX_FILTER)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=_MAX_DIMENSION)]

# What to search by, and what else goes with some of it alone.
_EXAMPLES = {"q", "clip", "like", "vector", "vectors"}
_GOES_WITH = {
    "by": {"q"},
    "start": {"like"},
    "library": {"like"},
    "moments": {"q", "vector"},
    "model": {"vector", "vectors"},
}


class Searching(BaseModel):
    """What to search by, and among which sounds."""

    q: Annotated[Query, Field(description="A query line.")] | None = None
    clip: Annotated[str, Field(max_length=100, description="A clip that was sent.")] | None = None
    like: (
        Annotated[
            Whole,
            Field(description="A sound, which is no hit itself, nor are its folded duplicates."),
        ]
        | None
    ) = None
    start: (
        Annotated[Number, Field(description="The start of a passage of that sound, in seconds.")]
        | None
    ) = None
    library: Token | None = None
    tag: list[Filter] = Field([], max_length=MAX_FILTERS, description="Such as `Dog > 0.3`.")
    by: By = Field("both", description="By meaning, words of names and metadata, or both.")
    sort: Sorting = Field("score", description="A dash in front reverses the order.")
    duplicates: Duplicates = Field(
        "fold", description="Near duplicates are folded under the best of them, or shown."
    )
    top: Annotated[int, BeforeValidator(_decimal)] = Field(_TOP, ge=1, le=MAX_TOP)
    moments: Annotated[int, BeforeValidator(_decimal)] = Field(
        0, ge=0, le=MAX_MOMENTS, description="So many moments in each hit of a text."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        by = _EXAMPLES & given
        if len(by) != 1:
            known = ", ".join(name for name in type(self).model_fields if name in _EXAMPLES)
            raise Refusal(400, f"Give one of {known}: what to search by.")
        for name, other in _GOES_WITH.items():
            if name in given and not by & other:
                raise Refusal(400, f"{name} goes with {' or '.join(sorted(other))} alone.")
        return self


class SearchGiven(Searching, Given):
    """A search."""


class SearchSent(Searching, Sent):
    """A search, also by vectors of the same model."""

    vector: (
        Annotated[Vector, Field(description="As of a text; it is brought to length 1.")] | None
    ) = None
    vectors: (
        Annotated[
            list[Vector],
            Field(min_length=1, max_length=100, description="As of the passages of a sound."),
        ]
        | None
    ) = None
    model: Annotated[str, Field(max_length=100, description="That the vectors are of.")] | None = (
        None
    )

    @model_validator(mode="after")
    def _of_model(self) -> Self:
        if self.model is None and (self.vector or self.vectors):
            raise Refusal(400, "model is missing: give that of the answer that has the vectors.")
        return self


class OfSound(Given):
    """A sound."""

    sound: Sound
    library: Token


class AudioGiven(OfSound):
    """A sound to play."""

    decode: bool = Field(False, description="Send a wav file even if browsers play the sound.")


class SoundsGiven(Given):
    """A part of the list of sounds, by their numbers."""

    library: Token
    first: Whole = 0
    count: Annotated[int, BeforeValidator(_decimal)] = Field(
        1000, ge=1, le=MAX_SOUNDS, description="Numbers, of which some may have no sound."
    )


class TextVectorsSent(Sent):
    """Texts to embed."""

    texts: list[Query] = Field(min_length=1, max_length=100)
    format: VectorFormat = "json"


class PassageSent(Sent):
    """A passage, by its start in seconds."""

    sound: Sound
    start: Number


class SoundVectorsSent(Sent):
    """Sounds of a library, and passages of its sounds."""

    library: Token
    sounds: list[Whole] = Field([], max_length=MAX_SOUNDS)
    passages: list[PassageSent] = Field([], max_length=MAX_SOUNDS)
    format: VectorFormat = "json"

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.sounds or self.passages):
            raise Refusal(400, "Give sounds or passages.")
        return self


class MomentsGiven(OfSound):
    """A sound, and what to find in it."""

    q: Query
    at: Number = Field(0.0, description="Of a long sound, the place to look around, in seconds.")
    count: Annotated[int, BeforeValidator(_decimal)] = Field(5, ge=1, le=MAX_MOMENTS)


class OfCollection(Given):
    """A collection."""

    collection: Annotated[Whole, Field(description="The number of a collection.")]


class Named(Sent):
    """The name of a collection."""

    name: Name


class PickSent(Sent):
    """A sound, or a part of it: both start and end, in seconds."""

    sound: Sound
    start: Number | None = None
    end: Number | None = None
    label: Name = ""
    score: Number | None = None

    def pick(self) -> Pick:
        """Return it as the desk takes it."""
        if (self.start is None) != (self.end is None):
            raise Refusal(400, "picks: give both start and end, or none of them.")
        return Pick(self.sound, self.start, self.end, self.label, self.score)


class PicksSent(Sent):
    """Sounds of a library, and parts of them."""

    library: Token
    picks: list[PickSent] = Field(max_length=MAX_PICKS)


class ItemsSent(Sent):
    """Items of a collection."""

    items: list[Whole] = Field(max_length=MAX_PICKS)


class ExportSent(Sent):
    """What to export: picks of a library, or a collection."""

    format: Literal["csv", "json", "m3u8", "edl", "reaper"]
    library: Token | None = None
    picks: list[PickSent] = Field([], max_length=MAX_PICKS)
    collection: Whole | None = None
    whole: bool = Field(False, description="Whole sounds instead of their parts.")
    fps: str = Field(FPS, max_length=20, description="Frames per second of an edit list.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        by_picks = self.library is not None
        if (self.collection is None) != by_picks or (self.picks and not by_picks):
            raise Refusal(400, "Give picks with their library, or a collection.")
        return self
