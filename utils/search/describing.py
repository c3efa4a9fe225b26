"""What sound files say about themselves, and their names, as words and fields of the database."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from utils.audio.metadata import SoundMetadata, read_metadata
from utils.audio.sound_file import UnusableSound, open_sound
from utils.runtime.errors import UnreadableError
from utils.search.database import Database
from utils.search.file_table import update_words

_AT_ONCE = 200  # contents in one step
_FIELDS = ("date", "description", "cat_id")  # that have columns of their own
_DATE = re.compile(r"(\d{4})(?:([-/:.]?)(0[1-9]|1[0-2])(?:\2(0[1-9]|[12]\d|3[01]))?)?(?!\d)")
_YEAR = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*\b", re.IGNORECASE)


class _Described(NamedTuple):
    content: int
    rate: int
    channels: int
    format: str
    metadata: SoundMetadata


def describe(database: Database, folder: Path, *, progress: Callable[[int], Any]) -> None:
    """Read the metadata of contents that are new; what is read is kept if this is stopped.

    Files that cannot be read now are tried again next time.

    Parameters
    ----------
    progress : callable
        Called with the number of contents, if there are any; returns a context manager whose
        ``update`` is called with 1 after each.

    """
    pending = database.all(
        "SELECT content, min(path || name) FROM files JOIN folders USING (folder) "
        "WHERE reason IS NULL AND content IN (SELECT content FROM contents WHERE NOT described) "
        "GROUP BY content"
    )
    if not pending:
        return
    with progress(len(pending)) as bar:
        for first in range(0, len(pending), _AT_ONCE):
            some = list(_read(folder, pending[first : first + _AT_ONCE], bar))
            with database.writing() as connection:
                for described in some:
                    _write(connection, described)


def as_iso_date(text: str) -> str | None:
    """Write as much of a date as is certain as YYYY-MM-DD; None if there is no year.

    Examples
    --------
    >>> [as_iso_date(text) for text in ("2005-07-03T12:00", "2005:07", "20050703", "July 2005")]
    ['2005-07-03', '2005-07', '2005-07-03', '2005-07']
    >>> [as_iso_date(text) for text in ("Sun Jul  3 12:00:00 2005", "3/7/2005", "3.7.05")]
    ['2005-07', '2005', None]

    """
    if match := _DATE.match(text.strip()):
        year, _, *rest = match.groups()
        return "-".join(filter(None, [year, *rest]))
    year, month = _YEAR.search(text), _MONTH.search(text)
    if year and month:
        return f"{year[0]}-{_MONTHS.index(month[1].lower()) + 1:02}"
    return year[0] if year else None


def _read(folder: Path, pending: list[tuple[int, str]], bar: Any) -> Iterator[_Described]:
    for content, name in pending:
        path = folder / name
        with contextlib.suppress(UnusableSound, UnreadableError):  # reported when it is tagged
            with open_sound(path, accept_truncated=True) as sound:
                form = (sound.samplerate, sound.channels, sound.container)
            yield _Described(content, *form, read_metadata(path))
        bar.update(1)


def _write(connection: Connection, described: _Described) -> None:
    content, rate, channels, form, metadata = described
    first = dict(reversed(metadata.fields))  # of several texts with one name
    date, *others = map(first.get, _FIELDS)
    connection.execute(
        "UPDATE contents SET described = 1, rate = ?, channels = ?, format = ?, date = ?, "
        "description = ?, ucs = ifnull(ucs, ?) WHERE content = ?",
        (rate, channels, form, date and as_iso_date(date), *others, content),
    )
    markers = [("marker", f"{seconds:.3f} {label}") for seconds, label in metadata.markers]
    faults = [("fault", note) for note in metadata.notes]
    connection.execute("DELETE FROM metadata WHERE content = ?", (content,))
    connection.executemany(
        "INSERT INTO metadata (content, field, value) VALUES (?, ?, ?)",
        [(content, *pair) for pair in (*metadata.fields, *markers, *faults)],
    )
    update_words(connection, content)
