"""What a kind of sound event is: its AudioSet classes, words, counts and synthesis."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Generator = np.random.Generator
Sound = NDArray[np.float32]
Synthesis = Callable[[Generator, float, int, int], Sound]


@dataclass(frozen=True)
class Clause:
    """A statement about the sound: "a dog" "barks" / "barking", "at the door".

    Attributes
    ----------
    subject : str
        With its article; the finite verb agrees with it.
    verb, gerund : str
        "barks", "barking". Passive forms are welcome: "is struck", "being struck".
    complement : str
        What may follow the verb: "on a wooden door".
    counted : tuple of (str, str), optional
        Singular and plural of an object that is counted instead of saying "three times":
        ("note", "notes") gives "someone plays three notes on a piano".
    repeats : bool
        Whether "three times" or "repeatedly" may follow.

    """

    subject: str
    verb: str
    gerund: str
    complement: str = ""
    counted: tuple[str, str] | None = None
    repeats: bool = True


@dataclass(frozen=True)
class Nominal:
    """The sound as a noun phrase: "the" "hum" "of a vacuum cleaner", "three" "barks" "of a dog".

    Attributes
    ----------
    head : str
        Singular noun, or the noun itself when it has no singular.
    plural : str, optional
        Given for nouns that are counted with the event's own count.
    tail : str
        What follows the noun directly.
    article : str
        "a" (written "an" where needed), "the", or "" for mass nouns and bare plurals.
    is_plural : bool
        The head itself is plural ("waves"), so it takes "are".

    """

    head: str
    plural: str | None = None
    tail: str = ""
    article: str = "a"
    is_plural: bool = False


@dataclass(frozen=True)
class Wording:
    """The words for one kind; adjectives and adverbs must be true of every rendering of it."""

    clauses: tuple[Clause, ...]
    nominals: tuple[Nominal, ...]
    adjectives: tuple[str, ...] = ()
    adverbs: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventKind:
    """One kind of sound event.

    Attributes
    ----------
    name : str
        Short identifier.
    tags : tuple of str
        AudioSet display names: the kind's own class first, then others that apply to it.
    sustained : bool
        Can be a background texture (rain, an engine).
    countable : bool
        Made of `count` separate repeats (barks, knocks).
    wording : Wording
        What captions say about it.
    synthesise : callable
        ``(rng, seconds, count, sample_rate) -> float32 (round(seconds * sample_rate),)``, peak
        at most 1; all randomness comes from `rng`, and `count` is ignored unless countable.
    counts : tuple of (int, int)
        Fewest and most repeats that sound natural.
    period : tuple of (float, float)
        Seconds from one repeat to the next.
    rings_seconds : float
        Seconds that the last repeat continues to ring after its period.
    seconds : tuple of (float, float)
        Natural duration of a kind that is not countable.

    """

    name: str
    tags: tuple[str, ...]
    sustained: bool
    countable: bool
    wording: Wording
    synthesise: Synthesis
    counts: tuple[int, int] = (1, 1)
    period: tuple[float, float] = (1.0, 1.0)
    rings_seconds: float = 0.0
    seconds: tuple[float, float] = (3.0, 12.0)
