"""Log-mel spectrograms or waveforms of clips, for those who train on them elsewhere.

The layout is the original system's: HDF5, one dataset per ``str(fid)``. Clips of more than a minute
are stored in chunks, which its readers do not notice. Attributes, which its
readers pass over, say how the file was made (``kind`` and parameters) and from what each dataset
was: ``id`` (``split/file name``), ``source`` (fingerprint of the sound file) and, of log-mels,
``sample_rate`` in Hz.

Shapes: N samples, T frames.
"""

import hashlib
import importlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from utils.audio.log_mel import (
    FMAX,
    FMIN,
    HOP_MS,
    LOG_OFFSET,
    LOWEST_RATE,
    MELS,
    SECONDS_AT_ONCE,
    WINDOW_MS,
    log_mel,
)
from utils.audio.sound_file import UnusableSound, mono_blocks, read_header
from utils.features.updating import Update
from utils.files.hdf5 import Contents, read_attributes
from utils.files.locks import FolderLock
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shorten
from utils.runtime.pools import map_ahead

Kind = Literal["logmel", "waveform"]


WAVEFORM_RATE = 32_000


_PARAMETERS: dict[Kind, dict[str, str | int | float]] = {
    "logmel": {
        "sample_rate": "of each file",
        "window": "hann",
        "window_ms": WINDOW_MS,
        "hop_ms": HOP_MS,
        "power": 2.0,
        "mels": MELS,
        "mel_scale": "slaney",
        "fmin": FMIN,
        "fmax": FMAX,
        "log_offset": LOG_OFFSET,
    },
    "waveform": {"sample_rate": WAVEFORM_RATE},
}


_IN_PART = "features"  # the one dataset of a partial file


@dataclass(frozen=True)
class Clip:
    """A clip and its name in the file.

    Attributes
    ----------
    fid : int
        Names the dataset.
    audio_id : str
        ``split/file name``.
    path : Path
        The sound file.
    source : str
        Its `utils.audio.sound_file.fingerprint`.

    """

    fid: int
    audio_id: str
    path: Path
    source: str


