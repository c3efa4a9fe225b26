"""Sounds as 16-bit wav files, which every browser plays: computed where they are read, or copied.

Shapes: N samples, C channels.
"""

import os
import struct
import tempfile
import weakref
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from utils.audio.downmix import Channels, mix_down
from utils.audio.sound import Sound
from utils.search.web.playable import LOWEST_RATE, MOST_CHANNELS, rate_to_play

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE = 2  # bytes
_LARGEST = 2**32 - 1  # bytes
_BLOCK_NUMBERS = 2**18  # decoded at a time, all channels together; bounds the memory


class TooLong(Exception):
    """A sound does not fit into a wav file, even at the lowest rate that browsers play."""


class Content(Protocol):
    """Bytes to send, for any number of readers."""

    size: int

    def read_at(self, position: int, count: int) -> bytes:
        """Return so many bytes from a position; fewer only at the end."""


class FileContent:
    """An open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read_at(self, position: int, count: int) -> bytes:
        """See `Content`."""
        return os.pread(self._file.fileno(), count, position)


class WavView:
    """The wav file of a sound that can be sought in, decoded where it is read.

    `weights`, shape (C,), are those of too many channels in the one that they become, which is
    their mean if None.
    """

    def __init__(self, sound: Sound, weights: NDArray[np.float32] | None = None) -> None:
        self._sound, self._weights = sound, weights
        self._channels = _channels(sound)
        self._width = _SAMPLE * self._channels
        self._header = _header(sound.samplerate, self._channels, sound.frames)
        self.size = len(self._header) + self._width * sound.frames

    def read_at(self, position: int, count: int) -> bytes:
        """See `Content`; not for several threads at once."""
        end = min(position + count, self.size)
        head = self._header[position:end]
        begin, end = (max(0, place - _HEADER.size) for place in (position, end))
        first, last = begin // self._width, -(-end // self._width)
        self._sound.seek(first)
        samples = _mixed(self._sound.read(last - first), self._channels, self._weights)
        samples = _as_pcm(samples)
        samples = samples.ljust((last - first) * self._width, b"\0")  # of a damaged file
        return head + samples[begin - first * self._width : end - first * self._width]


class WavCopy:
    """The wav file of a sound on the disk, without a name: it disappears with this object.

    What would be larger than a wav file can be has a lower sample rate. `weights` are those of
    `WavView`.

    Raises
    ------
    TooLong
        If there is no such rate.
    OSError
        If the disk is full.

    """

    def __init__(self, sound: Sound, weights: NDArray[np.float32] | None = None) -> None:
        with tempfile.TemporaryFile(prefix="decoded-") as file:
            if not any(_write(sound, weights, rate, file) for rate in _rates(sound)):
                raise TooLong
            self.size = os.fstat(file.fileno()).st_size
            self._file = os.fdopen(os.dup(file.fileno()), "rb")
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        """Return the size in bytes."""
        return self.size

    def read_at(self, position: int, count: int) -> bytes:
        """See `Content`."""
        return os.pread(self._file.fileno(), count, position)


def fits_as_it_is(sound: Sound) -> bool:
    """Return whether the wav file of a sound may have all of its samples."""
    return sound.frames is not None and next(_rates(sound), 0) == sound.samplerate


def safe_weights(sound: Sound) -> NDArray[np.float32] | None:
    """Decode a sound and weigh its channels as a search hears them, if they are too many to play.

    None: their mean is safe, or they are played as they are.
    """
    if sound.channels <= MOST_CHANNELS:
        return None
    channels = Channels()
    sound.seek(0)
    while len(samples := sound.read(max(1, _BLOCK_NUMBERS // sound.channels))):
        channels.add(np.nan_to_num(samples))
    downmix = channels.safe_downmix()
    return downmix and downmix.weights


def _channels(sound: Sound) -> int:
    return sound.channels if sound.channels <= MOST_CHANNELS else 1


def _rates(sound: Sound) -> Iterator[int]:
    """Yield sample rates at which a sound may fit into a wav file, the highest first."""
    rate = rate_to_play(sound.samplerate)
    seconds = (sound.frames or 0) / sound.samplerate
    while rate >= LOWEST_RATE:
        if _HEADER.size + seconds * rate * _SAMPLE * _channels(sound) <= _LARGEST:
            yield rate
        rate //= 2


def _header(rate: int, channels: int, frames: int) -> bytes:
    width = _SAMPLE * channels
    size = width * frames
    riff = (b"RIFF", _HEADER.size - 8 + size, b"WAVE")
    form = (b"fmt ", 16, 1, channels, rate, width * rate, width, 8 * _SAMPLE)
    return _HEADER.pack(*riff, *form, b"data", size)


def _write(sound: Sound, weights: NDArray[np.float32] | None, rate: int, file: BinaryIO) -> bool:
    """Write a sound as a wav file; returns whether it fitted."""
    channels = _channels(sound)
    file.seek(0)
    file.truncate()
    file.write(bytes(_HEADER.size))
    for samples in _blocks(sound, weights, rate):
        file.write(_as_pcm(samples))
        if file.tell() > _LARGEST:
            return False
    frames = (file.tell() - _HEADER.size) // (_SAMPLE * channels)
    file.seek(0)
    file.write(_header(rate, channels, frames))
    file.flush()
    return True


def _blocks(
    sound: Sound, weights: NDArray[np.float32] | None, rate: int
) -> Iterator[NDArray[np.float32]]:
    """Decode a whole sound, and resample it if needed."""
    sound.seek(0)
    most = max(1, _BLOCK_NUMBERS // sound.channels)
    resampler = None
    if rate != sound.samplerate:
        import soxr

        resampler = soxr.ResampleStream(sound.samplerate, rate, _channels(sound), dtype="float32")
    while len(samples := _mixed(sound.read(most), _channels(sound), weights)):
        yield samples if resampler is None else resampler.resample_chunk(samples)
    if resampler is not None:
        yield resampler.resample_chunk(samples, last=True)


def _mixed(
    samples: NDArray[np.float32], channels: int, weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Turn NaN into silence, and too many channels into one."""
    samples = np.nan_to_num(samples)
    return samples if samples.shape[1] == channels else mix_down(samples, weights)[:, None]


def _as_pcm(samples: NDArray[np.float32]) -> bytes:
    """Turn samples into 16-bit integers; what is louder than full scale is clipped."""
    samples = np.clip(samples, -1, 1)
    return (samples * 32_767).round().astype("<i2").tobytes()
