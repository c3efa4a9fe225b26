"""Log-mel spectrograms or waveforms of clips, for training elsewhere.

The layout is the original system's: HDF5 with one dataset per ``str(fid)``. Attributes say how the
file was made (``kind`` and parameters) and what each dataset was computed from: ``id``
(``split/file name``), ``source`` (fingerprint of the sound file) and, for log-mels,
``sample_rate`` in Hz.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from utils.audio import log_mel
from utils.audio.sound_file import UnusableSound, mono_blocks, open_sound
from utils.features.updating import Update
from utils.files.hdf5 import Contents, read_attributes
from utils.files.locks import as_input_error
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shorten

WAVEFORM_RATE = 32_000
_PARAMETERS = {"logmel": log_mel.PARAMETERS, "waveform": {"sample_rate": WAVEFORM_RATE}}
_ROW_SHAPES = {"logmel": (log_mel.MELS,), "waveform": ()}
_ROWS_AT_ONCE = 2**16  # bounds the memory


class Clip(NamedTuple):
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
    accept_truncated: bool = False,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Write 'logmel' or 'waveform' of clips, unless the file holds those of exactly these clips.

    Log-mels have shape (T, 64) and the sample rate of the sound file, see `log_mel`. Waveforms have
    shape (N,) at 32 kHz. Both are float32, of the mean over the channels. Clips that cannot be used
    are left out, or raise if `strict`; with `accept_truncated`, truncated ones are used as far as
    they go. An interrupted run leaves nothing behind. So that it can be stopped at any moment, the
    numbers are collected in a nameless file first. `advance` is called with the number of clips
    that were finished since the last call.

    Raises
    ------
    InputError
        If no clip can be used, or if `path` holds something else or cannot be written.
    UnusableSound
        If `strict`.

    """
    header = {"kind": kind, **_PARAMETERS[kind]}
    wanted = header, {str(clip.fid): (clip.audio_id, clip.source) for clip in clips}
    if (_describe(path, kind) if path.exists() else (header, {})) == wanted:
        advance(len(clips))
        return Update(computed=0, written=False)
    made, failed, row = [], {}, np.dtype((np.float32, _ROW_SHAPES[kind]))
    with as_input_error(path), tempfile.TemporaryFile(dir=path.parent) as spool:
        for clip in clips:
            start = spool.tell()
            try:
                attributes, pieces = _compute(clip, kind, accept_truncated)
                for piece in pieces:
                    spool.write(piece)
                made.append((clip, attributes, (spool.tell() - start) // row.itemsize))
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
            file.attrs.update(header)
            for clip, attributes, length in made:
                dataset = file.create_dataset(str(clip.fid), (length, *row.shape), np.float32)
                dataset.attrs.update(id=clip.audio_id, source=clip.source, **attributes)
                for first in range(0, length, _ROWS_AT_ONCE):
                    rows = np.fromfile(spool, row, min(_ROWS_AT_ONCE, length - first))
                    dataset[first : first + len(rows)] = rows
    return Update(computed=len(made), written=True, failed=failed)


def _describe(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """Read the attributes of a file, and id and source of each dataset."""
    try:
        with h5py.File(path, "r") as file:
            attributes, contents = read_attributes(file), Contents(file)
            if (found := attributes.get("kind")) != kind:
                raise ValueError(f"its kind is {found!r}")
            clips = {fid: read_attributes(contents.dataset(fid)) for fid in file}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a {kind} file ({error}), and would be overwritten. Move it away, or "
            "name another folder."
        ) from None
    return attributes, {fid: (of.get("id"), of.get("source")) for fid, of in clips.items()}


def _compute(
    clip: Clip, kind: str, accept_truncated: bool
) -> tuple[dict[str, int], Iterator[NDArray[np.float32]]]:
    """Return further attributes of a clip's dataset, and its features piece by piece."""
    blocks = partial(mono_blocks, clip.path, accept_truncated=accept_truncated)
    if kind == "waveform":
        return {}, blocks(sample_rate=WAVEFORM_RATE)
    with open_sound(clip.path, accept_truncated=accept_truncated) as sound:
        rate = sound.samplerate
    if rate < log_mel.LOWEST_RATE:
        bands = f"{log_mel.MELS} mel bands need {log_mel.LOWEST_RATE} Hz"
        raise UnusableSound(clip.path, f"has a sample rate of {rate} Hz, and {bands}")
    return {"sample_rate": rate}, log_mel.log_mel(blocks(), sample_rate=rate)
