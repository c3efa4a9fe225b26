"""Tags of compressed sounds, through mutagen: ID3, Vorbis comments, MP4, ASF, APE.

mutagen is imported when it is needed: this takes a while.
"""

import errno
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from utils.audio.metadata.gathering import Gathering, seconds_text
from utils.audio.parts import Part
from utils.runtime.errors import first_line, out_of_memory

if TYPE_CHECKING:
    from mutagen.id3 import ID3, Frame

_MOST_BYTES = 2**26  # read of a file, with pictures
_NAMES = {
    "albumartist": "album_artist",
    "author": "artist",
    "comments": "comment",
    "composition": "title",
    "creation_time": "date",
    "desc": "description",
    "encoded_by": "software",
    "encoded-by": "software",
    "encoder": "software",
    "encodersettings": "software",
    "encodingsettings": "software",
    "keyword": "keywords",
    "organization": "publisher",
    "origination_date": "date",
    "origination_time": "time",
    "tool": "software",
    "tracknumber": "track",
    "website": "url",
    "year": "date",
}
# Pictures, loudness, and what an encoder writes for a decoder.
_SKIPPED = re.compile(
    r"metadata_block_picture|coverart|cover art|replaygain|r128_|itun|umid|waveformatextensible"
    r"|major_brand|minor_version|compatible_brands|handler_name|vendor_id|_statistics|duration$|language$|wmfsdk|deviceconformance"
)
_ID3 = {
    "TALB": "album",
    "TCOM": "composer",
    "TCON": "genre",
    "TCOP": "copyright",
    "TDOR": "original_date",
    "TDRC": "date",
    "TENC": "software",
    "TEXT": "lyricist",
    "TIT1": "grouping",
    "TIT2": "title",
    "TIT3": "description",
    "TKEY": "key",
    "TMED": "medium",
    "TPE1": "artist",
    "TPE2": "album_artist",
    "TPUB": "publisher",
    "TRCK": "track",
    "TSSE": "software",
    "USLT": "lyrics",
}
_MP4 = {
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "\xa9cmt": "comment",
    "\xa9day": "date",
    "\xa9gen": "genre",
    "\xa9grp": "grouping",
    "\xa9lyr": "lyrics",
    "\xa9nam": "title",
    "\xa9too": "software",
    "\xa9wrt": "composer",
    "aART": "album_artist",
    "cprt": "copyright",
    "desc": "description",
    "keyw": "keywords",
    "ldes": "description",
}
_ASF = {"albumtitle": "album", "description": "comment", "toolname": "software"}
_CHAPTER = re.compile(r"chapter(\d{3})")
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


