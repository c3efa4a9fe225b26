"""RIFF, RF64 and Wave64: `bext`, `iXML`, LIST/INFO, `cue ` with LIST/adtl, `id3 `.

Sources: EBU Tech 3285 (`bext`), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), Microsoft, "Multimedia
Programming Interface and Data Specifications 1.0" (LIST, `cue `).
"""

import io
import re
import struct
from collections import defaultdict

from utils.audio.metadata import chunks
from utils.audio.metadata.chunks import Layout
from utils.audio.metadata.gathering import Gathering, decoded, seconds_text
from utils.audio.metadata.ixml import read_ixml
from utils.audio.parts import Part

_RIFF = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}  # and the order of bytes
_WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_READ = {b"fmt ", b"bext", b"iXML", b"LIST", b"cue "}
_UNKNOWN_SIZE = 2**32 - 1
_BEXT = (
    ("description", 0, 256),
    ("originator", 256, 32),
    ("originator_reference", 288, 32),
    ("date", 320, 10),
    ("time", 330, 8),
)
_TIME_REFERENCE, _HISTORY = 338, 602  # places in `bext`
_INFO = {
    b"IART": "artist",
    b"ICMT": "comment",
    b"ICOP": "copyright",
    b"ICRD": "date",
    b"IENG": "engineer",
    b"IGNR": "genre",
    b"IKEY": "keywords",
    b"IMED": "medium",
    b"INAM": "title",
    b"IPRD": "album",
    b"IPRT": "track",
    b"ISBJ": "description",
    b"ISFT": "software",
    b"ISRC": "source",
    b"ITCH": "engineer",
    b"ITRK": "track",
    b"IWEB": "url",
    b"TAPE": "tape",
}
_DATE = re.compile(r"(\d{4})[^\d](\d\d)[^\d](\d\d)")
_TIME = re.compile(r"(\d\d)[^\d](\d\d)[^\d](\d\d)")


def is_riff(head: bytes) -> bool:
    """Return whether a file that begins so is a wav of 32 or 64 bits."""
    return head.startswith(_WAVE64) or (head[:4] in _RIFF and head[8:12] == b"WAVE")


def read_riff(file: Part, found: Gathering) -> Part | None:
    """Add what the chunks say; returns the ID3 tag if there is one."""
    layout, order = _layout(file, found)
    contents: dict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
    id3 = None
    for chunk in chunks.walk(file, layout, found):
        name = b"LIST" if chunk.name[:4] == b"list" else chunk.name[:4]
        if name in _READ:
            contents[name].append((str(chunk), chunks.read(file, chunk, found)))
        elif name.lower() == b"id3 ":
            id3 = file.part(chunk.place, chunk.place + chunk.size)
    for name in (b"bext", b"iXML"):
        if len(contents[name]) > 1:
            found.note(f"{len(contents[name])} chunks are called {name.decode()}; all are read")
    rate = _rate(contents[b"fmt "], order)
    for where, content in contents[b"bext"]:
        _read_bext(content, where, rate, order, found)
    for where, content in contents[b"iXML"]:
        read_ixml(content, where, found)
    labels: dict[int, list[bytes]] = defaultdict(list)
    for where, content in contents[b"LIST"]:
        _read_list(content, where, order, labels, found)
    for where, content in contents[b"cue "]:
        _read_cues(content, where, rate, order, labels, found)
    for texts in labels.values():  # those without a cue
        for text in texts:
            found.add("marker", text)
    return id3


def _layout(file: Part, found: Gathering) -> tuple[Layout, str]:
    """Return how the chunks are written, and the order of bytes."""
    head = file.read_at(0, 4)
    if head == _WAVE64[:4]:
        return Layout(struct.Struct("<16sq"), first=40, unit=8, size_of_all=True), "<"
    order = _RIFF[head]
    layout = Layout(struct.Struct(order + "4sI"), first=12, unknown_size=_UNKNOWN_SIZE)
    if head in (b"RF64", b"BW64"):
        layout = layout._replace(sizes=_long_sizes(file, found))
    return layout, order


