"""All duplicates of a library, to clean it up: copies, and the same sound in other forms."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from utils.runtime.errors import counted, printable
from utils.search.database import Database
from utils.search.hits import clock
from utils.search.near_duplicates import fold, near, not_compared

_LOSSLESS = frozenset(
    ["wav", "rf64", "w64", "bw64", "flac", "aiff", "au", "caf", "wv", "ape", "tta", "tak", "alac"]
)


class Form(NamedTuple):
    """A content: a form of a sound. Its files are copies of each other."""

    sound: int
    paths: tuple[str, ...]
    duration: float  # in seconds
    format: str | None  # these are None if they are not known yet
    rate: int | None  # in Hz
    channels: int | None
    bytes: int

    @property
    def is_lossless(self) -> bool:
        """Whether the format usually keeps all of a sound."""
        return self.format in _LOSSLESS

    def __str__(self) -> str:
        """Write what tells it from others: 0:07.5, wav, 44100 Hz, 2 channels, 1.3 MB."""
        rate = self.rate and f"{self.rate} Hz"
        channels = self.channels and counted(self.channels, "channel")
        size = f"{self.bytes / 1e6:.1f} MB"
        return ", ".join(filter(None, [clock(self.duration), self.format, rate, channels, size]))


def duplicates_of(database: Database) -> list[list[Form]]:
    """Group the sounds that have copies or near duplicates, in the order of their paths.

    Each group begins with the best form: a lossless one, then by sample rate, channels and size.
    All others are near duplicates of that one.
    """
    copied = database.all(
        "SELECT content FROM files JOIN contents USING (content) WHERE reason IS NULL AND "
        "duration IS NOT NULL GROUP BY content HAVING count(*) > 1"
    )
    several = {content for (content,) in copied} | near(database).keys()
    forms = {form.sound: form for form in _forms(database, several)}
    ranked = sorted(forms.values(), key=_best_first)
    groups = [
        [forms[sound], *sorted((forms[one] for one in under if one in forms), key=_best_first)]
        for sound, under in fold(database, [form.sound for form in ranked]).items()
    ]
    there = (group for group in groups if len(group) > 1 or len(group[0].paths) > 1)
    return sorted(there, key=lambda group: group[0].paths)


def note_on(database: Database) -> str:
    """Say how many sounds are listed with their copies alone, if there are any."""
    count = not_compared(database)
    alone = "of them, copies alone are listed"
    return f"{counted(count, 'sound')} not compared with others yet: {alone}" if count else ""


def as_text(groups: Sequence[Sequence[Form]]) -> str:
    """Write groups for people."""
    lines = []
    for number, group in enumerate(groups, start=1):
        files = sum(len(form.paths) for form in group)
        lines.append(f"{number}. {counted(files, 'file')}")
        for form in group:
            lines.append(f"    {printable(form.paths[0])}  {form}")
            lines += [f"      copy {printable(path)}" for path in form.paths[1:]]
    return "\n".join(lines or ["no duplicates"])


def as_json(group: Sequence[Form]) -> str:
    """Write a group for programs, in one line."""
    forms = [{**form._asdict(), "lossless": form.is_lossless} for form in group]
    return json.dumps({"duplicates": forms})


def _best_first(form: Form) -> tuple:
    return not form.is_lossless, -(form.rate or 0), -(form.channels or 0), -form.bytes, form.paths


def _forms(database: Database, sounds: Iterable[int]) -> Iterable[Form]:
    """Look sounds up; those without a file are left out."""
    query = (
        "SELECT path || name, duration, format, rate, channels, size FROM files "
        "JOIN folders USING (folder) JOIN contents USING (content) WHERE reason IS NULL AND "
        "duration IS NOT NULL AND content = ? ORDER BY path, name"
    )
    for sound in sounds:
        if rows := database.all(query, sound):
            paths = tuple(path for path, *_ in rows)
            yield Form(sound, paths, *rows[0][1:])
