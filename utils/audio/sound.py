"""An open sound: what every decoder offers. Shapes: N samples, C channels."""

import abc
from typing import Self

import numpy as np
from numpy.typing import NDArray

_TRUNCATED = "is truncated"
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000  # Hz; beyond it, a header is damaged or a trick
_SKIPPED_AT_ONCE = 2**18  # numbers, all channels together


class Undecodable(Exception):
    """A decoder cannot read this; the text is the reason, as a predicate without its subject."""


def truncated(where: str) -> str:
    """Word the reason of a file that ends too early, or is damaged from some place on."""
    return f"{_TRUNCATED} {where}"


def is_truncation(reason: str) -> bool:
    """Return whether a file with this reason can be read if truncated files are accepted."""
    return reason.startswith(_TRUNCATED)


def checked_rate(rate: int) -> int:
    """Return a sample rate in Hz, if it is a possible one.

    Raises
    ------
    Undecodable

    """
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        limits = f"from {_LOWEST_RATE} to {_HIGHEST_RATE} are read"
        raise Undecodable(f"has an impossible sample rate ({rate} Hz; {limits})")
    return rate


class Sound(abc.ABC):
    """A sound that is read from its beginning to its end.

    Attributes
    ----------
    samplerate : int
        In Hz.
    channels : int
    frames : int or None
        Samples per channel, by the file; None if only `count` can tell.
    container, codec : str
        "wav" and "pcm_16", "mp4" and "aac", ...
    layout : str or None
        Where the channels belong, in FFmpeg's words ("5.1(side)", "0x3f"), if the file says so.
    seekable : bool
        Whether `seek` is fast. It is always exact.
    indexed : bool
        Whether another player of the file finds its length and every position in it.
    fault : str or None
        Why the file holds less than it should: the reason of an error. Of some files it is only
        known when all is read.
    accept_truncated : bool
        Whether such a file is read as far as it goes, without that error.

    """

    samplerate: int
    channels: int
    frames: int | None = None
    container: str
    codec: str
    layout: str | None = None
    seekable = False
    indexed = True
    fault: str | None = None
    accept_truncated = False
    _position = 0

    @abc.abstractmethod
    def _read(self, frames: int) -> NDArray[np.float32]:
        """Decode up to so many frames, shape (N, C); fewer only at the end."""

    @abc.abstractmethod
    def _seek(self, frame: int) -> int:
        """Go to a frame, or to one before it, and return which."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the decoder, but not the file."""

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next samples; full scale is [-1, 1].

        Returns
        -------
        ndarray, shape (N, C), float32
            N < `frames` only at the end.

        Raises
        ------
        Undecodable
            If the file ends too early, or cannot be decoded.

        """
        samples = self._read(frames)
        self._position += len(samples)
        if len(samples) < frames and self.fault and not self.accept_truncated:
            raise Undecodable(self.fault)
        return samples

    def seek(self, frame: int) -> None:
        """Go to the frame that the next `read` begins with."""
        if frame != self._position:
            self._position = self._seek(frame)
            self._skip(frame - self._position)

    def count(self, most: int | None = None) -> int:
        """Decode all, or at most so many frames, and count them; then go to the beginning."""
        self.seek(0)
        self._skip(most)
        counted = self._position
        if counted != most:
            self.frames = counted
        self.seek(0)
        return counted

    def _skip(self, frames: int | None) -> None:
        """Read so many frames, or all that are left."""
        most = max(1, _SKIPPED_AT_ONCE // self.channels)
        while frames is None or frames > 0:
            read = len(self.read(most if frames is None else min(most, frames)))
            if not read:
                return
            frames = None if frames is None else frames - read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