def write_clip_features(
    path: Path,
    clips: Sequence[Clip],
    *,
    kind: Kind,
    strict: bool = False,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Bring a file of log-mels or waveforms up to date, computing no clip that is there already.

    Each finished clip is kept in a folder beside the file, ``<name>.partial``, until all are
    there; so work goes on where it was stopped. While the file is put together, the disk holds
    each new clip twice. The memory holds a minute of a few clips at a time. Clips that cannot be
    used are left out.

    Parameters
    ----------
    path : Path
    clips : sequence of Clip
        With distinct fids. Datasets of other clips are dropped.
    kind : "logmel" or "waveform"
        ``logmel``: (T, 64) float32, see `log_mel`, at the sample rate that the sound file has.
        ``waveform``: (N,) float32, resampled to 32 kHz. Both of the mean over the channels.
    strict : bool
        Raise at the first clip that cannot be used.
    advance : callable
        Told how many clips are newly settled, the ones found on the disk first.

    Returns
    -------
    Update
        A file that is up to date stays untouched.

    Raises
    ------
    InputError
        If not a single clip can be used, something else stands under `path`, or another run is
        writing it.
    UnusableSound
        If `strict`.
    ValueError
        If a fid is repeated.

    """
    parameters = {"kind": kind, **_PARAMETERS[kind]}
    wanted = {str(clip.fid): (clip.audio_id, clip.source) for clip in clips}
    if len(wanted) != len(clips):
        raise ValueError(f"{path}: fids must be distinct")
    folder = path.with_name(path.name + ".partial")
    if _entries(path, parameters) == wanted and not folder.exists():
        advance(len(clips))
        return Update(computed=0, written=False)
    with FolderLock(folder) as lock:
        # Looked up again, because another run may have finished before this one had the lock.
        present = _entries(path, parameters)
        parts = {
            fid: folder / _part_name(entry, parameters)
            for fid, entry in wanted.items()
            if present.get(fid) != entry
        }
        missing = [
            clip for clip in clips if (part := parts.get(str(clip.fid))) and not part.exists()
        ]
        advance(len(clips) - len(missing))
        if missing and kind == "logmel":
            # It takes seconds; and before the threads, which would race for its lazy submodules.
            importlib.import_module("librosa.feature")
        failed = {}
        for clip, error in map_ahead(
            lambda clip: _write_part(parts[str(clip.fid)], clip, kind), missing
        ):
            if error is not None:
                if strict:
                    raise error
                failed[clip.audio_id] = error.reason
                del wanted[str(clip.fid)]
            advance(1)
        if failed and not wanted:
            reasons = [f"{audio_id}: {reason}" for audio_id, reason in failed.items()]
            raise InputError(f"none of the clips for {path} can be used:\n{shorten(reasons)}")
        if present != wanted:
            _put_together(path, list(wanted), parts, parameters)
        lock.remove()
    return Update(computed=len(missing) - len(failed), written=present != wanted, failed=failed)


def _write_part(path: Path, clip: Clip, kind: Kind) -> UnusableSound | None:
    """Compute the features of a clip and keep them; returns what is wrong with it, if anything."""
    attributes: dict[str, str | int] = {"id": clip.audio_id, "source": clip.source}
    try:
        if kind == "waveform":
            samples = mono_blocks(clip.path, sample_rate=WAVEFORM_RATE)
            pieces = _regrouped(samples, WAVEFORM_RATE * SECONDS_AT_ONCE)
        else:
            _, rate = read_header(clip.path)
            if rate < LOWEST_RATE:
                raise UnusableSound(
                    clip.path,
                    f"has {rate} samples per second, and {MELS} mel bands need {LOWEST_RATE}",
                )
            attributes["sample_rate"] = rate
            pieces = log_mel(mono_blocks(clip.path), sample_rate=rate)
        with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
            first, second = next(pieces), next(pieces, None)
            limit = None if second is None else (None, *first.shape[1:])  # None: may grow
            dataset = file.create_dataset(_IN_PART, data=first, maxshape=limit)
            for piece in itertools.chain([second], pieces) if second is not None else ():
                dataset.resize(len(dataset) + len(piece), axis=0)
                dataset[-len(piece) :] = piece
            dataset.attrs.update(attributes)
    except UnusableSound as error:
        return error
    return None


def _regrouped(blocks: Iterable[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """Put pieces together to such of a length; the last one may be shorter."""
    held = np.empty(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > length:
            yield held[:length]
            held = held[length:]
    yield held


def _entries(path: Path, parameters: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Read id and source of each dataset; none where there is no file, or one made otherwise."""
    if not path.exists():
        return {}
    try:
        with h5py.File(path, "r") as file:
            attributes, contents = read_attributes(file), Contents(file)
            of_clips = {fid: read_attributes(contents.dataset(fid)) for fid in file}
            entries = {fid: (of.get("id"), of.get("source")) for fid, of in of_clips.items()}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not an HDF5 file that can be read ({error}), and would be overwritten. "
            "Remove it, move it away, or name another file."
        ) from None
    if (found := attributes.get("kind")) != parameters["kind"]:
        content = "was not written by this program" if found is None else f"holds {found!r}"
        raise InputError(
            f"{path} {content}, and would be overwritten with {parameters['kind']!r}. Move it "
            "away, or name another file."
        )
    return entries if attributes == parameters else {}


def _put_together(
    path: Path, fids: Sequence[str], parts: Mapping[str, Path], parameters: Mapping[str, Any]
) -> None:
    """Write the file, taking each dataset from its part or else from the file as it stands."""
    with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
        file.attrs.update(parameters)
        for fid in fids:
            origin, name = (parts[fid], _IN_PART) if fid in parts else (path, fid)
            with h5py.File(origin, "r") as source:
                source.copy(name, file, name=fid)


def _part_name(entry: tuple[str, str], parameters: Mapping[str, Any]) -> str:
    """Name a part after all that it depends on, so that none is taken for another."""
    return hashlib.sha256(json.dumps([entry, parameters]).encode()).hexdigest()[:32] + ".hdf5"
