"""Excerpts as an edit decision list in the form of CMX 3600: one after another from 01:00:00:00."""

import os
import re
from collections.abc import Callable, Sequence

from utils.runtime.errors import InputError, printable
from utils.search.excerpts import Excerpt
from utils.search.exports.timecode import FrameRate

_MOST_EVENTS = 999
_REEL = 8  # characters
_RESERVED = {"", "BL", "AX"}  # black, and sources without timecode


def as_edl(
    excerpts: Sequence[Excerpt], *, place: Callable[[str], str], title: str, rate: FrameRate
) -> bytes:
    """Write an event for each excerpt.

    Source timecodes count from the sound's time reference. Reels are the first letters of file
    names, and comments have the whole names.

    Parameters
    ----------
    place : callable
        See `utils.search.exports.tables.as_csv`.

    Raises
    ------
    InputError
        If there are more than 999 events, or they end after 24 hours.

    """
    if len(excerpts) > _MOST_EVENTS:
        raise InputError(
            f"An edit list holds {_MOST_EVENTS} events, and there are {len(excerpts)}. Export "
            "fewer, or another format."
        )
    mode = "DROP FRAME" if rate.is_drop else "NON-DROP FRAME"
    lines = [f"TITLE: {printable(title)}", f"FCM: {mode}"]
    reels: dict[int, str] = {}
    recorded = rate.per_hour
    for number, excerpt in enumerate(excerpts, start=1):
        reel = reels.setdefault(excerpt.sound, _reel(excerpt.known_as, set(reels.values())))
        first = rate.frames(excerpt.time_reference + excerpt.start)
        length = max(1, rate.frames(excerpt.end - excerpt.start))
        if recorded + length > 24 * rate.per_hour:
            raise InputError("The excerpts are longer than an edit list of 24 hours can hold.")
        ends = (first, first + length, recorded, recorded + length)
        track = "A" if excerpt.channels == 1 else "AA"
        lines += [
            "",
            f"{number:03}  {reel:<8} {track:<5} C        {' '.join(map(rate.timecode, ends))}",
            f"* FROM CLIP NAME: {printable(_name(excerpt.known_as))}",
            f"* SOURCE FILE: {printable(place(excerpt.known_as))}",
            *([f"* COMMENT: {printable(excerpt.label)}"] if excerpt.label else []),
        ]
        recorded += length
    return ("\n".join(lines) + "\n").encode()


def _name(path: str) -> str:
    return os.path.basename(path)  # noqa: PTH119 - not of this disk


def _reel(path: str, taken: set[str]) -> str:
    """Make a name of eight letters and digits that no other sound has."""
    stem = os.path.splitext(_name(path))[0]  # noqa: PTH122
    reel = base = re.sub(r"[^A-Z0-9]", "", stem.upper())[:_REEL]
    number = 1
    while reel in taken | _RESERVED:
        ending = str(number)
        reel = base[: _REEL - len(ending)] + ending
        number += 1
    return reel
