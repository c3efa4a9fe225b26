"""Clips that users upload to search by: received within limits, embedded, and deleted."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from utils.audio.sound_file import UnusableSound, read_header
from utils.search.web.cache import LruCache
from utils.search.web.guard import Refusal

MAX_BYTES = 50_000_000
MAX_SECONDS = 300
_HIGHEST_RATE = 192_000  # Hz; with MAX_SECONDS, bounds what a small file can expand to
_COUNTED_SECONDS = MAX_SECONDS + 1  # of clips that are decoded to find their length
_RECEIVED_AT_ONCE = 4  # clips
_RECEIVED_WITHIN = 300  # seconds
_KEPT = 2000  # embeddings; a clip has one for each passage


class Clips:
    """Receives clips and keeps the embeddings of the last ones; the clips themselves are deleted.

    `embed` turns a sound file into the vectors of its passages, shape (Q, D).
    """

    def __init__(self, embed: Callable[[Path], NDArray[np.float32]]) -> None:
        self._embed = embed
        self._kept = LruCache(_KEPT)
        self._receiving = 0
        # One at a time, so that only the windows of one clip are in memory.
        self._embedding = anyio.CapacityLimiter(1)

    def vectors(self, name: str) -> NDArray[np.float32]:
        """Return the embeddings of a clip that was received; a `Refusal` if it is forgotten."""

        def missing() -> NDArray[np.float32]:
            raise Refusal(410, "The server has forgotten this clip. Choose it again.")

        return self._kept.get(name, missing)

    async def receive(self, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Receive a clip, and return the name under which its embedding is kept, and its duration.

        Raises
        ------
        Refusal
            If it is too large, too long or too slow, or too many others are being received.
        UnusableSound
            If it cannot be used.

        """
        if self._receiving >= _RECEIVED_AT_ONCE:
            raise Refusal(503, "Other clips are being uploaded. Try again in a moment.")
        self._receiving += 1
        try:
            with tempfile.NamedTemporaryFile(prefix="clip-") as file:
                with anyio.fail_after(_RECEIVED_WITHIN):
                    await _save(body, file)
                return await to_thread.run_sync(
                    self._take, Path(file.name), limiter=self._embedding, abandon_on_cancel=True
                )
        except TimeoutError:
            raise Refusal(408, f"The clip did not arrive in {_RECEIVED_WITHIN} s.") from None
        finally:
            self._receiving -= 1

    def _take(self, path: Path) -> dict[str, Any]:
        try:
            frames, rate = read_header(path, most_seconds=_COUNTED_SECONDS)
            if frames > MAX_SECONDS * min(rate, _HIGHEST_RATE):
                raise Refusal(
                    413,
                    f"The clip has {_seconds(frames, rate)} at {rate} Hz; the limits are "
                    f"{MAX_SECONDS} s and {_HIGHEST_RATE} Hz. Cut out the part that matters.",
                )
            vectors = self._embed(path)
        except UnusableSound as error:  # without the name of the temporary file
            raise Refusal(415, f"The clip {error.reason}. Choose another.") from None
        name = secrets.token_urlsafe(9)
        self._kept.get(name, lambda: vectors)
        return {"clip": name, "duration": frames / rate}


def _seconds(frames: int, rate: int) -> str:
    more = " or more" if frames == _COUNTED_SECONDS * rate else ""
    return f"{frames / rate:.0f} s{more}"


async def _save(body: AsyncIterator[bytes], file: Any) -> None:
    size = 0
    async for piece in body:
        size += len(piece)
        if size > MAX_BYTES:
            raise Refusal(413, f"The clip is larger than {MAX_BYTES // 1_000_000} MB.")
        await to_thread.run_sync(file.write, piece)
    file.flush()
