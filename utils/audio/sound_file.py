"""Sound files ─► mono float32 samples ─► windows. Shapes: N samples, W windows."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from utils.runtime.errors import InputError

_HASHED_BYTES = 16_384


_BLOCK_NUMBERS = 2**19  # decoded at a time, all channels together; bounds the memory


_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000  # Hz; beyond it, a header is damaged or a trick


# What libsndfile notes while opening: a chunk that promises more bytes than the file has.
_CUT_OFF = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)


_UNKNOWN_FRAMES = 2**62  # a flac that was written to a pipe


_UNKNOWN_BYTES = 0x7FFF0000  # programs that write to a pipe promise this much or more


_MISSING_SHARE = 0.01  # promises are often a few bytes off


class UnusableSound(InputError):
    """A sound file that cannot be used.

    Attributes
    ----------
    reason : str
        What is wrong with it, as a predicate without its subject.

    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}. Replace or remove it.")
        self.reason = reason


def check_sound_file(path: Path, *, root: Path) -> None:
    """Refuse what cannot be opened as a sound file, before anything waits for it or follows it.

    Parameters
    ----------
    path : Path
    root : Path
        The folder of the data set. A link among the sounds must stay below it, or below the folder
        that the link is in; whole folders may be links to anywhere.

    Raises
    ------
    UnusableSound
        If it is missing, a folder, a link to nothing or out of the data set, or no regular file.

    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        broken = f"is a link to nothing ({path.readlink()})" if path.is_symlink() else "is missing"
        raise UnusableSound(path, broken) from None
    except OSError as error:
        raise UnusableSound(path, f"cannot be opened ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file (a pipe or a device)"
        raise UnusableSound(path, f"is {kind}")
    if path.is_symlink():
        target = path.resolve()
        if not any(target.is_relative_to(of.resolve()) for of in (root, path.parent)):
            raise UnusableSound(path, f"is a link that leads out of {root} (to {target})")


def read_audio(path: Path, *, sample_rate: int | None = None) -> NDArray[np.float32]:
    """Decode a whole sound file, mix its channels down and resample it.

    Parameters
    ----------
    path : Path
        Any format libsndfile reads (wav, flac, ogg, mp3, ...).
    sample_rate : int, optional
        Of the result, in Hz; as the file has it if None.

    Returns
    -------
    ndarray, shape (N,), float32
        The mean over the channels; full scale is [-1, 1].

    Raises
    ------
    UnusableSound
        As `mono_blocks`.

    """
    return np.concatenate(list(mono_blocks(path, sample_rate=sample_rate)))


def mono_blocks(path: Path, *, sample_rate: int | None = None) -> Iterator[NDArray[np.float32]]:
    """Decode a sound file piece by piece, however long it is.

    Parameters
    ----------
    path, sample_rate
        See `read_audio`.

    Yields
    ------
    ndarray, shape (N,), float32
        Put together, what `read_audio` returns; some may be empty.

    Raises
    ------
    UnusableSound
        If the file cannot be decoded, is cut off, is empty, holds NaN or infinite samples, or says
        that it has an absurd sample rate.

    """
    with open_sound(path) as file:
        resampler = None
        if sample_rate is not None and sample_rate != file.samplerate:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
        frames = max(1, _BLOCK_NUMBERS // file.channels)
        empty = True
        while len(samples := file.read(frames, dtype="float32", always_2d=True)):
            empty = False
            if not np.isfinite(samples).all():
                raise UnusableSound(path, "holds NaN or infinite samples")
            mono = samples[:, 0] if file.channels == 1 else samples.mean(axis=1)
            yield mono if resampler is None else resampler.resample_chunk(mono)
        if empty:
            raise UnusableSound(path, "holds no samples")
        if resampler is not None:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def read_header(path: Path) -> tuple[int, int]:
    """Read how many samples per channel a sound file has, and how many in a second.

    Raises
    ------
    UnusableSound
        If the file cannot be opened as sound, is cut off, is empty, or says that it has an absurd
        sample rate.

    """
    with open_sound(path) as file:
        if file.frames == 0:
            raise UnusableSound(path, "holds no samples")
        return file.frames, file.samplerate


def fingerprint(path: Path) -> str:
    """Tell one content from another, reading little: its size and a hash of three places.

    Unlike the date, it stays the same when a data set is copied or unpacked again.

    Raises
    ------
    UnusableSound
        If the file cannot be read.

    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for start in (0, size // 2, max(0, size - _HASHED_BYTES)):
                file.seek(start)
                digest.update(file.read(_HASHED_BYTES))
    except OSError as error:
        raise UnusableSound(path, f"cannot be opened ({error.strerror or error})") from None
    return f"{size} bytes, {digest.hexdigest()[:32]}"


@contextlib.contextmanager
def open_sound(path: Path, *, source: BinaryIO | None = None) -> Iterator[soundfile.SoundFile]:
    """Open a sound file whose header makes sense; turn what goes wrong with it into our error.

    Parameters
    ----------
    path : Path
    source : binary file, optional
        The same file, where it is open already; `path` is then only what messages call it.

    Raises
    ------
    UnusableSound
        If the file cannot be opened as sound, is cut off, or says that it has an absurd sample
        rate; and where the block raises an error of the operating system or of libsndfile.

    """
    try:
        with soundfile.SoundFile(source or path) as file:
            if not _LOWEST_RATE <= file.samplerate <= _HIGHEST_RATE:
                raise UnusableSound(
                    path,
                    f"says that it has {file.samplerate} samples per second; from {_LOWEST_RATE} "
                    f"to {_HIGHEST_RATE} are read",
                )
            if file.frames >= _UNKNOWN_FRAMES:
                raise UnusableSound(path, "does not tell how long it is; convert it")
            for promised, there in _CUT_OFF.findall(file.extra_info):
                missing = int(promised) - int(there)
                if int(promised) < _UNKNOWN_BYTES and missing > _MISSING_SHARE * int(promised):
                    raise UnusableSound(
                        path, f"is cut off after {there} of {promised} bytes of sound"
                    )
            yield file
    except UnicodeError:
        raise UnusableSound(path, "has a name that is not UTF-8") from None
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: raw samples
        # Without the path, with which str(error) begins.
        reason = getattr(error, "error_string", error)
        raise UnusableSound(path, f"cannot be read as sound ({reason})") from None
