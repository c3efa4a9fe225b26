"""What a sound is, in nine bytes every 32 ms, so that other formats of it are recognised.

After Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): bit m of a
step says whether the difference in level of bands m and m + 1 is larger than it was 256 ms before.
As the window is as long, both differences are of other samples. A second word says which of these
changes are strong (1.5 dB): the others are left to chance by any coding. Levels and sample rates
do not matter, and noise is recognised as well as speech, because no noise is like another.

Shapes: N samples, C channels, T steps.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.audio.downmix import mix_down

RATE = 8000  # Hz
HOP, _WINDOW = 256, 2048  # samples: 32 and 256 ms
STEP = np.dtype([("level", "i1"), ("bits", "<u4"), ("strong", "<u4")])  # level: in dB
STEP_SECONDS = HOP / RATE
_BITS = 32
_LOWEST, _HIGHEST = 100.0, 3600.0  # Hz
_BEFORE = _WINDOW // HOP  # steps between the two differences
_STRONG = 1.5  # dB
_MASKED = 1e-3  # of the power of a window: what is 30 dB below it does not count in a band
_FLOOR = 1e-9  # of the power at full scale
_AT_ONCE = 64  # windows; bounds the memory

_SOUNDING = 36  # dB below the loudest step; beyond it, there is silence
_FULLY = 18  # dB below it; beyond it, steps count less and less
_SILENT = -90  # dB
_SEEK = 40  # steps around the places where beginnings or ends meet
_SEEN = 200  # steps that are compared at each of them
_MOST_CUT = 31  # steps that may be missing at an end
_LEAST_CUT = 4
_SHARE_CUT = 0.1  # of the longer sound
_SECOND = 31  # steps
_STEADY = 3  # strong bits per step; with less, such as tones, sounds are never the same
_EVIDENCE = 5  # in a second; with less, it says nothing
_SAME, _SAME_SECOND = 0.7, 0.6  # least likeness: of all, and of the second that is least alike
_KEYS = 32  # steps


class Fingerprinter:
    """Gathers the fingerprint of a sound, block by block.

    Parameters
    ----------
    samplerate : int
        Of the blocks, in Hz.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((16_000, 1)).astype(np.float32) / 10
    >>> loud, quiet = Fingerprinter(16_000), Fingerprinter(16_000)
    >>> loud.add(noise)
    >>> quiet.add(noise / 10)
    >>> is_same(loud.finish(), quiet.finish())
    True

    """

    def __init__(self, samplerate: int) -> None:
        self._resampler = None
        if samplerate != RATE:
            import soxr

            self._resampler = soxr.ResampleStream(
                samplerate, RATE, 1, dtype="float32", quality="MQ"
            )
        self._held = np.zeros(_WINDOW - HOP, np.float32)
        self._differences = np.zeros((_BEFORE, _BITS), np.float32)  # of the last steps
        self._steps: list[NDArray] = []

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take in a block, shape (N, C)."""
        self._add(mix_down(samples), last=False)

    def finish(self) -> NDArray:
        """Return the fingerprint, shape (T,) of `STEP`, after the last block."""
        self._add(np.empty(0, np.float32), last=True)
        return np.concatenate([*self._steps, np.empty(0, STEP)])

    def _add(self, mono: NDArray[np.float32], *, last: bool) -> None:
        if self._resampler:
            mono = self._resampler.resample_chunk(np.ascontiguousarray(mono), last=last)
        ending = [np.zeros(_WINDOW, np.float32)] if last else []
        held = np.concatenate([self._held, mono, *ending])
        count = max(0, (len(held) - _WINDOW) // HOP + 1)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(held, _WINDOW)[::HOP]
            for first in range(0, count, _AT_ONCE):
                self._steps.append(self._measure(windows[first : first + _AT_ONCE]))
        self._held = held[count * HOP :]

    def _measure(self, windows: NDArray[np.float32]) -> NDArray:
        window, bands = _window(), _bands()
        powers = np.square(np.abs(np.fft.rfft(windows * window, axis=1))).astype(np.float32) @ bands
        whole = powers.sum(axis=1, keepdims=True)
        levels = 10 * np.log10(powers + _MASKED * whole + _FLOOR / len(powers[0]))
        differences = np.concatenate([self._differences, levels[:, :-1] - levels[:, 1:]])
        self._differences = differences[-_BEFORE:]
        changes = differences[_BEFORE:] - differences[:-_BEFORE]
        steps = np.empty(len(windows), STEP)
        steps["level"] = np.clip(np.rint(10 * np.log10(whole[:, 0] + 1e-12)), -120, 120)
        steps["bits"] = _packed(changes > 0)
        steps["strong"] = _packed(np.abs(changes) > _STRONG)
        return steps


class Likeness(NamedTuple):
    """How alike two sounds are: at most 1, and about 0 for sounds that have nothing in common."""

    overall: float
    least: float  # in the second that is least alike
    cut: int  # steps that one has and the other lacks, at one end


def is_same(a: NDArray, b: NDArray) -> bool:
    """Whether two fingerprints, shapes (T,) of `STEP`, are of the same sound in other forms."""
    longer = max(end - begin for begin, end in (sounding_part(a), sounding_part(b)))
    overall, least, cut = likeness(a, b)
    return overall >= _SAME and least >= _SAME_SECOND and cut <= may_be_cut(longer)


def sounding_part(steps: NDArray) -> tuple[int, int]:
    """Return where a sound begins and ends, without the silence around it."""
    (loud,) = np.nonzero(_loudness(steps))
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)


