"""Filters by AudioSet tag: "Dog > 0.3"."""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from utils.runtime.errors import InputError


@dataclass(frozen=True)
class Filter:
    """A tag whose probability in hits must be above, or else below, a threshold."""

    tag: str
    above: bool
    threshold: float


def parse_filter(text: str, tags: Sequence[str]) -> Filter:
    """Read a filter such as ``Dog > 0.3``, ``speech < 0.1`` or ``Dog`` (> 0.5).

    Raises
    ------
    InputError
        If the text is not of this form, or not one of `tags`; the message suggests similar ones.

    Examples
    --------
    >>> parse_filter("dog > 0.3", ["Dog", "Rain"])
    Filter(tag='Dog', above=True, threshold=0.3)
    >>> parse_filter("Rain", ["Dog", "Rain"])
    Filter(tag='Rain', above=True, threshold=0.5)

    """
    match = re.fullmatch(r"\s*(.*?)\s*(?:([<>])=?\s*([0-9.]+)\s*)?", text, re.DOTALL)
    name, sign, number = match.groups()
    try:
        threshold = float(number) if number else 0.5
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise InputError(f"tag filter {text!r}: give a probability from 0 to 1, not {number!r}.")
    try:
        return Filter(find_tag(name, tags), sign != "<", threshold)
    except InputError as error:
        raise InputError(f"tag filter {text!r}: {error}") from None


def find_tag(name: str, tags: Sequence[str]) -> str:
    """Return the tag of this name, whatever its case.

    Raises
    ------
    InputError
        If there is none; the message suggests similar ones.

    """
    by_lower = {tag.lower(): tag for tag in tags}
    if name.lower() not in by_lower:
        close = [tag for lower, tag in by_lower.items() if name.lower() in lower][:5]
        close = close or [
            by_lower[lower] for lower in difflib.get_close_matches(name.lower(), by_lower, n=3)
        ]
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise InputError(f"AudioSet has no tag {name!r}.{hint}")
    return by_lower[name.lower()]
