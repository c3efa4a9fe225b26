"""The chunks of RIFF, RF64, Wave64 and AIFF files, found without reading what they hold."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from utils.audio.metadata.gathering import Gathering
from utils.audio.parts import Part

_MOST_CHUNKS = 5000


class Layout(NamedTuple):
    """How a format writes its chunks: a header (name and size), the content, padding."""

    header: struct.Struct
    first: int  # where the first chunk begins
    unit: int = 2  # bytes, to which a chunk is padded
    size_of_all: bool = False  # the size counts the header
    sizes: dict[bytes, int] = {}  # noqa: RUF012 - of chunks whose header says `unknown_size`
    unknown_size: int = -1


class Chunk(NamedTuple):
    """A chunk: its name, the place of its content in the file, and the size."""

    name: bytes
    place: int
    size: int

    def __str__(self) -> str:
        """Name it for a note."""
        return f"{self.name[:4].decode('latin-1').strip()} at byte {self.place}"


def walk(
    file: Part, layout: Layout, found: Gathering, *, inside: str = "the file"
) -> Iterator[Chunk]:
    """Find the chunks of a file, or of a part of it, up to its end or where none begins.

    A chunk that goes beyond the end has the size that is there, and is noted; `inside` is the name
    of the part in notes.
    """
    place = layout.first
    for _ in range(_MOST_CHUNKS):
        header = file.read_at(place, layout.header.size)
        if len(header) < layout.header.size:
            return
        name, size = layout.header.unpack(header)
        content = place + layout.header.size
        if size == layout.unknown_size:
            size = layout.sizes.get(name, size)
        size -= layout.header.size if layout.size_of_all else 0
        if not is_name(name) or size < 0:
            found.note(f"no chunk begins at byte {place}; the rest of {inside} is not read")
            return
        chunk = Chunk(name, content, size)
        left = file.size - content
        if size > left:
            found.note(f"{chunk} is {size} bytes long, but {inside} ends after {left} of them")
            chunk = chunk._replace(size=left)
        yield chunk
        place = _next(file, layout, chunk, size)
    found.note(f"{inside} has more than {_MOST_CHUNKS} chunks; the others are not read")


def read(file: Part, chunk: Chunk, found: Gathering) -> bytes:
    """Read a chunk, or the beginning of a long one, which is noted."""
    return file.read_at(chunk.place, found.bytes_to_read(chunk.size, str(chunk)))


def is_name(name: bytes) -> bool:
    """Return whether this may be the name of a chunk; those of Wave64 are never printable."""
    return len(name) > 4 or all(0x20 <= byte < 0x7F for byte in name)


def _next(file: Part, layout: Layout, chunk: Chunk, size: int) -> int:
    """Return where the chunk after one of this size begins: some files leave out the padding."""
    end = chunk.place + size
    padding = -size % layout.unit
    header = file.read_at(end, layout.header.size) if padding else b""
    if layout.unit == 2 and len(header) == layout.header.size and header[0]:
        name, size = layout.header.unpack(header)
        if is_name(name) and end + len(header) + size <= file.size:
            return end
    return end + padding
