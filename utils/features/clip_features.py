"""Log-mel spectrograms or waveforms of clips, for training elsewhere.

The layout is the original system's: HDF5 with one dataset per ``str(fid)``. Attributes say how the
file was made (``kind`` and parameters) and what each dataset was computed from: ``id``
(``split/file name``), ``source`` (fingerprint of the sound file) and, for log-mels,
``sample_rate`` in Hz.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from utils.audio import log_mel
from utils.audio.sound_file import UnusableSound, mono_blocks, read_header
from utils.features.updating import Update
from utils.files.hdf5 import Contents, read_attributes
from utils.files.locks import as_input_error
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shorten

WAVEFORM_RATE = 32_000
_PARAMETERS: dict[str, dict[str, str | int | float]] = {
    "logmel": {
        "sample_rate": "of each file",
        "window": "hann",
        "window_ms": log_mel.WINDOW_MS,
        "hop_ms": log_mel.HOP_MS,
        "power": 2.0,
        "mels": log_mel.MELS,
        "mel_scale": "slaney",
        "fmin": log_mel.FMIN,
        "fmax": log_mel.FMAX,
        "log_offset": log_mel.LOG_OFFSET,
    },
    "waveform": {"sample_rate": WAVEFORM_RATE},
}


@dataclass(frozen=True)
class Clip:
    """A clip: the name of its dataset, ``split/file name``, its sound file and fingerprint."""

    fid: int
    audio_id: str
    path: Path
    source: str


def write_clip_features(
    path: Path,
    clips: Sequence[Clip],
    *,
    kind: str,
    strict: bool = False,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Write a file of log-mels or waveforms, unless it holds those of exactly these clips.

    Clips that cannot be used are left out. An interrupted run leaves nothing behind; so that it can
    be stopped at any moment, the numbers are collected in a nameless file first.

    Parameters
    ----------
    path : Path
    clips : sequence of Clip
        With distinct fids.
    kind : {'logmel', 'waveform'}
        Log-mels (T, 64) at the sample rate of the sound file, see `log_mel`, or samples (N,) at
        32 kHz; both float32, of the mean over the channels.
    strict : bool
        Raise at the first clip that cannot be used.
    advance : callable
        Called with the number of clips that were finished since the last call.

    Raises
    ------
    InputError
        If no clip can be used, `path` holds something else, or cannot be written.
    UnusableSound
        If `strict`.

    """
    wanted = {str(clip.fid): (clip.audio_id, clip.source) for clip in clips}
    if (_describe(path, kind) if path.exists() else {}) == wanted:
        advance(len(clips))
        return Update(computed=0, written=False)
    made, failed = [], {}
    with as_input_error(path), tempfile.TemporaryFile(dir=path.parent) as spool:
        for clip in clips:
            start, shapes = spool.tell(), []
            try:
                attributes, pieces = _compute(clip, kind)
                for piece in pieces:
                    spool.write(np.ascontiguousarray(piece))
                    shapes.append(piece.shape)
                made.append((clip, attributes, shapes))
            except UnusableSound as error:
                if strict:
                    raise
                failed[clip.audio_id] = error.reason
                spool.seek(start)
            advance(1)
        if failed and not made:
            reasons = shorten([f"{audio_id}: {reason}" for audio_id, reason in failed.items()])
            raise InputError(f"none of the clips for {path} can be used:\n{reasons}")
        spool.seek(0)
        with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
            file.attrs.update(kind=kind, **_PARAMETERS[kind])
            for clip, attributes, shapes in made:
                whole = (sum(length for length, *_ in shapes), *shapes[0][1:])
                dataset = file.create_dataset(str(clip.fid), whole, np.float32)
                dataset.attrs.update(id=clip.audio_id, source=clip.source, **attributes)
                end = 0
                for shape in shapes:
                    end += shape[0]
                    numbers = np.fromfile(spool, np.float32, math.prod(shape))
                    dataset[end - shape[0] : end] = numbers.reshape(shape)
    return Update(computed=len(made), written=True, failed=failed)


def _describe(path: Path, kind: str) -> dict[str, tuple[str, str]] | None:
    """Read id and source of each dataset; None for a file made with other parameters."""
    try:
        with h5py.File(path, "r") as file:
            attributes, contents = read_attributes(file), Contents(file)
            clips = {fid: read_attributes(contents.dataset(fid)) for fid in file}
            if (found := attributes.get("kind")) != kind:
                raise ValueError(f"its kind is {found!r}")
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a {kind} file ({error}), and would be overwritten. Move it away, or "
            "name another folder."
        ) from None
    if attributes != {"kind": kind, **_PARAMETERS[kind]}:
        return None
    return {fid: (of.get("id"), of.get("source")) for fid, of in clips.items()}


def _compute(clip: Clip, kind: str) -> tuple[dict[str, int], Iterator[NDArray[np.float32]]]:
    """Return further attributes of a clip's dataset, and its features piece by piece."""
    if kind == "waveform":
        return {}, mono_blocks(clip.path, sample_rate=WAVEFORM_RATE)
    _, rate = read_header(clip.path)
    if rate < log_mel.LOWEST_RATE:
        bands = f"{log_mel.MELS} mel bands need {log_mel.LOWEST_RATE} Hz"
        raise UnusableSound(clip.path, f"has a sample rate of {rate} Hz, and {bands}")
    return {"sample_rate": rate}, log_mel.log_mel(mono_blocks(clip.path), sample_rate=rate)
