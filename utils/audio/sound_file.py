"""Sound files ─► mono float32 samples. Shapes: N samples, C channels."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from utils.audio.downmix import mix_down
from utils.audio.parts import Part
from utils.audio.sound import Sound, Undecodable, checked_rate
from utils.runtime.errors import InputError, is_shortage, is_unanswered, unreadable

_HASHED_BYTES = 16_384
_HEAD_BYTES = 4096  # that say which library decodes a file
_BLOCK_NUMBERS = 2**19  # decoded at a time, all channels together; bounds the memory


class UnusableSound(InputError):
    """A sound file that cannot be used; `reason` says why, as a predicate without its subject."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}. Replace it, or leave it out.")
        self.reason = reason


def check_sound_file(path: Path, *, root: Path) -> None:
    """Refuse what cannot be opened as a sound file, before anything waits for it or follows it.

    A symlink to a sound must stay below `root`, the folder of the data set, or below the folder
    that contains the link. Whole folders may be symlinks to anywhere.

    Raises
    ------
    UnusableSound
        If it is missing, a folder, a broken symlink, a symlink that leaves the data set, or not a
        regular file.
    UnreadableError
        If its disk does not answer.

    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        broken = f"is a broken symlink (to {path.readlink()})" if path.is_symlink() else None
        raise UnusableSound(path, broken or "is missing") from None
    except OSError as error:
        raise _blamed(path, error, "cannot be opened") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file (a pipe or a device)"
        raise UnusableSound(path, f"is {kind}")
    if path.is_symlink():
        target = path.resolve()
        if not any(target.is_relative_to(of.resolve()) for of in (root, path.parent)):
            raise UnusableSound(path, f"is a symlink that leaves {root} (to {target})")


def mono_blocks(
    path: Path,
    *,
    sample_rate: int | None = None,
    weights: NDArray[np.float32] | None = None,
    measure: Callable[[NDArray[np.float32], NDArray[np.float32]], Any] | None = None,
    accept_truncated: bool = False,
    ended: Callable[[str | None], Any] = lambda fault: None,
) -> Iterator[NDArray[np.float32]]:
    """Decode a sound file of any length piece by piece, mix its channels down and resample it.

    Parameters
    ----------
    path : Path
        In any format that FFmpeg or libsndfile reads (wav, flac, ogg, mp3, m4a, ...).
    sample_rate : int, optional
        Of the result, in Hz; as in the file if None.
    weights : ndarray, shape (C,), optional
        Of the channels in the result, which is their mean if None.
    measure : callable, optional
        Called with the samples of each piece as in the file, shape (N, C), and mixed down, shape
        (N,).
    accept_truncated : bool
        Decode a truncated or damaged file as far as it goes.
    ended : callable
        Called after the last piece with the `utils.audio.sound.Sound.fault` that was accepted, or
        None.

    Yields
    ------
    ndarray, shape (N,), float32
        A piece of the mixed channels, which may be empty; full scale is [-1, 1].

    Raises
    ------
    UnusableSound
        If the file cannot be decoded, is truncated, is empty, contains NaN or infinite samples, or
        has an impossible sample rate.

    Examples
    --------
    >>> import tempfile, soundfile
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    ...     soundfile.write(file.name, np.array([[0.5, 0.0], [-0.5, -0.25]]), 32_000)
    ...     list(mono_blocks(Path(file.name), sample_rate=32_000))
    [array([ 0.25 , -0.375], dtype=float32)]

    """
    with open_sound(path, accept_truncated=accept_truncated) as sound:
        resampler = None
        if sample_rate is not None and sample_rate != sound.samplerate:
            import soxr

            resampler = soxr.ResampleStream(sound.samplerate, sample_rate, 1, dtype="float32")
        frames = max(1, _BLOCK_NUMBERS // sound.channels)
        empty = True
        while len(samples := sound.read(frames)):
            empty = False
            if not np.isfinite(samples).all():
                raise UnusableSound(path, "holds NaN or infinite samples")
            mono = mix_down(samples, weights)
            if measure:
                measure(samples, mono)
            yield mono if resampler is None else resampler.resample_chunk(mono)
        if empty:
            raise UnusableSound(path, "holds no samples")
        if resampler is not None:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
        ended(sound.fault)


def read_header(
    path: Path, *, accept_truncated: bool = False, most_seconds: int | None = None
) -> tuple[int, int]:
    """Read the number of samples per channel and the sample rate (in Hz) of a sound file.

    A file whose header does not tell its length exactly is decoded to count them, and so is every
    file if `accept_truncated`, because a header counts what is missing, too. Counting stops at
    `most_seconds`.

    Raises
    ------
    UnusableSound
        If the file cannot be opened as sound, is truncated, is empty, or has an impossible sample
        rate.

    """
    with open_sound(path, accept_truncated=accept_truncated) as sound:
        frames = sound.frames
        if accept_truncated or frames is None:
            frames = sound.count(most_seconds and most_seconds * sound.samplerate)
        if frames == 0:
            raise UnusableSound(path, "holds no samples")
        return frames, sound.samplerate


@contextlib.contextmanager
def open_sound(
    path: Path, *, source: BinaryIO | None = None, accept_truncated: bool = False
) -> Iterator[Sound]:
    """Open a sound file with a plausible header, and turn its errors into `UnusableSound`.

    If `source`, the same file, is open already, `path` is only its name in messages. Its place is
    not kept.

    Raises
    ------
    UnusableSound
        If the file cannot be opened as sound, is truncated (unless `accept_truncated`), or has an
        impossible sample rate; also if the block raises an error of the operating system or of a
        decoder.
    UnreadableError
        If its disk does not answer: nothing is known about the file.
    OSError
        If memory or descriptors run out.

    """
    try:
        with opened(path, source) as file, _decoder(file) as sound:
            checked_rate(sound.samplerate)
            sound.accept_truncated = accept_truncated
            if sound.fault and not accept_truncated:
                raise UnusableSound(path, sound.fault)
            yield sound
    except Undecodable as error:
        raise UnusableSound(path, str(error)) from None


@contextlib.contextmanager
def opened(path: Path, source: BinaryIO | None) -> Iterator[BinaryIO]:
    """Open a sound file, unless `source` is it already, and blame it for errors of the system.

    Raises
    ------
    UnusableSound
        If the file cannot be opened or read.
    UnreadableError
        If its disk does not answer.
    OSError
        If memory or descriptors run out.

    """
    try:
        with contextlib.nullcontext(source) if source else path.open("rb") as file:
            yield file
    except OSError as error:
        raise _blamed(path, error, "cannot be read as sound") from error


def _blamed(path: Path, error: OSError, what: str) -> InputError:
    """Make the error for a file, unless memory or descriptors ran out: then raise what is given."""
    if is_shortage(error):
        raise error
    if is_unanswered(error):
        return unreadable(path, error)
    return UnusableSound(path, f"{what} ({error.strerror or error})")


def _decoder(file: BinaryIO) -> Sound:
    """Open a file with libsndfile if that is exact, else with FFmpeg if it can."""
    from utils.audio import libsndfile  # takes a moment

    head = Part(file).read(_HEAD_BYTES)
    sound, problem = None, None
    if libsndfile.is_suitable(head):
        try:
            sound = libsndfile.SndfileSound(file)
        except Undecodable as error:
            problem = error
        if sound and sound.exact:
            return sound
    from utils.audio import ffmpeg  # takes longer

    try:
        return ffmpeg.FfmpegSound(file, ignore_length=sound is not None and sound.unfinished)
    except Undecodable as error:
        if sound:
            return sound
        refused = error
    if problem is None and libsndfile.may_open(head):
        with contextlib.suppress(Undecodable):
            return libsndfile.SndfileSound(file)
    raise problem or refused from None


def fingerprint(path: Path) -> str:
    """Identify the content of a file by its size and a hash of three places.

    Unlike the date, this stays the same when a data set is copied or unpacked again.

    Raises
    ------
    UnusableSound
        If the file cannot be read.
    UnreadableError
        If its disk does not answer.

    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for start in (0, size // 2, max(0, size - _HASHED_BYTES)):
                file.seek(start)
                digest.update(file.read(_HASHED_BYTES))
    except OSError as error:
        raise _blamed(path, error, "cannot be opened") from error
    return f"{size} bytes, {digest.hexdigest()[:32]}"
