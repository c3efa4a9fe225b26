"""Small pictures of sounds. Shapes: N samples, C columns, B bands."""

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from utils.audio.downmix import mix_down
from utils.audio.sound import Sound

_COLUMNS, _BANDS = 800, 72  # of the picture, in pixels
_FRAME = 2048  # samples per spectrum
_SPECTRA = 3 * _COLUMNS  # at most; a longer sound has gaps between them
_OVERLAP = 4  # spectra that contain each sample of a short sound
_WORTH_A_SEEK = 8  # frames between spectra, above which the samples between are not read
_LOWEST, _HIGHEST = 60.0, 16_000.0  # Hz
_RANGE = 65.0  # dB below the loudest place; below it all is transparent
_CURVE = 0.8  # below 1, quiet places are easier to see
_QUIETEST = 1e-10  # of the power at full scale; below it, all is silence


def draw(sound: Sound) -> bytes:
    """Draw the spectrogram of an open sound as a PNG.

    Time runs to the right, pitch upwards on the mel scale. The opacity shows the level, so that a
    page can choose the colour. Long sounds are not read whole, which bounds time and memory. The
    sound is open at its beginning.
    """
    levels = _levels(_spectra(sound), sound.samplerate)
    opacity = (np.clip(1 + levels / _RANGE, 0, 1) ** _CURVE * 255).round().astype(np.uint8)
    picture = Image.fromarray(np.stack([np.zeros_like(opacity), opacity], axis=-1), mode="LA")
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _spectra(sound: Sound) -> NDArray[np.float32]:
    """Compute power spectra, evenly spread over the sound: shape (C, _FRAME // 2 + 1).

    A column shows the loudest of its spectra at each frequency.
    """
    frames = sound.count() if sound.frames is None else sound.frames
    count = int(np.clip(_OVERLAP * frames // _FRAME, 1, _SPECTRA))
    starts = np.linspace(0, max(0, frames - _FRAME), count).astype(np.int64)
    length = min(_FRAME, max(1, frames))
    window = np.hanning(length + 2)[1:-1].astype(np.float32)
    columns = np.zeros((min(count, _COLUMNS), _FRAME // 2 + 1), np.float32)
    held, held_from = np.empty(0, np.float32), 0
    gaps = frames > _WORTH_A_SEEK * _FRAME * count
    for number, start in enumerate(starts):
        if gaps:
            sound.seek(int(start))
            held, held_from = _mono(sound, _FRAME), int(start)
        elif start + _FRAME > held_from + len(held):
            held = np.concatenate([held[start - held_from :], _mono(sound, 32 * _FRAME)])
            held_from = int(start)
        frame = held[start - held_from :][:length]
        frame = np.pad(frame, (0, length - len(frame)))  # if the header promised more
        power = np.abs(np.fft.rfft(frame * window, _FRAME)).astype(np.float32) ** 2
        column = columns[number * len(columns) // count]
        np.maximum(column, power, out=column)
    return columns


def _mono(sound: Sound, frames: int) -> NDArray[np.float32]:
    return np.nan_to_num(mix_down(sound.read(frames)))


def _levels(spectra: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Turn spectra into levels in dB, the loudest 0, the highest band first: shape (B, columns)."""
    powers = spectra @ _bands(rate)
    levels = 10 * np.log10(powers / (_FRAME / 4) ** 2 + _QUIETEST)
    loudest = max(levels.max(), 10 * np.log10(_QUIETEST) + _RANGE)  # silence stays empty
    levels = (levels - loudest).T[::-1]
    wide = np.arange(_COLUMNS) * levels.shape[1] // _COLUMNS
    return levels[:, wide]


@functools.lru_cache(maxsize=16)
def _bands(rate: int) -> NDArray[np.float32]:
    """Weigh frequencies for each band: triangles on the mel scale, shape (_FRAME // 2 + 1, B)."""
    highest = min(_HIGHEST, rate / 2)
    mels = np.linspace(_mel(min(_LOWEST, highest / 2)), _mel(highest), _BANDS + 2)
    edges = 700 * (np.exp(mels / 1127) - 1)
    frequencies = np.arange(_FRAME // 2 + 1) * rate / _FRAME
    # At least as wide as the frequencies are apart, so that no low band is empty.
    below = np.minimum(edges[:-2], edges[1:-1] - rate / _FRAME)
    above = np.maximum(edges[2:], edges[1:-1] + rate / _FRAME)
    rising = (frequencies[:, None] - below) / (edges[1:-1] - below)
    falling = (above - frequencies[:, None]) / (above - edges[1:-1])
    weights = np.clip(np.minimum(rising, falling), 0, 1)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _mel(frequency: float) -> float:
    return 1127 * np.log1p(frequency / 700)