def _long_sizes(file: Part, found: Gathering) -> dict[bytes, int]:
    """Read `ds64`: the sizes of chunks that 32 bits cannot express."""
    name, size = struct.unpack("<4sI", file.read_at(12, 8).ljust(8, b"\0"))
    content = file.read_at(20, min(size, 2**16))
    if name != b"ds64" or len(content) < 28:
        found.note("the file has no ds64 chunk, which has the sizes of the others")
        return {}
    _, data, _, entries = struct.unpack_from("<QQQI", content)
    whole = content[28 : 28 + min(entries, (len(content) - 28) // 12) * 12]
    return {b"data": data, **dict(struct.iter_unpack("<4sQ", whole))}


def _rate(formats: list[tuple[str, bytes]], order: str) -> int:
    """Return the sample rate in Hz, or 0 if the file has none."""
    _, content = formats[0] if formats else ("", b"")
    return struct.unpack_from(order + "I", content, 4)[0] if len(content) >= 8 else 0


def _read_bext(content: bytes, where: str, rate: int, order: str, found: Gathering) -> None:
    if len(content) < _HISTORY:
        found.note(f"{where} is {len(content)} bytes long, and should have at least {_HISTORY}")
    for name, place, size in _BEXT:
        text = decoded(content[place : place + size])
        if text.strip("0-:_/. "):  # a date of zeros is none
            found.add(name, _standard(name, text))
    reference = content[_TIME_REFERENCE : _TIME_REFERENCE + 8]
    samples = struct.unpack(order + "Q", reference)[0] if len(reference) == 8 else 0
    if samples and rate:
        found.add("time_reference", seconds_text(samples / rate))
    elif samples:
        found.note(f"{where}: the time reference cannot be read without a sample rate")
    found.add("coding_history", content[_HISTORY:])


def _standard(name: str, text: str) -> str:
    """Write a date or a time of `bext`, whose numbers may be separated by several characters."""
    if name == "date" and (match := _DATE.fullmatch(text)):
        return "-".join(match.groups())
    if name == "time" and (match := _TIME.fullmatch(text)):
        return ":".join(match.groups())
    return text


def _read_list(
    content: bytes, where: str, order: str, labels: dict[int, list[bytes]], found: Gathering
) -> None:
    """Add the texts of LIST/INFO; gather those of LIST/adtl by the number of the cue."""
    kind, inside = content[:4], Part(io.BytesIO(content))
    if kind not in (b"INFO", b"adtl"):
        return
    layout = Layout(struct.Struct(order + "4sI"), first=4)
    for chunk in chunks.walk(inside, layout, found, inside=where):
        text = chunks.read(inside, chunk, found)
        if kind == b"INFO":
            found.add(_INFO.get(chunk.name, chunk.name.decode().strip().lower()), text)
            continue
        skipped = {b"labl": 4, b"note": 4, b"ltxt": 20}.get(chunk.name)
        if skipped and len(text) >= 4 and text[skipped:].strip(b"\0"):
            labels[struct.unpack_from(order + "I", text)[0]].append(text[skipped:])


def _read_cues(
    content: bytes,
    where: str,
    rate: int,
    order: str,
    labels: dict[int, list[bytes]],
    found: Gathering,
) -> None:
    """Add a marker for each cue, and take its labels away."""
    cue = struct.Struct(order + "II4sIII")
    (count,) = struct.unpack(order + "I", content[:4].ljust(4, b"\0"))
    there = (len(content) - 4) // cue.size
    if count > there:
        found.note(f"{where} should have {count} cues, and has {max(0, there)}")
    if not rate:
        found.note(f"{where} cannot be read without a sample rate")
        return
    for number, position, _, _, _, offset in cue.iter_unpack(
        content[4 : 4 + min(count, max(0, there)) * cue.size]
    ):
        for label in labels.pop(number, None) or [b""]:
            found.mark((offset or position) / rate, label)
