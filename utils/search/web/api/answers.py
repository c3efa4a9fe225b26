"""The types of what is answered, and JSON."""

import json
from typing import Annotated, Any, NotRequired

from pydantic import Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from utils.search.hits import Hit
from utils.search.moments import Moment


class AsciiJson(JSONResponse):
    """JSON in ASCII: file names, and so messages, may contain bytes that are not UTF-8."""

    def render(self, content: Any) -> bytes:
        """Write the body of an answer."""
        return json.dumps(content, allow_nan=False).encode()


Token = Annotated[str, Field(description="The library that numbers of sounds are of.")]
Model = Annotated[str, Field(description="The model that vectors are of.")]


class Error(TypedDict):
    """Why a request was refused."""

    error: str


class Failed(TypedDict):
    """A sound file that cannot be used."""

    name: str
    reason: str


class Limits(TypedDict):
    """The most that is accepted."""

    query: int
    top: int
    filters: int
    picks: int
    clip_bytes: int
    clip_seconds: int


class About(TypedDict):
    """The library, the tags and the limits."""

    library: Token
    model: Model
    dimension: Annotated[int, Field(description="Numbers of a vector.")]
    version: Annotated[int, Field(description="Counts the changes since the server was started.")]
    folder: str
    place: NotRequired[Annotated[str, Field(description="The path, on the server's own machine.")]]
    files: int
    sounds: int
    duplicates: int
    unusable: Annotated[dict[str, int], Field(description="How many files, by reason.")]
    other: Annotated[dict[str, int], Field(description="How many other files, by ending.")]
    failed: Annotated[list[Failed], Field(description="The first files that cannot be used.")]
    failed_count: int
    failed_list: str
    tags: list[str]
    moments: bool
    note: str
    limits: Limits


class Example(TypedDict):
    """The sound that was searched by."""

    name: str
    duration: float


class SearchAnswer(TypedDict):
    """What a search has found, best first."""

    library: Token
    notes: Annotated[list[str], Field(description="What of the query does not count, and more.")]
    hits: list[Hit]
    like: NotRequired[Example]


class MomentsAnswer(TypedDict):
    """Where a text is heard in a sound."""

    moments: Annotated[list[Moment], Field(description="Best first.")]
    begin: Annotated[float, Field(description="Where the curve begins, in seconds.")]
    step: Annotated[float, Field(description="Seconds from one value of the curve to the next.")]
    curve: Annotated[list[float], Field(description="The likeness of the sound to the text.")]


class ClipAnswer(TypedDict):
    """A clip that was received."""

    clip: Annotated[str, Field(description="To search by, until it is forgotten.")]
    duration: float


class ListedSound(TypedDict):
    """A sound of the library."""

    sound: int
    paths: list[str]
    duration: float
    notes: Annotated[str, Field(description="What is odd about it.")]


class SoundList(TypedDict):
    """Sounds of the library, by number."""

    library: Token
    sounds: list[ListedSound]
    next: Annotated[int | None, Field(description="`first` of the next part, if there is one.")]


class TextVectors(TypedDict):
    """The unit vectors of texts, in their order."""

    model: Model
    vectors: list[list[float]]


class Passage(TypedDict):
    """A passage of a sound, in seconds."""

    sound: int
    start: float
    end: float


class SoundVectors(TypedDict):
    """The unit vectors of passages, in the same order."""

    model: Model
    library: Token
    passages: list[Passage]
    vectors: list[list[float]]


class UpdateState(TypedDict):
    """What an update of the library is doing, or the result of the last one."""

    running: bool
    what: NotRequired[str]
    unit: NotRequired[str]
    done: NotRequired[int]
    total: NotRequired[int]
    message: NotRequired[str]
    error: NotRequired[str]


class Collected(TypedDict):
    """A collection."""

    collection: Annotated[int, Field(description="Its number.")]
    name: str
    count: int


class CollectionList(TypedDict):
    """All collections."""

    collections: list[Collected]


class Item(TypedDict):
    """A sound of a collection, or a part of it."""

    item: Annotated[int, Field(description="Its number.")]
    rank: int
    score: float | None
    sound: int
    paths: list[str]
    duration: float
    loudness: Annotated[float | None, Field(description="Integrated loudness, in LUFS.")]
    start: float
    end: float
    is_part: bool
    label: Annotated[str, Field(description="What was searched for.")]
    missing: Annotated[bool, Field(description="Whether no file has this content any more.")]


class CollectionAnswer(Collected):
    """A collection with its items."""

    library: Token
    items: list[Item]


class Added(TypedDict):
    """How many picks were added, of how many."""

    added: int
    given: int


class Removed(TypedDict):
    """How many items were removed."""

    removed: int
