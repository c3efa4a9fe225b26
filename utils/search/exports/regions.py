"""Parts of sounds as wavs of their own, sample by sample, with the place in time that they have.

Shapes: N samples, C channels.
"""

import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from utils.audio.libsndfile import SndfileSound
from utils.audio.metadata import read_metadata
from utils.audio.sound import Sound
from utils.audio.sound_file import open_sound
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError
from utils.search.exports.names import free_name

_LARGEST = 2**32 - 2**16  # bytes of samples: a wav says its size in 32 bits
_NUMBERS_AT_ONCE = 2**18  # all channels together; bounds the memory
# How samples that libsndfile reads are written, and as what they are read in between.
_INTEGERS = {"PCM_S8": "PCM_U8"} | {
    name: name for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
}
_BYTES = {"PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}  # others: 4
# EBU Tech 3285: description, originator, its reference, date, time, time reference, version, UMID.
_BEXT = struct.Struct("<256s32s32s10s8sQH64s190x")
_VERSION = 1


class _Form(NamedTuple):
    rate: int
    channels: int
    subtype: str
    dtype: str  # to read plain samples as; empty: as they are decoded
    first: int
    last: int  # frames


def cut(source: Path, folder: Path, *, start: float, end: float, label: str) -> Path:
    """Write a part of a sound as a wav; returns its path.

    Plain samples and those of flac are written as they are; what is compressed otherwise as
    floating-point numbers, as it is decoded. The `bext` chunk has what the file says about itself,
    and its time reference with the start of the part added.

    Parameters
    ----------
    start, end : float
        In seconds.
    label : str
        The description, if the file has none.

    Raises
    ------
    InputError
        If the sound cannot be read or the wav cannot be written, or it would be larger than 4 GB.

    """
    form = _form(source, start, end)
    size = (form.last - form.first) * form.channels * _BYTES.get(form.subtype, 4)
    if size > _LARGEST:
        raise InputError(
            f"{source}: a part of {size / 1e9:.1f} GB is too large for a wav. Export less of it, "
            "or a copy."
        )
    bext = _bext(source, first=form.first, rate=form.rate, label=label)
    target = free_name(folder, f"{source.stem} {start:.3f}-{end:.3f}", ".wav")
    with atomic_write(target) as file, tempfile.TemporaryFile(dir=folder) as plain:
        try:
            with soundfile.SoundFile(
                plain.fileno(), "w", form.rate, form.channels, form.subtype,
                format="WAV", closefd=False,
            ) as writer:  # fmt: skip
                for block in _blocks(source, form):
                    writer.write(block)
        except soundfile.SoundFileError as error:
            raise OSError(str(error).rstrip(".")) from error
        _insert(plain, bext, file)
    return target


def _form(source: Path, start: float, end: float) -> _Form:
    with open_sound(source, accept_truncated=True) as sound:
        first, last = (round(seconds * sound.samplerate) for seconds in (start, end))
        return _Form(sound.samplerate, sound.channels, *_samples(sound), first, last)


def _blocks(source: Path, form: _Form) -> Iterator[NDArray[np.generic]]:
    """Read the samples of a part, shape (N, C); fewer if the duration that is known is rounded."""
    most = max(1, _NUMBERS_AT_ONCE // form.channels)
    with open_sound(source, accept_truncated=True) as sound:
        sound.seek(form.first)
        for first in range(form.first, form.last, most):
            count = min(most, form.last - first)
            is_plain = isinstance(sound, SndfileSound) and form.dtype
            yield sound.read_plain(count, form.dtype) if is_plain else sound.read(count)


def _samples(sound: Sound) -> tuple[str, str]:
    """Return the subtype to write, and the type to read if samples are plain."""
    subtype = sound.subtype if isinstance(sound, SndfileSound) else ""
    if subtype in _INTEGERS:
        return _INTEGERS[subtype], "int32"
    return ("DOUBLE", "float64") if subtype == "DOUBLE" else ("FLOAT", "")


def _bext(source: Path, *, first: int, rate: int, label: str) -> bytes:
    said = dict(reversed(read_metadata(source).fields))  # the first of several
    reference = round(float(said.get("time_reference") or 0) * rate)

    def text(name: str, size: int, default: str = "") -> bytes:
        raw = said.get(name, default).encode(errors="replace")[:size]
        return raw.decode(errors="ignore").encode()

    date = text("date", 10) if len(said.get("date", "")) == 10 else b""
    history = text("coding_history", 2**16)
    return (
        _BEXT.pack(
            text("description", 256, label),
            text("originator", 32),
            text("originator_reference", 32),
            date,
            text("time", 8),
            reference + first,
            _VERSION,
            b"",
        )
        + history
        + bytes(len(history) % 2)
    )


def _insert(plain: BinaryIO, bext: bytes, file: BinaryIO) -> None:
    """Copy a wav with a `bext` chunk before the others, where EBU Tech 3285 wants it."""
    plain.seek(4)
    (size,) = struct.unpack("<I", plain.read(4))
    file.write(b"RIFF" + struct.pack("<I", size + 8 + len(bext)) + b"WAVE")
    file.write(b"bext" + struct.pack("<I", len(bext)) + bext)
    plain.seek(12)
    shutil.copyfileobj(plain, file)