class _Source(Part):
    """A range of a file for mutagen, which keeps the disk's errors and bounds what is read."""

    problem: OSError | None = None
    name = ""

    def __init__(self, file: Part) -> None:
        super().__init__(file)
        self._bytes_left = _MOST_BYTES

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.tell())
        self._bytes_left -= left if count < 0 else min(count, left)
        if self._bytes_left < 0:
            raise ValueError(f"they take more than {_MOST_BYTES} bytes")
        try:
            return super().read(count)
        except OSError as error:
            self.problem = error
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if (0, self.tell(), self.size)[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().seek(offset, whence)


def read_tags(file: Part, name: str, found: Gathering) -> bool:
    """Add the tags of a file with this name; returns whether mutagen understands it."""
    import mutagen

    source = _Source(file)
    # mutagen believes an ending more than the content; it says what is behind an ID3 tag.
    source.name = name if file.read_at(0, 3) == b"ID3" else ""
    try:
        sound = mutagen.File(source)
    except Exception as error:
        _note(error, "some tags", source, found)
        read_id3(file, found)  # it may be in front of what mutagen does not understand
        return False
    if sound is not None and sound.tags is not None:
        try:
            _add_tags(sound, found)
        except Exception as error:
            _note(error, "some tags", source, found)
    return sound is not None


def read_id3(file: Part, found: Gathering) -> None:
    """Add the texts of an ID3 tag at the beginning of a file, or of a part of it."""
    if file.read_at(0, 3) != b"ID3":
        return
    from mutagen.id3 import ID3

    source = _Source(file)
    try:
        _add_id3(ID3(source), found)
    except Exception as error:
        _note(error, "the ID3 tag", source, found)


def add_plain(pairs: Iterable[tuple[str, str]], rate: float, found: Gathering) -> None:
    """Add tags that are pairs of a name and a text, among them chapters as in Vorbis comments.

    A time reference is in samples there; `rate` in Hz is that of the sound, 0 if unknown.
    """
    starts: dict[str, float] = {}
    titles: dict[str, str] = {}
    for key, text in pairs:
        name = key.strip().lower()
        if match := _CHAPTER.match(name):
            if clock := _CLOCK.fullmatch(text.strip()):
                hours, minutes, seconds = map(float, clock.groups())
                starts[match[1]] = 3600 * hours + 60 * minutes + seconds
            elif name == match[0] + "name":
                titles[match[1]] = text
        elif name == "time_reference" and text.isdecimal() and len(text) < 20 and rate:
            if int(text):
                found.add(name, seconds_text(int(text) / rate))
        elif not _SKIPPED.match(name):
            found.add(_NAMES.get(name, name), text)
    for number, start in starts.items():
        found.mark(start, titles.get(number, ""))


def _add_tags(sound: object, found: Gathering) -> None:
    """Add the tags of a file, in the form that mutagen has for them."""
    from mutagen.apev2 import APEv2
    from mutagen.asf import ASFTags
    from mutagen.id3 import ID3
    from mutagen.mp4 import MP4Tags

    tags = sound.tags
    if isinstance(tags, ID3):
        _add_id3(tags, found)
    elif isinstance(tags, MP4Tags):
        _add_mp4(tags, found)
    elif isinstance(tags, ASFTags):
        for key, value in list(tags):
            name = key.lower().removeprefix("wm/")
            if isinstance(value.value, str):
                add_plain([(_ASF.get(name, name), value.value)], 0, found)
    elif isinstance(tags, APEv2):
        for key, value in tags.items():
            if value.kind == 0:  # text
                add_plain([(key, text) for text in value], 0, found)
    elif isinstance(tags, list):  # Vorbis comments
        add_plain(list(tags), getattr(sound.info, "sample_rate", 0), found)
    for chapter in getattr(sound, "chapters", None) or ():
        found.mark(float(chapter.start), chapter.title)


def _add_id3(tags: "ID3", found: Gathering) -> None:
    for frame in tags.values():
        if frame.FrameID == "CHAP":
            titles = [text for part in frame.sub_frames.getall("TIT2") for text in part.text]
            found.mark(frame.start_time / 1000, " ".join(titles))
        elif frame.FrameID in ("TXXX", "COMM"):
            name = frame.desc if frame.FrameID == "TXXX" else "comment"
            if not frame.desc.startswith("iTun"):
                add_plain([(name or "comment", str(text)) for text in frame.text], 0, found)
        else:
            for text in _texts(frame):
                found.add(_ID3.get(frame.FrameID, frame.FrameID.lower()), text)
    if tags.unknown_frames:
        found.note(f"{len(tags.unknown_frames)} frames of the ID3 tag are damaged or not known")


def _texts(frame: "Frame") -> list[str]:
    if frame.FrameID == "TCON":
        return frame.genres
    if frame.FrameID == "USLT":
        return [frame.text]
    if frame.FrameID[0] == "T":
        return [str(text) for text in frame.text]
    return []


def _add_mp4(tags: dict, found: Gathering) -> None:
    for key, values in tags.items():
        name = _MP4.get(key)
        free = key.startswith("----:")
        if free:
            name = key.rpartition(":")[2]
        for value in values if isinstance(values, list) else ():
            if isinstance(value, bytes) and free:
                add_plain([(name, value.decode(errors="replace"))], 0, found)
            elif isinstance(value, str):
                found.add(name or key.strip("\xa9").lower(), value)


def _note(error: Exception, what: str, source: _Source, found: Gathering) -> None:
    """Note what a library could not read; raise if the disk or the memory is to blame."""
    if source.problem:
        raise source.problem
    if out_of_memory(error):
        raise error
    found.note(f"{what} cannot be read ({first_line(error)})")
