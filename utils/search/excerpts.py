"""Sounds, and parts of sounds, that were chosen: to be collected or exported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from utils.runtime.errors import InputError
from utils.search.database import places
from utils.search.hits import Hit, clock
from utils.search.library import Library

_AT_ONCE = 10_000  # sounds that are looked up; SQLite takes 32 766


class Pick(NamedTuple):
    """A sound by its number, or a part of it."""

    sound: int
    start: float | None = None  # in seconds; None: all of the sound
    end: float | None = None
    label: str = ""  # what was searched for
    score: float | None = None
    known_as: str = ""  # the path of a file that had it


@dataclass(frozen=True)
class Excerpt:
    """A sound of a library, or a part of it.

    Attributes
    ----------
    sound : int
        Its number.
    paths : tuple of str
        All files with this content, relative to the library's folder; empty if there are none.
    known_as : str
        The first of them, or the path of a file that had it.
    source : str
        SHA-256 of the content.
    duration, start, end : float
        In seconds: of the sound, and where the excerpt is.
    is_part : bool
        Whether a part was chosen.
    label : str
        What was searched for.
    score : float or None
    time_reference : float
        Seconds after midnight at which the sound begins, by its file; 0 if that does not say so.
    channels : int or None
        None if they are not known yet.
    loudness : float or None
        Of all of the sound, in LUFS; None if it has none, or is not measured yet.

    """

    sound: int
    paths: tuple[str, ...]
    known_as: str
    source: str
    duration: float
    start: float
    end: float
    is_part: bool
    label: str = ""
    score: float | None = None
    time_reference: float = 0.0
    channels: int | None = None
    loudness: float | None = None

    @property
    def is_missing(self) -> bool:
        """Whether no file of the folder has this content any more."""
        return not self.paths

    @property
    def place(self) -> str:
        """Where it is, and how long the sound is: 0:20.0–0:40.0 of 1:03.5."""
        part = f"{clock(self.start)}–{clock(self.end)} of " if self.is_part else ""
        return part + clock(self.duration)


_Chosen = TypeVar("_Chosen", Pick, Excerpt)


def picks_of(hits: Iterable[Hit], label: str, *, whole: bool = False) -> list[Pick]:
    """Pick the moments of hits; hits without moments, or all of them, as whole sounds."""
    picks = []
    for hit in hits:
        moments = [] if whole else [(one.start, one.end) for one in hit.moments]
        for place in moments or [(None, None)]:
            picks.append(Pick(hit.sound, *place, label, hit.score, hit.paths[0]))
    return picks


def first_of_each(chosen: Sequence[_Chosen]) -> list[_Chosen]:
    """Keep the first pick or excerpt of each sound."""
    first: dict[int, _Chosen] = {}
    for one in chosen:
        first.setdefault(one.sound, one)
    return list(first.values())


def look_up(library: Library, picks: Sequence[Pick], *, whole: bool = False) -> list[Excerpt]:
    """Find out what is known of picks, in their order; each sound once if they are to be whole.

    Raises
    ------
    InputError
        If the library never had a sound, or a part is not within its sound.

    """
    if whole:
        picks = [pick._replace(start=None, end=None) for pick in first_of_each(picks)]
    numbers = sorted({pick.sound for pick in picks})
    sounds, facts = {}, {}
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        sounds |= library.sounds(some)
        rows = library.database.all(
            "SELECT content, source, duration, channels, loudness, (SELECT value FROM metadata "
            "WHERE content = contents.content AND field = 'time_reference') "
            f"FROM contents WHERE content IN {places(some)} AND duration IS NOT NULL",
            *some,
        )
        facts |= {content: rest for content, *rest in rows}
    for pick in picks:
        if pick.sound not in facts:
            raise InputError(f"The library has no sound number {pick.sound}.")
    paths = {number: sound.paths for number, sound in sounds.items()}
    return [_excerpt(pick, paths.get(pick.sound, ()), *facts[pick.sound]) for pick in picks]


def _excerpt(
    pick: Pick,
    paths: tuple[str, ...],
    source: bytes,
    duration: float,
    channels: int | None,
    loudness: float | None,
    time_reference: str | None,
) -> Excerpt:
    is_part = pick.start is not None and pick.end is not None
    start, end = (pick.start, min(pick.end, duration)) if is_part else (0.0, duration)
    if not 0 <= start < end:
        raise InputError(
            f"{pick.start} to {pick.end} s is no part of sound number {pick.sound}, which is "
            f"{duration:.3f} s long."
        )
    return Excerpt(
        sound=pick.sound,
        paths=paths,
        known_as=paths[0] if paths else pick.known_as,
        source=source.hex(),
        duration=duration,
        start=start,
        end=end,
        is_part=is_part,
        label=pick.label,
        score=pick.score,
        time_reference=_seconds(time_reference),
        channels=channels,
        loudness=loudness,
    )


def _seconds(text: str | None) -> float:
    return float(text) if text and text.replace(".", "", 1).isdecimal() else 0.0
