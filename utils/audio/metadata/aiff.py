"""AIFF and AIFF-C: NAME, AUTH, (c), ANNO, COMT, MARK, `ID3 `.

Source: Apple, "Audio Interchange File Format", version 1.3. The order of bytes is big-endian.
"""

import struct
from collections import defaultdict

from utils.audio.metadata import chunks
from utils.audio.metadata.chunks import Layout
from utils.audio.metadata.gathering import Gathering
from utils.audio.metadata.ixml import read_ixml
from utils.audio.parts import Part

_LAYOUT = Layout(struct.Struct(">4sI"), first=12)
_TEXTS = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}
_READ = {*_TEXTS, b"COMM", b"COMT", b"MARK", b"iXML"}


def is_aiff(head: bytes) -> bool:
    """Return whether a file that begins so is an AIFF."""
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def read_aiff(file: Part, found: Gathering) -> Part | None:
    """Add what the chunks say; returns the ID3 tag if there is one."""
    contents: dict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
    id3 = None
    for chunk in chunks.walk(file, _LAYOUT, found):
        if chunk.name in _READ:
            contents[chunk.name].append((str(chunk), chunks.read(file, chunk, found)))
        elif chunk.name.upper() == b"ID3 ":
            id3 = file.part(chunk.place, chunk.place + chunk.size)
    for name, field in _TEXTS.items():
        for _, content in contents[name]:
            found.add(field, content)
    for where, content in contents[b"iXML"]:
        read_ixml(content, where, found)
    for where, content in contents[b"COMT"]:
        _read_comments(content, where, found)
    rate = _rate(contents[b"COMM"])
    for where, content in contents[b"MARK"]:
        _read_markers(content, where, rate, found)
    return id3


def _rate(common: list[tuple[str, bytes]]) -> float:
    """Return the sample rate in Hz, an 80-bit float in the file; 0 if there is none."""
    _, content = common[0] if common else ("", b"")
    if len(content) < 18:
        return 0
    exponent, mantissa = struct.unpack_from(">HQ", content, 8)
    power = (exponent & 0x7FFF) - 16383 - 63
    return mantissa * 2.0**power if -100 < power < 0 else 0


def _read_comments(content: bytes, where: str, found: Gathering) -> None:
    """Add comments, each with a date, the number of a marker, and a text."""
    (count,) = struct.unpack(">H", content[:2].ljust(2, b"\0"))
    place = 2
    for number in range(count):
        header = content[place : place + 8]
        size = struct.unpack(">H", header[6:])[0] if len(header) == 8 else 1
        text = content[place + 8 : place + 8 + size]
        found.add("comment", text)
        if len(text) < size:
            found.note(f"{where} should have {count} comments, and ends within number {number + 1}")
            return
        place += 8 + size + size % 2


def _read_markers(content: bytes, where: str, rate: float, found: Gathering) -> None:
    """Add markers, each with a number, a position in samples, and a name (a Pascal string)."""
    if not rate:
        found.note(f"{where} cannot be read without a sample rate")
        return
    (count,) = struct.unpack(">H", content[:2].ljust(2, b"\0"))
    place = 2
    for number in range(count):
        header = content[place : place + 7]
        if len(header) < 7:
            found.note(f"{where} should have {count} markers, and has {number}")
            return
        _, position, size = struct.unpack(">HIB", header)
        found.mark(position / rate, content[place + 7 : place + 7 + size])
        place += 7 + size + (size + 1) % 2
