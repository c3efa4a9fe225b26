"""Sounds of a library for the browser: opened safely, decoded if needed, sent in ranges."""

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from starlette.datastructures import Headers
from starlette.responses import (
    FileResponse,
    MalformedRangeHeader,
    RangeNotSatisfiable,
    Response,
)
from starlette.types import Receive, Scope, Send

from utils.audio.sound import Sound
from utils.audio.sound_file import open_sound
from utils.runtime.errors import is_shortage
from utils.search.web.busy import busy
from utils.search.web.cache import LruCache
from utils.search.web.guard import Refusal
from utils.search.web.playable import media_type
from utils.search.web.wav import (
    Content,
    FileContent,
    TooLong,
    WavCopy,
    WavView,
    fits_as_it_is,
    safe_weights,
)

_COPIES = 2**32  # bytes of decoded copies on the disk
_DECODED_AT_ONCE = 2  # sounds, to copies
_WAYS = 30_000  # fields of the ways that sounds are sent

Opened = Callable[[], AbstractContextManager[Sound]]


class _Way(NamedTuple):
    """How a sound is sent: as it is, or as a wav file that is decoded in parts or copied."""

    media_type: str
    is_decoded: bool
    is_copied: bool
    weights: NDArray[np.float32] | None = None  # of its channels: see `WavView`


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
    except (OSError, RuntimeError, ValueError) as error:  # unreadable, a loop, out of the folder
        if is_shortage(error):
            raise busy(error) from None
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


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes browsers keep an answer as a file of this name."""
    return {"content-disposition": f"attachment; filename*=utf-8''{quote(as_utf8(name), safe='')}"}


def send_file(file: BinaryIO, name: str) -> Response:
    """Answer with a sound file as it is, to be kept; it is closed at the end."""
    headers = {"cache-control": "private, no-cache", **attachment(Path(name).name)}
    with contextlib.ExitStack() as held:
        held.callback(file.close)
        content, status = FileContent(file), os.fstat(file.fileno())
        return _ContentResponse(
            content, headers, "application/octet-stream", status, held.pop_all()
        )


class Delivery:
    """Sends sounds as they are if browsers play them, else as 16-bit wav files.

    The wav file of a sound that cannot be sought in is decoded once, to a temporary file without a
    name, which disappears with the process. If all these copies exceed 4 GB, the least recently
    used are deleted, once they have been sent. With `safe_mono`, too many channels become the one
    that a search with ``mono: safe`` hears, else their mean.
    """

    def __init__(self, *, safe_mono: bool = False) -> None:
        self._safe_mono = safe_mono
        self._ways = LruCache(_WAYS)
        self._copies = LruCache(_COPIES)
        self._decoding = threading.Semaphore(_DECODED_AT_ONCE)

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
            Send a wav file even if browsers should be able to play the sound.

        Raises
        ------
        UnusableSound
            If the file is not a sound any more.
        Refusal
            507 if there is not enough room for a copy, 413 if the sound is too long for one.

        """
        with contextlib.ExitStack() as held:
            held.callback(file.close)
            version = version_of(file)
            opened = partial(open_sound, Path(as_utf8(name)), source=file, accept_truncated=True)
            way = self._ways.get((name, version, decode), partial(self._way, opened, decode))
            content: Content = FileContent(file)
            if way.is_copied:
                content = self._copy(opened, name, version, way)
            elif way.is_decoded:
                content = WavView(held.enter_context(opened()), way.weights)
            mixed = "-mixed" * (way.weights is not None)
            etag = f'"{version}{"-decoded" * way.is_decoded}{mixed}"'
            headers = {"cache-control": "private, no-cache", "etag": etag}
            if request.get("if-none-match") == etag and "range" not in request:
                return Response(status_code=304, headers=headers)
            status = os.fstat(file.fileno())
            status = os.stat_result((*status[:6], content.size, *status[7:10]))
            needed = contextlib.ExitStack() if way.is_copied else held.pop_all()
            return _ContentResponse(content, headers, way.media_type, status, needed)

    def _copy(self, opened: Opened, name: str, version: str, way: _Way) -> WavCopy:
        def decode() -> WavCopy:
            with self._decoding, opened() as sound:
                try:
                    return WavCopy(sound, way.weights)
                except TooLong:
                    raise Refusal(413, f"{as_utf8(name)} is too long to be played here.") from None
                except OSError as error:
                    if is_shortage(error):
                        raise busy(error) from None
                    text = f"cannot decode {as_utf8(name)}: {error.strerror}. Free some space in "
                    raise Refusal(507, f"{text}{tempfile.gettempdir()}.") from None

        return self._copies.get((name, version), decode)

    def _way(self, opened: Opened, decode: bool) -> _Way:
        """Choose how to send a sound."""
        with opened() as sound:
            sent = media_type(
                sound.container,
                sound.codec,
                rate=sound.samplerate,
                channels=sound.channels,
                indexed=sound.indexed and not sound.fault,
            )
            if sent and not decode:
                return _Way(sent, is_decoded=False, is_copied=False)
            in_place = sound.seekable and not sound.fault and fits_as_it_is(sound)
            weights = safe_weights(sound) if self._safe_mono else None
            return _Way("audio/wav", is_decoded=True, is_copied=not in_place, weights=weights)


class _ContentResponse(FileResponse):
    """Sends bytes that are no file, or one whose name may lead to another by now."""

    def __init__(
        self,
        content: Content,
        headers: dict[str, str],
        media_type: str,
        status: os.stat_result,
        held: contextlib.ExitStack,
    ) -> None:
        self._content, self._held = content, held
        super().__init__("", headers=headers, media_type=media_type, stat_result=status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and close what it was made of."""
        with self._held:
            await super().__call__(scope, receive, send)
        del self._content  # a copy that is no longer kept goes now

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            raise Refusal(400, f"Range {http_range[:50]!r}: give bytes=FIRST-LAST.") from None
        except RangeNotSatisfiable:
            text = f"Range {http_range[:50]!r}: the sound has {file_size} bytes."
            raise Refusal(416, text, {"content-range": f"bytes */{file_size}"}) from None

    @contextlib.asynccontextmanager
    async def _open_file(self) -> AsyncIterator["_Reader"]:
        yield _Reader(self._content)


class _Reader:
    """What `FileResponse` reads: a content with a position."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0

    async def seek(self, position: int) -> None:
        self._position = position

    async def read(self, count: int) -> bytes:
        read = await to_thread.run_sync(self._content.read_at, self._position, count)
        self._position += len(read)
        return read
