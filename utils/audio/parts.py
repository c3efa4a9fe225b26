"""Files that were put one after another into one file: where each begins.

``cat a.mp3 b.mp3`` makes such a file, and so does a radio station's recorder in Ogg ("chained").
Decoders stop at the joint, or count what is there for the first file alone for sound.
"""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_SCANNED_AT_ONCE = 2**20  # bytes
_ZEROS, _MOST_ZEROS = 4096, 2**24
_LONGEST_MATCH = 64  # bytes, of the patterns below
# The first page of an Ogg stream. Streams that begin together, as of a film, are one file.
_OGG_START = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")
_OGG_HEADER = 27  # bytes, and one more for each segment
_LONGEST_PAGE = 2**16
# The frame with which an encoder describes a whole mp3: its header, side information, the name.
_MP3_START = re.compile(
    rb"\xff[\xe2-\xff][\x10-\xef].(?:(?:.{9}|.{17}|.{32})(?:Xing|Info)|.{32}VBRI)", re.DOTALL
)
_ID3 = re.compile(rb"ID3[\x02-\x04][\x00-\x0f].[\x00-\x7f]{4}", re.DOTALL)
_ID3_HEADER = 10  # bytes


class Part(io.RawIOBase):
    """A range of bytes of an open file, to read as a file of its own.

    The place of the file itself is neither used nor changed.
    """

    def __init__(self, file: BinaryIO, start: int = 0, end: int | None = None) -> None:
        super().__init__()
        self._file, self._start, self._place = file, start, 0
        try:
            self._number = file.fileno()
        except OSError:  # in memory
            self._number = None
            size = file.seek(0, os.SEEK_END)
        else:
            size = os.fstat(self._number).st_size
        self.size = (size if end is None else min(end, size)) - start

    def read(self, count: int = -1) -> bytes:
        """Read up to so many bytes, or all that are left."""
        left = max(0, self.size - self._place)
        count = left if count < 0 else min(count, left)
        if self._number is None:
            self._file.seek(self._start + self._place)
            content = self._file.read(count)
        else:
            content = os.pread(self._number, count, self._start + self._place)
        self._place += len(content)
        return content

    def part(self, start: int, end: int) -> "Part":
        """Return a range of bytes of this range."""
        return Part(self._file, self._start + start, self._start + end)

    def read_at(self, place: int, count: int) -> bytes:
        """Read up to so many bytes from a place."""
        self.seek(place)
        return self.read(count)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted as by `io.IOBase.seek`."""
        self._place = offset + (0, self._place, self.size)[whence]
        return self._place

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._place

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True


@dataclass(frozen=True)
class Parts:
    """Where files begin that were put together, and what else was seen on the way.

    Attributes
    ----------
    starts : list of int
        In bytes.
    described : list of bool
        Whether each says itself how long it is.
    complete : bool
        Whether the last one has its end.

    """

    starts: list[int]
    described: list[bool]
    complete: bool = True


def leading_zeros(file: Part) -> int:
    """Return how many zeros are in front of a file, in thousands; the rest does no harm."""
    place = 0
    while place < _MOST_ZEROS and not any(block := file.read_at(place, _ZEROS)) and block:
        place += len(block)
    return place


def find_ogg(file: Part) -> Parts:
    """Find the files of a chained Ogg file."""
    starts, end_of_page = [0], None
    for place in _places(file, _OGG_START):
        if place and place != end_of_page:
            starts.append(place)
        end_of_page = _end_of_page(file, place)
    tail = max(0, file.size - _LONGEST_PAGE)
    last = tail + file.read_at(tail, _LONGEST_PAGE).rfind(b"OggS\x00")
    return Parts(starts, [True] * len(starts), _end_of_page(file, last) <= file.size)


def find_mp3(file: Part, first_sound: int) -> Parts:
    """Find the files of a joined mp3 file; `first_sound` is a place after the start of the first.

    Only those are found that begin with tags or a frame that describes them.
    """
    tags = {}  # by the end of each
    for place in _places(file, _ID3):
        end = place + _ID3_HEADER + _syncsafe(file.read_at(place, _ID3_HEADER)[6:])
        if re.match(rb"\xff[\xe2-\xff]", file.read_at(end, 2)):
            tags[end] = place
    frames = list(_places(file, _MP3_START))
    begins = dict.fromkeys(tags.values(), False)  # whether a describing frame is there, too
    begins |= {tags.get(frame, frame): True for frame in frames}
    starts = sorted(begins)
    # The first file may have more than one tag, or something else in front.
    first = max((place for place in starts if place <= first_sound), default=0)
    starts = [first, *(place for place in starts if place > first_sound)]
    return Parts(starts, [begins.get(place, False) for place in starts])


def _places(file: Part, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Find all matches of a pattern, at most `_LONGEST_MATCH` long, which do not overlap."""
    kept, place, found = b"", 0, -1
    while block := file.read_at(place, _SCANNED_AT_ONCE):
        before = place - len(kept)
        content = kept + block
        place += len(block)
        for match in pattern.finditer(content):
            if before + match.start() > found:
                found = before + match.start()
                yield found
        kept = content[-_LONGEST_MATCH:]


def _end_of_page(file: Part, place: int) -> int:
    header = file.read_at(place, _OGG_HEADER + 255)
    if len(header) < _OGG_HEADER:
        return file.size + 1
    lengths = header[_OGG_HEADER : _OGG_HEADER + header[_OGG_HEADER - 1]]
    return place + _OGG_HEADER + len(lengths) + sum(lengths)


def _syncsafe(number: bytes) -> int:
    """Read four bytes of seven bits each."""
    return sum(byte << shift for byte, shift in zip(number, (21, 14, 7, 0), strict=True))
