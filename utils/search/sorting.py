"""In which order hits are listed: by score, or by what the index knows of their sounds."""

import functools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from utils.runtime.errors import InputError, shown
from utils.search.database import Database, places

if TYPE_CHECKING:  # takes seconds to import
    from utils.search.hits import Hit

KEYS = ("score", "name", "duration", "date", "loudness")
_AT_ONCE = 10_000  # sounds that are looked up; SQLite takes 32 766
_DIGITS = re.compile(r"(\d+)")


class Order(NamedTuple):
    """One of `KEYS`; the best come first, and the smallest of all else, unless it is reversed."""

    key: str = "score"
    is_reversed: bool = False

    def __str__(self) -> str:
        """Write it as `parse_order` reads it."""
        return "-" * self.is_reversed + self.key


BEST_FIRST = Order()


def parse_order(text: str) -> Order:
    """Read a key, perhaps with a dash in front that reverses it.

    Raises
    ------
    InputError

    Examples
    --------
    >>> parse_order("-duration")
    Order(key='duration', is_reversed=True)

    """
    order = Order(text.removeprefix("-"), text.startswith("-"))
    if order.key not in KEYS:
        known = ", ".join(KEYS)
        raise InputError(f"sort={shown(text)}: sort by {known}, or with a dash in front: -duration")
    return order


def in_order(database: Database, sounds: Sequence[int], order: Order) -> list[int]:
    """Sort sounds by number.

    Parameters
    ----------
    sounds : sequence of int
        Best first. So stay those with equal values, whether the order is reversed or not.

    Returns
    -------
    list of int
        Those without a value come last in any order.

    """
    if order.key == "score":
        return list(reversed(sounds)) if order.is_reversed else list(sounds)
    values = dict(_values(database, sounds, order.key))
    known = [sound for sound in sounds if values.get(sound) is not None]
    known.sort(key=values.__getitem__, reverse=order.is_reversed)
    return [*known, *(sound for sound in sounds if values.get(sound) is None)]


def hits_in_order(database: Database, hits: Sequence["Hit"], order: Order) -> list["Hit"]:
    """Sort hits, best first, and number them again."""
    of_sound = {hit.sound: hit for hit in hits}
    ordered = in_order(database, list(of_sound), order)
    return [replace(of_sound[sound], rank=rank) for rank, sound in enumerate(ordered, start=1)]


def note_on(order: Order, *, found: int, top: int, ranked: bool) -> list[str]:
    """Say what is sorted, if it is not all that can be found.

    Parameters
    ----------
    found, top : int
        How many hits there are, and how many were asked for.
    ranked : bool
        Whether they are like a description or an example.

    """
    if order.key == "score" or not ranked or found < top:
        return []
    return [f"the {top} best by score, sorted by {order.key}"]


def natural(name: str) -> list[Any]:
    """Return what names are sorted by: take2 before take10, whatever their case and accents.

    Examples
    --------
    >>> sorted(["take10.wav", "Étude.wav", "Take2.wav", "fan.wav"], key=natural)
    ['Étude.wav', 'fan.wav', 'Take2.wav', 'take10.wav']

    """
    if not name.isascii():
        name = "".join(filter(_is_letter, unicodedata.normalize("NFKD", name)))
    parts = _DIGITS.split(name.casefold())
    parts[1::2] = map(int, parts[1::2])
    return parts


def _is_letter(char: str) -> bool:
    return not unicodedata.combining(char)


def _values(database: Database, sounds: Sequence[int], key: str) -> Iterator[tuple[int, Any]]:
    read = _names if key == "name" else _column(key)
    for first in range(0, len(sounds), _AT_ONCE):
        yield from read(database, sounds[first : first + _AT_ONCE])


def _column(key: str) -> Callable[[Database, Sequence[int]], Iterator[tuple[int, Any]]]:
    def read(database: Database, sounds: Sequence[int]) -> Iterator[tuple[int, Any]]:
        query = f"SELECT content, {key} FROM contents WHERE content IN {places(sounds)}"
        yield from database.stream(query, *map(int, sounds))

    return read


def _names(database: Database, sounds: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Read the first file of each sound, which it is listed by: its name, then its folder."""
    found = database.stream(  # of several, the first comes last, and counts
        "SELECT content, name, path FROM files JOIN folders USING (folder) WHERE reason IS NULL "
        f"AND content IN {places(sounds)} ORDER BY path DESC, name DESC",
        *map(int, sounds),
    )
    of_folder = functools.cache(natural)
    for content, name, path in found:
        yield content, (natural(os.fsdecode(name)), of_folder(os.fsdecode(path)), path, name)
