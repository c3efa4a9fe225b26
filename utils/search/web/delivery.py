"""Sounds of a library for the browser: opened safely, decoded where it cannot, sent in ranges."""

import contextlib
import logging
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from utils.audio.sound_file import UnusableSound, open_sound
from utils.search.web.guard import Refusal

_log = logging.getLogger(__name__)

_CHUNK = 2**18  # bytes that are read and sent at a time
_WAV_HEADER = 44  # bytes
_LARGEST_WAV = 2**32 - 1
# What every browser plays: by container, subtypes and media type.
_PLAYABLE = {
    "WAV": ({"PCM_16", "PCM_U8"}, "audio/wav"),
    "WAVEX": ({"PCM_16", "PCM_U8"}, "audio/wav"),
    "MP3": ({"MPEG_LAYER_III"}, "audio/mpeg"),
    "OGG": ({"VORBIS", "OPUS"}, "audio/ogg"),
    "FLAC": ({"PCM_S8", "PCM_16", "PCM_24"}, "audio/flac"),
}
_PLAYABLE_CHANNELS = 2


@dataclass(frozen=True)
class Content:
    """Bytes that a range can be taken of.

    Attributes
    ----------
    size : int
    media_type : str
    version : str
        Another one for other bytes.
    read : callable
        Start, end ─► pieces of the bytes between them.

    """

    size: int
    media_type: str
    version: str
    read: Callable[[int, int], Iterator[bytes]]


def open_below(folder: Path, name: str) -> BinaryIO:
    """Open a file of a folder, and nothing outside of it whatever has become a link since.

    Parameters
    ----------
    folder : Path
        Resolved.
    name : str
        Relative to it. Links are followed as far as they stay in the folder.

    Raises
    ------
    Refusal
        410 if there is no such file any more, 404 if it is no regular file or leads out.

    """
    try:
        place = (folder / name).resolve(strict=True).relative_to(folder)
        return _descend(folder, place.parts)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal(410, f"{shown(name)} is no longer there. Look for new sounds.") from None
    except (OSError, RuntimeError, ValueError):  # unreadable, a loop of links, out of the folder
        raise Refusal(
            404, f"{shown(name)} can no longer be opened as a file of this folder."
        ) from None


def _descend(folder: Path, parts: tuple[str, ...]) -> BinaryIO:
    """Open a file one folder after the other, so that no link can be slipped in on the way."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number, part in enumerate(parts):
        kind = os.O_DIRECTORY if number < len(parts) - 1 else os.O_NONBLOCK  # pipes do not wait
        parent = descriptor
        try:
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=parent)
        finally:
            os.close(parent)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("no regular file")
    return file


def shown(name: str) -> str:
    """Write a file name so that every text can hold it, also one that is not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def version_of(file: BinaryIO) -> str:
    """Tell a content of an open file from another, by size and time."""
    status = os.fstat(file.fileno())
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def as_content(file: BinaryIO, name: str, *, decode: bool = False) -> Content:
    """Make a sound playable.

    Parameters
    ----------
    file : binary file
        Read until the content is no longer needed.
    name : str
        For messages.
    decode : bool
        Also what browsers should be able to play.

    Returns
    -------
    Content
        The file as it is where browsers play it; else decoded to 16 bits, piece by piece where it
        is read.

    Raises
    ------
    UnusableSound
        If the file is no sound any more.

    """
    version = version_of(file)
    with open_sound(Path(shown(name)), source=file) as sound:
        subtypes, media_type = _PLAYABLE.get(sound.format, (set(), ""))
        plays = sound.subtype in subtypes and sound.channels <= _PLAYABLE_CHANNELS
        frames, rate, channels = sound.frames, sound.samplerate, sound.channels
    if plays and not decode:
        size = os.fstat(file.fileno()).st_size
        return Content(size, media_type, version, lambda *span: _stored(file, *span))
    wav = _Wav(file, name, frames, rate, channels)
    return Content(wav.size, "audio/wav", f"{version}-decoded", wav.read)


def _stored(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end and (data := file.read(min(_CHUNK, end - start))):
        start += len(data)
        yield data


class _Wav:
    """A sound as a 16-bit wav file that is decoded where it is read.

    Of more than two channels the mean is taken: browsers differ in what they do with them.
    """

    def __init__(self, file: BinaryIO, name: str, frames: int, rate: int, channels: int) -> None:
        self._file, self._name = file, name
        self._rate = rate
        self._channels = channels if channels <= _PLAYABLE_CHANNELS else 1
        self._frame_size = 2 * self._channels
        self._frames_at_once = max(1, _CHUNK // (4 * channels))
        self.size = _WAV_HEADER + self._frame_size * frames

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Decode the bytes from `start` to `end`."""
        if start < _WAV_HEADER:
            header = self._header()[start:end]
            yield header
            start += len(header)
        if start < end:
            first, skipped = divmod(start - _WAV_HEADER, self._frame_size)
            for data in self._decoded(first):
                yield data[skipped : skipped + end - start]
                start += len(data) - skipped
                skipped = 0
                if start >= end:
                    return

    def _decoded(self, first: int) -> Iterator[bytes]:
        """Decode from a frame on; never ends."""
        self._file.seek(0)
        try:
            with open_sound(Path(shown(self._name)), source=self._file) as sound:
                sound.seek(first)
                while len(samples := sound.read(self._frames_at_once, "float32", always_2d=True)):
                    if samples.shape[1] != self._channels:
                        samples = samples.mean(axis=1, keepdims=True)
                    # What is louder than full scale is clipped, and NaN is silence.
                    samples = np.clip(np.nan_to_num(samples), -1, 1)
                    yield (samples * 32_767).round().astype("<i2").tobytes()
        except UnusableSound as error:
            _log.warning("while it was played: %s", error)
        while True:  # the length is promised already: what a damaged file lacks is silence
            yield bytes(_CHUNK)

    def _header(self) -> bytes:
        data = min(self.size - _WAV_HEADER, _LARGEST_WAV - _WAV_HEADER)
        form = struct.pack("<4sI4s4sI", b"RIFF", data + _WAV_HEADER - 8, b"WAVE", b"fmt ", 16)
        rates = (self._rate, self._rate * self._frame_size, self._frame_size, 16)
        return form + struct.pack("<HHIIHH4sI", 1, self._channels, *rates, b"data", data)


def respond(content: Content, file: BinaryIO, request: Headers, *, head: bool) -> Response:
    """Answer a request for a content, or for one range of it; closes the file in the end."""
    etag = f'"{content.version}"'
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-type": content.media_type,
        "etag": etag,
    }
    start, end, status = 0, content.size, 200
    if_range = request.get("if-range")
    span = _asked_range(request.get("range"), content.size) if if_range in (None, etag) else None
    if request.get("if-none-match") == etag and span is None:
        file.close()
        return Response(status_code=304, headers=headers)
    if span is not None:
        start, end = span
        if start >= end:
            file.close()
            headers["content-range"] = f"bytes */{content.size}"
            return Response(status_code=416, headers=headers)
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{content.size}"
    headers["content-length"] = str(end - start)
    if head:
        file.close()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_closing(file, content.read(start, end)), status, headers)


def _closing(file: BinaryIO, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with contextlib.closing(file):
        yield from pieces


def _asked_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range header; None for none, for several ranges, and for what makes no sense.

    Empty where it lies outside the content. (RFC 9110, section 14.2: others may be ignored.)
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text or "")
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
