"""Texts and markers of a sound file as they are found, within limits."""

import re
from typing import NamedTuple

from utils.runtime.errors import printable

_MOST_FIELDS, _MOST_MARKERS, _MOST_NOTES = 500, 5000, 20
_MOST_CHARACTERS = 10_000  # of a text
_MOST_BYTES, _MOST_BYTES_OF_ALL = 2**20, 2**24  # of a chunk, and of all chunks of a file
_UTF16_LE, _UTF16_BE = re.compile(rb"(?:[^\0]\0){2}"), re.compile(rb"(?:\0[^\0]){2}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")


class Marker(NamedTuple):
    """A place in a sound that has a name."""

    seconds: float
    label: str  # may be empty


class SoundMetadata(NamedTuple):
    """What a sound file says about itself.

    Attributes
    ----------
    fields : tuple of (str, str)
        Name and text, in the order of the file. A name may occur several times, with different
        texts. Known tags have one name in all formats: title, artist, album, comment, genre, date
        (in any form; from `bext` YYYY-MM-DD), time (HH:MM:SS), description, originator,
        originator_reference, time_reference (a decimal number: seconds after midnight at which the
        sound begins; times the sample rate, rounded, it is exact), coding_history, project, scene,
        take, tape, note, track_name, keywords, software, category, subcategory, cat_id, fx_name,
        library, designer, microphone, location, copyright, url, marker (a label without a place)
        ... Others have the name that they have in the file, in lower case.
    markers : tuple of Marker
        In the order of time.
    notes : tuple of str
        What could not be read, and where; empty if all is well.

    """

    fields: tuple[tuple[str, str], ...]
    markers: tuple[Marker, ...]
    notes: tuple[str, ...]


class Gathering:
    """Collects what is found in one file."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, str], None] = {}
        self._markers: dict[Marker, None] = {}
        self._notes: dict[str, None] = {}
        self._bytes_left = _MOST_BYTES_OF_ALL

    def add(self, name: str, text: str | bytes) -> None:
        """Add a text under a name, unless it is empty or known."""
        text = self._readable(text, name)
        if not text:
            return
        if len(self._fields) < _MOST_FIELDS:
            self._fields[name, text] = None
        else:
            self.note(f"there are more than {_MOST_FIELDS} texts; the others are not read")

    def mark(self, seconds: float, label: str | bytes) -> None:
        """Add a marker."""
        if len(self._markers) < _MOST_MARKERS:
            self._markers[Marker(seconds, self._readable(label, "marker"))] = None
        else:
            self.note(f"there are more than {_MOST_MARKERS} markers; the others are not read")

    def bytes_to_read(self, size: int, where: str) -> int:
        """Return how much of a chunk of this size may be read; if not all of it, note that."""
        most = min(size, _MOST_BYTES, self._bytes_left)
        self._bytes_left -= most
        if most < size:
            self.note(f"{where} is {size} bytes long; the first {most} are read")
        return most

    def note(self, text: str) -> None:
        """Note what could not be read."""
        if len(self._notes) < _MOST_NOTES:
            self._notes[printable(text)] = None

    def result(self) -> SoundMetadata:
        """Return all that was found."""
        markers = sorted(self._markers, key=lambda marker: marker.seconds)
        return SoundMetadata(tuple(self._fields), tuple(markers), tuple(self._notes))

    def _readable(self, text: str | bytes, name: str) -> str:
        text = decoded(text) if isinstance(text, bytes) else text
        if len(text) > _MOST_CHARACTERS:
            self.note(f"{name} has {len(text)} characters; the first {_MOST_CHARACTERS} are read")
            text = text[:_MOST_CHARACTERS]
        text = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
        return text.encode(errors="replace").decode()  # no lone surrogates


def decoded(text: bytes) -> str:
    r"""Decode a text up to its first NUL, in the encoding that it seems to have.

    UTF-16 is recognised by its byte-order mark or by the NULs of its first two characters. A text
    that is not UTF-8 is taken for Windows-1252, and what is undefined there for Latin-1.

    Examples
    --------
    >>> decoded("Gerät\0\0".encode()), decoded("Gerät".encode("latin-1"))
    ('Gerät', 'Gerät')
    >>> decoded("Gerät".encode("utf-16")), decoded("Gerät".encode("utf-16-be"))
    ('Gerät', 'Gerät')

    """
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _to_nul(text.decode("utf-16", errors="replace"))
    if _UTF16_LE.match(text):
        return _to_nul(text.decode("utf-16-le", errors="replace"))
    if _UTF16_BE.match(text):
        return _to_nul(text.decode("utf-16-be", errors="replace"))
    text = text.partition(b"\0")[0]
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return text.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text.decode("latin-1")


def seconds_text(seconds: float) -> str:
    """Write a number of seconds exactly enough for a sample of any usual rate.

    Examples
    --------
    >>> seconds_text(43_200.5), seconds_text(1 / 48_000)
    ('43200.5', '0.000021')

    """
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _to_nul(text: str) -> str:
    return text.partition("\0")[0]
