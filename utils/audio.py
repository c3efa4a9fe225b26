"""Sound files ─► mono float32 samples ─► windows. Shapes: N samples, W windows."""

import hashlib
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from utils.errors import InputError

_HASHED_BYTES = 16_384


def read_audio(path: Path, *, sample_rate: int) -> NDArray[np.float32]:
    """Decode a sound file, mix its channels down and resample it.

    Parameters
    ----------
    path : Path
        Any format libsndfile reads (wav, flac, ogg, mp3, ...).
    sample_rate : int
        Of the result, in Hz.

    Returns
    -------
    ndarray, shape (N,), float32
        The mean over the channels; full scale is [-1, 1].

    Raises
    ------
    InputError
        If the file cannot be decoded, is empty, or holds NaN or infinite samples.

    """
    mono, rate = decode(path)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    return np.ascontiguousarray(mono, dtype=np.float32)


def decode(path: Path) -> tuple[NDArray[np.float32], int]:
    """Decode a sound file and mix its channels down: samples, shape (N,), and their rate in Hz.

    Raises
    ------
    InputError
        As `read_audio`.

    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"cannot read {path} as sound: {error}. Replace or remove it.") from None
    if len(samples) == 0:
        raise InputError(f"{path} holds no samples. Replace or remove it.")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or infinite samples. Replace or remove it.")
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1), rate


def fingerprint(path: Path) -> str:
    """Tell one content from another, reading little: its size and a hash of three places.

    Unlike the date, it stays the same when a data set is copied or unpacked again.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for start in (0, size // 2, max(0, size - _HASHED_BYTES)):
                file.seek(start)
                digest.update(file.read(_HASHED_BYTES))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def cut_windows(
    samples: NDArray[np.float32], *, window: int, hop: int, shortest: int
) -> NDArray[np.float32]:
    """Cut a clip into the windows that PaSST hears.

    A clip of at most one window stays whole. A longer one is reflect-padded by half a window at
    both ends and cut every `hop` samples, as hear21passt's ``get_scene_embeddings`` does.

    Parameters
    ----------
    samples : ndarray, shape (N,), float32
    window, hop : int
        In samples.
    shortest : int
        A clip with fewer samples is filled up with silence to this length.

    Returns
    -------
    ndarray, shape (W, window), or (1, N) for a short clip
        For a long clip a read-only view of one padded copy; W = floor(N / hop) + 1.

    """
    if len(samples) <= window:
        missing = max(0, shortest - len(samples))
        return np.pad(samples, (0, missing))[None]
    padded = np.pad(samples, window // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
