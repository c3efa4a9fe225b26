"""What a search has found, in numbers and in words."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from utils.runtime.errors import printable
from utils.search.moments import Moment, MomentFinder


@dataclass(frozen=True)
class Reason:
    """A tag, its largest probability in a passage, and what it adds to the score.

    The probability is that of one window of the network, 10 s long; what it adds is computed from
    the mean over the windows, as in training.
    """

    tag: str
    probability: float
    contribution: float


@dataclass(frozen=True)
class Ucs:
    """A category, and how probable it is: 1 if the file's name or metadata say it."""

    cat_id: str
    category: str
    subcategory: str
    probability: float


@dataclass(frozen=True, repr=False)
class Hit:
    """A sound that was found.

    Attributes
    ----------
    rank : int
        From 1.
    score : float
        projection + tag_branch + words. By text, that of its best passage; by example, see
        `utils.search.nearest.groups`.
    sound : int
        Index in the library.
    paths : tuple of str
        All files with this content, relative to the library's folder.
    duration, start, end : float
        In seconds: of the sound, and where its best passage is.
    is_part : bool
        Whether the passage is only a part of the sound.
    tags : list of Reason
        The most probable tags of the passage.
    projection, tag_branch, words : float
        What the two branches of the model add to the score, and words of names and metadata, less
        what is negated in the query.
    reasons : list of Reason
        The tags that add most to it.
    notes : str
        What is odd about the sound.
    ucs : Ucs or None
        Its category in the Universal Category System.
    loudness : float or None
        Integrated, in LUFS; None if it has none, or is not measured yet.
    moments : list of Moment
        Where a text is heard in the sound, best first; empty by example.
    duplicates : tuple of str
        Files of near duplicates that are folded under this hit: see `utils.search.near_duplicates`.

    """

    rank: int
    score: float
    sound: int
    paths: tuple[str, ...]
    duration: float
    start: float
    end: float
    is_part: bool
    tags: list[Reason]
    projection: float
    tag_branch: float
    reasons: list[Reason]
    notes: str = ""
    ucs: Ucs | None = None
    words: float = 0.0
    loudness: float | None = field(default=None, compare=False)  # may come after the hit
    moments: list[Moment] = field(default_factory=list)
    duplicates: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The first of the paths, printable."""
        return printable(self.paths[0])

    @property
    def place(self) -> str:
        """Where the passage is, and how long the sound is: 0:20.0–0:40.0 of 1:03.5."""
        part = f"{clock(self.start)}–{clock(self.end)} of " if self.is_part else ""
        return part + clock(self.duration)

    @property
    def moment_list(self) -> str:
        """The moments: 0:12.5–0:15.0 (also 0:40.0–0:43.5)."""
        best, *others = [f"{clock(one.start)}–{clock(one.end)}" for one in self.moments] or [""]
        return f"{best} (also {', '.join(others)})" if others else best

    @property
    def category(self) -> str:
        """The category: DOORS/WOOD (DOORWood), with a question mark if the tags suggest it."""
        if self.ucs is None:
            return ""
        suggested = "" if self.ucs.probability == 1 else f"? {self.ucs.probability:.2f}"
        return f"{self.ucs.category}/{self.ucs.subcategory} ({self.ucs.cat_id}){suggested}"

    @property
    def level(self) -> str:
        """The loudness: -23.4 LUFS; empty if there is none."""
        return "" if self.loudness is None else f"{self.loudness:.1f} LUFS"

    @property
    def tag_list(self) -> str:
        """The tags with their probabilities: Dog 0.93, Bark 0.61."""
        return ", ".join(f"{tag.tag} {tag.probability:.2f}" for tag in self.tags)

    def __repr__(self) -> str:
        """Show what a reader of a list of hits wants to know."""
        return f"<{self.rank}. {self.score:.3f} {self.name} {self.place} {self.tag_list}>"


def clock(seconds: float) -> str:
    """Write a time as 0:07.5 or 1:02:03."""
    tenths = round(10 * seconds)
    if tenths >= 36_000:
        whole = tenths // 10
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


def with_moments(
    finder: MomentFinder | None, hit: Hit, vector: NDArray[np.float32] | None, count: int
) -> Hit:
    """Add at most so many moments to a hit, if there is a text's vector, shape (D,), to find."""
    if finder is None or vector is None or not count:
        return hit
    at = (hit.start + hit.end) / 2
    return replace(hit, moments=finder.find(vector, hit.sound, at=at, count=count).moments)
