"""Excerpts as regions that REAPER's Region/Marker Manager imports."""

import io
import os
from collections.abc import Sequence

from utils.files import tables
from utils.runtime.errors import printable
from utils.search.excerpts import Excerpt


def as_reaper(excerpts: Sequence[Excerpt]) -> bytes:
    """Write a region for each excerpt.

    The sounds are thought to be on the time line whole, each once, one after another, in the order
    of the excerpts. So the regions of a single sound have its own times.
    """
    begins: dict[int, float] = {}
    end = 0.0
    rows = []
    for number, excerpt in enumerate(excerpts, start=1):
        if excerpt.sound not in begins:
            begins[excerpt.sound] = end
            end += excerpt.duration
        first = begins[excerpt.sound] + excerpt.start
        length = excerpt.end - excerpt.start
        times = map(_clock, (first, first + length, length))
        rows.append((f"R{number}", _name(excerpt), *times))
    text = io.StringIO()
    tables.write_csv(text, [("#", "Name", "Start", "End", "Length"), *rows])
    return text.getvalue().encode()


def _name(excerpt: Excerpt) -> str:
    name = os.path.basename(excerpt.known_as)  # noqa: PTH119 - not of this disk
    return printable(f"{name}: {excerpt.label}" if excerpt.label else name)


def _clock(seconds: float) -> str:
    """Write a time so that it is not taken for measures and beats."""
    thousandths = round(1000 * seconds)
    return f"{thousandths // 60_000}:{thousandths // 1000 % 60:02}.{thousandths % 1000:03}"
