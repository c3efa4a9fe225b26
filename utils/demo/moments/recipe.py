"""How a recording is put together: sounds cut to what is heard, over a background, at asked levels.

As in Clotho-Moment (H. Munakata et al., "Language-based audio moment retrieval", 2024): silence at
both ends of a sound is cut off, sounds do not overlap, and each is -5 to 5 dB against the
background. Shape letters: N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOREGROUND_DB = (-5.0, 5.0)  # RMS of a sound against that of the background in the same place
BACKGROUND_DB = (-25.0, -15.0)  # RMS, relative to full scale
GAP_SECONDS = 30.0  # before a sound, on average
HIGHEST_PEAK = 0.97
_CROSSFADE_SECONDS = 2.0
_EDGE_SECONDS = 0.01  # faded at both ends of a sound against clicks
_FAINTEST = 0.1  # a background counts as no quieter than 20 dB below its RMS

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Placed:
    """A sound in a recording: where it starts (samples), and its level against the background."""

    start: int
    samples: Samples
    db: float


def rms(samples: Samples) -> float:
    """Return the root mean square of samples, shape (N,)."""
    return float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))


def audible(samples: Samples, rate: int, *, block_seconds: float, below_db: float) -> Samples:
    """Cut off what is quiet at both ends of a sound, shape (N,), in whole blocks.

    What is kept begins and ends with a block whose power is at most `below_db` below that of the
    whole sound, and is faded for 10 ms at both ends.
    """
    block = max(1, round(block_seconds * rate))
    starts = np.arange(0, len(samples), block)
    sizes = np.diff(np.append(starts, len(samples)))
    powers = np.add.reduceat(np.square(samples), starts, dtype=np.float64) / sizes
    loud = np.flatnonzero(powers >= rms(samples) ** 2 * 10 ** (-below_db / 10))
    kept = samples[starts[loud[0]] : starts[loud[-1]] + sizes[loud[-1]]].copy()
    edge = min(len(kept) // 2, round(_EDGE_SECONDS * rate))
    ramp = np.linspace(0, 1, edge, dtype=np.float32)
    kept[:edge] *= ramp
    kept[len(kept) - edge :] *= ramp[::-1]
    return kept


def looped(samples: Samples, n: int, rate: int) -> Samples:
    """Repeat a background until it has `n` samples; its ends are crossfaded for up to 2 s."""
    if len(samples) >= n:
        return samples[:n]
    fade = min(len(samples) // 2, round(_CROSSFADE_SECONDS * rate))
    rise = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1))  # of equal power
    ramp = rise.astype(np.float32)
    piece = samples.copy()
    piece[:fade] *= ramp
    piece[len(piece) - fade :] *= ramp[::-1]
    out = np.zeros(fade + n + len(piece), np.float32)
    for start in range(0, fade + n, len(piece) - fade):
        out[start : start + len(piece)] += piece
    return out[fade : fade + n]


def mix(background: Samples, level_db: float, sounds: Sequence[Placed]) -> Samples:
    """Add sounds to a background of level `level_db`, each at its level against the background.

    The whole is scaled down if its peak would exceed 0.97.
    """
    level = 10 ** (level_db / 20)
    background = background * np.float32(level / rms(background))
    out = background.copy()
    for sound in sounds:
        place = slice(sound.start, sound.start + len(sound.samples))
        behind = max(rms(background[place]), _FAINTEST * level)
        gain = behind * 10 ** (sound.db / 20) / rms(sound.samples)
        out[place] += sound.samples * np.float32(gain)
    return out * np.float32(min(1.0, HIGHEST_PEAK / max(out.max(), -out.min())))