def may_be_cut(length: int) -> int:
    """Return how many steps may be missing at an end of a sound of this length."""
    return int(min(_MOST_CUT, max(_LEAST_CUT, _SHARE_CUT * length)))


def keys_of(steps: NDArray) -> NDArray[np.int64]:
    """Return words of a fingerprint of which its other forms are likely to have some, at most 128.

    They are the bits of the steps with most strong ones, each four times, less other eight.
    """
    begin, end = sounding_part(steps)
    strong = np.bitwise_count(steps["strong"][begin:end])
    best = np.argsort(-strong.astype(int), kind="stable")[:_KEYS]
    bits = steps["bits"][begin:end][best[strong[best] >= _EVIDENCE]].astype(np.int64)
    return np.unique([(bits & ~(0xFF << 8 * left_out)) + (left_out << 32) for left_out in range(4)])


def likeness(a: NDArray, b: NDArray) -> Likeness:
    """Compare two fingerprints where they fit best."""
    (a0, a1), (b0, b1) = sounding_part(a), sounding_part(b)
    longer = max(a1 - a0, b1 - b0)
    unlike = Likeness(0.0, 0.0, longer)
    if not min(a1 - a0, b1 - b0):
        return unlike
    shift = _best_shift(a, b, (a0, a1), (b0, b1))
    begin, end = max(a0, b0 - shift), min(a1, b1 - shift)
    if end - begin <= longer / 2:
        return unlike
    cut = abs(b0 - shift - a0), abs(b1 - shift - a1)
    if end - begin > 2 * _SECOND:  # changes at an end that was cut are of another kind
        begin += 2 * _BEFORE * (cut[0] > 1)
        end -= _BEFORE * (cut[1] > 1)
    agreed, most = _agreement(a, b, np.arange(begin, end), np.arange(begin, end) + shift)
    if most.sum() < _STEADY * _loudness(a)[begin:end].sum():
        return unlike
    second = np.ones(min(_SECOND, len(most)))
    agreed_of, most_of = (np.convolve(part, second, "valid") for part in (agreed, most))
    speaks = most_of >= _EVIDENCE * len(second)
    least = (agreed_of[speaks] / most_of[speaks]).min(initial=1.0)
    return Likeness(float(agreed.sum() / most.sum()), float(least), max(cut))


def _best_shift(a: NDArray, b: NDArray, of_a: tuple[int, int], of_b: tuple[int, int]) -> int:
    """Find by how many steps the second sound is later than the first."""
    (a0, a1), (b0, b1) = of_a, of_b
    seek = np.arange(-_SEEK, _SEEK + 1)
    shifts = np.unique([b0 - a0 + seek, b1 - a1 + seek])
    steps = np.unique(np.linspace(a0, a1 - 1, _SEEN).astype(int))
    there = steps + shifts[:, None]
    inside = (there >= b0) & (there < b1)
    agreed, most = _agreement(a, b, steps, np.where(inside, there, b0))
    agreed, most = (agreed * inside).sum(axis=1), (most * inside).sum(axis=1)
    fits = np.where(2 * inside.sum(axis=1) > len(steps), agreed / np.maximum(most, 1), -1.0)
    return int(shifts[fits.argmax()])


def _agreement(
    a: NDArray, b: NDArray, steps: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count strong bits in pairs of steps: those that agree less those that do not, and all."""
    weights = np.maximum(_loudness(a)[steps], _loudness(b)[others])
    a, b = a[steps], b[others]
    both = a["strong"] & b["strong"]
    differ = np.bitwise_count(both & (a["bits"] ^ b["bits"])).astype(float)
    either = (np.bitwise_count(a["strong"]).astype(float) + np.bitwise_count(b["strong"])) / 2
    return weights * (np.bitwise_count(both) - 2 * differ), weights * either


def _loudness(steps: NDArray) -> NDArray[np.float64]:
    """Return how much each step counts: 0 in silence, and 1 from 18 dB below the loudest on."""
    levels = steps["level"].astype(float)
    silent = max(levels.max(initial=_SILENT) - _SOUNDING, _SILENT)
    return np.clip((levels - silent) / (_SOUNDING - _FULLY), 0, 1)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]


@cache
def _window() -> NDArray[np.float32]:
    window = np.hanning(_WINDOW + 1)[:-1]
    return (window / np.sqrt(np.square(window).sum())).astype(np.float32)


@cache
def _bands() -> NDArray[np.float32]:
    """Return the share of each bin of the FFT in each band, evenly spaced in pitch: (1025, 33)."""
    width = RATE / _WINDOW
    middles = np.arange(_WINDOW // 2 + 1) * width
    edges = np.geomspace(_LOWEST, _HIGHEST, _BITS + 2)
    above = np.maximum(middles[:, None] - width / 2, edges[:-1])
    below = np.minimum(middles[:, None] + width / 2, edges[1:])
    return (np.maximum(below - above, 0) / (RATE / 2)).astype(np.float32)
