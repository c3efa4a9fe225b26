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
class EventKind:
    """One kind of sound event: its sound, its classes and its words.

    Attributes
    ----------
    synthesise : callable
        ``(rng, seconds, count, sample_rate) -> float32 (round(seconds * sample_rate),)``, peak
        at most 1. All randomness comes from `rng`, and `count` is ignored unless countable.
    tags : tuple of str
        AudioSet display names: the kind's own class first, then others that apply to it.
    clauses, nominals : tuple of Clause, tuple of Nominal
        What captions say about it.
    adjectives, adverbs : tuple of str
        They must be true of every rendering.
    sustained : bool
        Can be a background texture (rain, an engine).
    counts : tuple of (int, int)
        Fewest and most repeats that sound natural.
    period : tuple of (float, float)
        Seconds from one repeat to the next.
    rings_seconds : float
        Seconds that the last repeat continues to ring after its period.
    seconds : tuple of (float, float)
        Natural duration of a kind that is not countable.

    """

    synthesise: Synthesis
    tags: tuple[str, ...]
    clauses: tuple[Clause, ...]
    nominals: tuple[Nominal, ...]
    adjectives: tuple[str, ...] = ()
    adverbs: tuple[str, ...] = ()
    sustained: bool = False
    counts: tuple[int, int] = (1, 1)
    period: tuple[float, float] = (1.0, 1.0)
    rings_seconds: float = 0.0
    seconds: tuple[float, float] = (3.0, 12.0)

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.synthesise.__name__

    @property
    def countable(self) -> bool:
        """Whether it is made of separate repeats (barks, knocks)."""
        return self.counts != (1, 1)
