"""What a description excludes: "rain without thunder", "wind, no dogs".

A sentence model cannot negate: to it, "no dog barks" is a dog's bark. So what is negated is taken
out of a description, embedded on its own, and counts against a sound: by the sound's probability of
tags that it names, and by its likeness to it, as far as that is unusual.

Shapes: N sounds or passages.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.search.fusion import Usual
from utils.search.words import split_words, word_forms

_PENALTY = 5.0  # in deviations of the likeness to the description, of what is surely negated
# A sound is as likely as not what a text negates if its likeness is so many deviations above usual.
_UNUSUAL, _STEEPNESS = 2.0, 2.0
_MOST_SHARED = 0.9  # correlation of two texts that count as different

# What follows "no" and "without" where neither says that a sound is missing: "no longer", "without
# a break", "no other sounds". They are what captions of Clotho and AudioCaps have.
_NOT_A_SOUND = "|".join(
    """
    longer more less one matter doubt idea reason success avail other others apparent particular
    specific discernible sound sounds audio pattern rhythm order tempo change changes changing
    break breaks pause pauses pausing stop stops stopping ceasing interruption interruptions end
    rest letup letting
    """.split()  # noqa: SIM905
)
_NEGATION = re.compile(
    rf"""(?ix) (?<![\w'’-]) (?<!\b(?:in|to)\s) (?<!\bfor\s) (?<!\balmost\s)
    (?: (?: (?:and|but|or|with|has|have|having|there\ (?:is|are|was|were)) \s+ ){{0,3}} no
      | without | NOT ) (?= \s )
    (?! \s+ (?: (?:any|an?|the) \s+ )? (?: (?:{_NOT_A_SOUND}) \b | \d ) )
    (?: \s+ (?:any|an?|the)\b )? \s+ (?= [^\W_] )"""
)
# What ends a negated part: punctuation, or the beginning of another clause or attribute.
_END = re.compile(
    r"(?i)[,;:.!?()–—]"
    r"|\s(?=(?:but|with|while|as|then|before|after|when|where|just|only|though|although|however"
    r"|followed|whereas|plus|no|without)\b)"
)
_LOOSE = frozenset(("", "and", "but", "or", "nor", "with", "there", "is", "are", "was", "were"))
_MARKS = ",;:.–—()"


class Negation(NamedTuple):
    """A description without what it negates, and the texts of that."""

    description: str  # may be empty
    without: tuple[str, ...]


def split_negation(text: str) -> Negation:
    """Take out of a description what it negates.

    "no" and "without" negate what follows, up to a punctuation mark or to a word such as "but",
    "with" or "while". "and" and "or" do not end it. A capital "NOT" is a "no".

    Examples
    --------
    >>> split_negation("rain without thunder or wind, birds")
    Negation(description='rain, birds', without=('thunder', 'wind'))
    >>> split_negation("no dogs but cats")
    Negation(description='cats', without=('dogs',))
    >>> split_negation("a tap drips without a break")
    Negation(description='a tap drips without a break', without=())

    """
    kept, without, at = [], [], 0
    while match := _search(text, at):
        end = _END.search(text, match.end())
        stop = end.start() if end else len(text)
        parts = re.split(r"(?i)\s+(?:or|nor|and)\s+(?:no\s+|without\s+)?", text[match.end() : stop])
        without += [_tidy(part) for part in parts if split_words(part)]
        kept.append(text[at : match.start()].rstrip())
        at = stop
    if not without:
        return Negation(text, ())
    rest = "".join([*kept, text[at:]])
    return Negation(_tidy(rest), tuple(without))


def _tidy(text: str) -> str:
    """Remove what hangs loose where a part was taken out."""
    words = [word for word in text.split() if word.strip(_MARKS)]
    while words and words[-1].strip(_MARKS).lower() in _LOOSE:
        words.pop()
    first = next((at for at, word in enumerate(words) if word.lower() not in _LOOSE), len(words))
    return " ".join(words[first:]).rstrip(",;:.–—")


def _search(text: str, at: int) -> re.Match[str] | None:
    """Find the next negation; "not" is one in capitals alone."""
    for match in _NEGATION.finditer(text, at):
        if match[0].split()[0].lower() != "not" or match[0].startswith("NOT"):
            return match
    return None


def named_tags(text: str, tags: Sequence[str]) -> list[int]:
    """List the tags that a text names, by their numbers.

    A tag may have several names ("Fly, housefly"). Of tags whose words are among those of another,
    the other is taken: "wind chime" does not name "Wind".

    Examples
    --------
    >>> named_tags("wind chimes", ["Wind", "Chime", "Wind chime", "Walk, footsteps"])
    [2]
    >>> named_tags("barking dogs", ["Dog", "Bark", "Hot dog"])
    [0, 1]

    """
    there = {form for word in split_words(text) for form in word_forms(word)}
    named: dict[int, set[str]] = {}
    for number, tag in enumerate(tags):
        for name in re.split(r"[,(]", tag):
            words = [there.intersection(word_forms(word)) for word in split_words(name)]
            if words and all(words):
                named.setdefault(number, set()).update(*words)
    return [tag for tag in named if not any(named[tag] < other for other in named.values())]


def penalty(
    likeness: NDArray[np.floating],
    probability: NDArray[np.floating],
    *,
    usual: Usual,
    described: NDArray[np.floating],
    correlation: float,
) -> NDArray[np.float64]:
    """Compute how much sounds lose for what is negated.

    Thunder is often heard in rain, and like it. So for "rain without thunder", it matters how much
    more a sound is like thunder than is usual of sounds that are as much like rain.

    Parameters
    ----------
    likeness : ndarray, shape (N,)
        Their dot products with the embedding of the negated text.
    probability : ndarray, shape (N,)
        The largest of the tags that the text names; 0 if it names none.
    usual : Usual
        Of `likeness` in the library.
    described : ndarray, shape (N,)
        Likeness to the description, in deviations above usual.
    correlation : float
        Of both likenesses in the library.

    Returns
    -------
    ndarray, shape (N,)
        In deviations of the likeness to the description, from 0 to 5.

    """
    shared = min(max(correlation, 0.0), _MOST_SHARED)
    own = usual.standardise(likeness) - shared * described
    unusual = _STEEPNESS * (own / np.sqrt(1 - shared**2) - _UNUSUAL)
    by_meaning = 1 / (1 + np.exp(-unusual.clip(-50, 50)))
    return _PENALTY * np.maximum(by_meaning, probability)
