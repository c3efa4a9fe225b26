"""Sounds of a library for the browser: opened safely, decoded if needed, sent in ranges."""

import logging
import os
import stat
import tempfile
import threading
import wave
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from utils.audio.sound import Sound
from utils.audio.sound_file import UnusableSound, open_sound
from utils.search.web.cache import LruCache
from utils.search.web.guard import Refusal

_log = logging.getLogger(__name__)

_BLOCK_NUMBERS = 2**18  # decoded at a time, all channels together; bounds the memory
_WAV_HEADER = 44  # bytes
_LARGEST_WAV = 2**32 - 1  # bytes
_COPIES = 2**32  # bytes of decoded copies on the disk
# What every browser plays: by container, codecs and media type.
_PLAYABLE = {
    "wav": ({"pcm_16", "pcm_u8"}, "audio/wav"),
    "mp3": ({"mp3"}, "audio/mpeg"),
    "ogg": ({"vorbis", "opus"}, "audio/ogg"),
    "flac": ({"flac"}, "audio/flac"),
}
_PLAYABLE_CHANNELS = 2


def open_below(folder: Path, name: str) -> BinaryIO:
    """Open a file of a resolved folder, and nothing outside it, even if symlinks have changed.

    Symlinks are followed while they stay in the folder.

    Raises
    ------
    Refusal
        410 if the file is missing, 404 if it is not a regular file or leads out of the folder.

    """
    try:
        place = (folder / name).resolve(strict=True).relative_to(folder)
        return _descend(folder, place.parts)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal(410, f"{as_utf8(name)} is missing. Look for new sounds.") from None
    except (OSError, RuntimeError, ValueError):  # unreadable, a loop of links, out of the folder
        text = f"{as_utf8(name)} can no longer be opened as a file of this folder."
        raise Refusal(404, text) from None


def _descend(folder: Path, parts: tuple[str, ...]) -> BinaryIO:
    """Open one folder after the other, so that no symlink can be slipped in on the way."""
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
        raise ValueError("not a regular file")
    return file


def as_utf8(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def version_of(file: BinaryIO) -> str:
    """Distinguish the contents of an open file by size and time."""
    status = os.fstat(file.fileno())
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


class Delivery:
    """Sends sounds as they are if browsers play them, else as 16-bit wav copies.

    A copy is decoded once, to a temporary file without a name, which disappears with the process.
    If all copies exceed 4 GB, the least recently used are deleted.
    """

    def __init__(self) -> None:
        self._copies = LruCache(_COPIES)
        self._lock = threading.Lock()

    def respond(
        self, file: BinaryIO, name: str, request: Headers, *, decode: bool = False
    ) -> Response:
        """Answer a request for a sound, or for ranges of it.

        Parameters
        ----------
        file : binary file
            The sound; closed at the end.
        name : str
            Of the file, in the folder of sounds.
        request : Headers
        decode : bool
            Send a copy even if browsers should be able to play the file.

        Raises
        ------
        UnusableSound
            If the file is not a sound any more.
        Refusal
            507 if there is not enough room for a copy.

        """
        with file:
            sent, version = file, version_of(file)
            with open_sound(Path(as_utf8(name)), source=file, accept_truncated=True) as sound:
                codecs, media_type = _PLAYABLE.get(sound.container, (set(), ""))
                playable = sound.codec in codecs and sound.channels <= _PLAYABLE_CHANNELS
                if not playable or not sound.indexed:
                    decode = True
                if decode:
                    with self._lock:
                        copy = self._copies.get((name, version), lambda: _WavCopy(sound))
            if decode:
                sent, media_type = copy.decoded(file, name), "audio/wav"
                version += "-decoded"
            headers = {"cache-control": "private, no-cache", "etag": f'"{version}"'}
            if request.get("if-none-match") == headers["etag"] and "range" not in request:
                return Response(status_code=304, headers=headers)
            return _OpenFileResponse(sent, headers, media_type)


class _OpenFileResponse(FileResponse):
    """Sends an open file, because its name may lead to another by now."""

    def __init__(self, file: BinaryIO, headers: dict[str, str], media_type: str) -> None:
        self._file = os.fdopen(os.dup(file.fileno()), "rb")
        place, status = f"/proc/self/fd/{self._file.fileno()}", os.fstat(file.fileno())
        super().__init__(place, headers=headers, media_type=media_type, stat_result=status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        with self._file:
            await super().__call__(scope, receive, send)


class _WavCopy:
    """A sound as a 16-bit wav file, decoded when it is first needed.

    Of more than two channels the mean is taken, because browsers differ in what they do with them.
    What does not fit into a wav file (4 GB) is left out.
    """

    def __init__(self, sound: Sound) -> None:
        self._rate = sound.samplerate
        self._channels = sound.channels if sound.channels <= _PLAYABLE_CHANNELS else 1
        frames = sound.count() if sound.frames is None else sound.frames
        self._frames = min(frames, (_LARGEST_WAV - _WAV_HEADER) // (2 * self._channels))
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        """Return the size in bytes."""
        return _WAV_HEADER + 2 * self._channels * self._frames

    def decoded(self, source: BinaryIO, name: str) -> BinaryIO:
        """Return the file; other requests for it wait while it is decoded."""
        with self._lock:
            if self._file is None:
                try:
                    self._file = self._decode(source, name)
                except OSError as error:
                    text = f"cannot decode {as_utf8(name)}: {error.strerror}. Free some space in "
                    raise Refusal(507, f"{text}{tempfile.gettempdir()}.") from None
                weakref.finalize(self, self._file.close)
            return self._file

    def _decode(self, source: BinaryIO, name: str) -> BinaryIO:
        with tempfile.TemporaryFile(prefix="decoded-") as file:
            with wave.open(file, "wb") as wav:
                wav.setparams((self._channels, 2, self._rate, self._frames, "NONE", ""))
                for block in self._blocks(source, name):
                    wav.writeframesraw(block)
            file.flush()
            return os.fdopen(os.dup(file.fileno()), "rb")

    def _blocks(self, source: BinaryIO, name: str) -> Iterator[bytes]:
        left = self._frames
        path = Path(as_utf8(name))
        try:
            with open_sound(path, source=source, accept_truncated=True) as sound:
                most = max(1, _BLOCK_NUMBERS // sound.channels)
                while len(samples := sound.read(min(left, most))):
                    left -= len(samples)
                    if sound.channels != self._channels:
                        samples = samples.mean(axis=1, keepdims=True)
                    # What is louder than full scale is clipped, and NaN becomes silence.
                    samples = np.clip(np.nan_to_num(samples), -1, 1)
                    yield (samples * 32_767).round().astype("<i2").tobytes()
        except UnusableSound as error:
            _log.warning("while it was decoded: %s", error)
        while left:  # the rest of a damaged file is silence
            count = min(left, _BLOCK_NUMBERS)
            left -= count
            yield bytes(2 * self._channels * count)
