"""Levels of a sound: what is odd about them, and how to bring them to a common loudness.

Shapes: N samples, W windows, S samples of a window.
"""

import math

import numpy as np
from numpy.typing import NDArray

# Of full scale. A 16-bit file of silence, dithered or not, has no other samples than -1, 0 and 1.
_SILENT = 2.1 / 2**15
_QUIET = 0.01  # a peak of -40 dBFS
_OFFSET = 0.01
_INTEGERS = 64.0  # no sound is 36 dB above full scale

_LOUDNESS = 10 ** (-23 / 20)  # RMS after normalisation, as EBU R 128 has it for programmes
_MOST_GAIN = 100.0  # 40 dB; beyond it, the noise of 16 bits would be heard


class Levels:
    """What is measured of a sound, block by block, after its channels are mixed."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = self._squares = 0.0
        self._lowest, self._highest = math.inf, -math.inf
        self._integers = True

    def add(self, mono: NDArray[np.float32]) -> None:
        """Take in a block, shape (N,)."""
        self._count += len(mono)
        self._sum += float(mono.sum(dtype=np.float64))
        self._squares += float(mono @ mono)
        lowest, highest = float(mono.min()), float(mono.max())
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        if max(-lowest, highest) >= _INTEGERS and self._integers:
            self._integers = np.array_equal(mono, np.rint(mono))

    @property
    def notes(self) -> list[str]:
        """What is odd, each a predicate without its subject, the sound."""
        if self._highest - self._lowest <= _SILENT:
            return ["is digital silence"]
        largest = max(-self._lowest, self._highest)
        if largest >= _INTEGERS and self._integers:
            return [
                f"holds integers up to {largest:.0f} as floating-point samples, whose full scale "
                "is 1"
            ]
        found = []
        if abs(self._offset) >= _OFFSET:
            found.append(f"has a DC offset of {self._offset:+.2f}")
        if self._peak < _QUIET:
            found.append(f"is very quiet (peak {20 * math.log10(self._peak):.0f} dBFS)")
        return found

    @property
    def gain(self) -> float:
        """The factor that brings the sound to an RMS of -23 dBFS.

        It is smaller if the peak would exceed full scale, and at most 100; that of silence is 1.
        """
        power = self._squares / self._count - self._offset**2
        if self._highest - self._lowest <= _SILENT or power <= 0:
            return 1.0
        return min(_LOUDNESS / math.sqrt(power), 1 / self._peak, _MOST_GAIN)

    @property
    def _offset(self) -> float:
        return self._sum / self._count

    @property
    def _peak(self) -> float:
        return max(self._highest - self._offset, self._offset - self._lowest)


def silent(windows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the windows, shape (W, S), with nothing above the last bit of 16: shape (W,)."""
    return np.ptp(windows, axis=1) <= _SILENT
