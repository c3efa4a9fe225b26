"""Building blocks of synthesis: noise, modes, harmonics, resonances, envelopes, placing in time.

Everything works on float64 arrays of shape (N,) at a given sample rate in Hz, N samples.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

Signal = NDArray[np.float64]

PEAK = 0.98
FADE_SECONDS = 0.004
NYQUIST_SHARE = 0.45  # nothing is placed above this share of the sample rate
LN_60_DB = np.log(1000.0)  # a level 60 dB down is a factor of 1000 in amplitude
FIRST_ONSET = 0.01


def length(seconds: float, rate: int) -> int:
    """Samples in `seconds`, at least 1."""
    return max(1, round(seconds * rate))


def silence(seconds: float, rate: int) -> Signal:
    """Samples of 0, for `place` to add sounds to."""
    return np.zeros(length(seconds, rate))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number uniformly on a logarithmic scale, as fits frequencies and times."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def time_axis(n: int, rate: int) -> Signal:
    """Return times of `n` samples in seconds."""
    return np.arange(n) / rate


def shaped_noise(
    rng: np.random.Generator, n: int, rate: int, gain: Callable[[Signal], Signal]
) -> Signal:
    """Gaussian noise of unit RMS whose amplitude spectrum is ``gain(frequencies in Hz)``."""
    size = fft.next_fast_len(max(n, 64), real=True)
    frequencies = np.maximum(fft.rfftfreq(size, 1 / rate), 1.0)
    shape = gain(frequencies)
    draws = rng.standard_normal((2, len(frequencies)), dtype=np.float32)
    noise = fft.irfft(shape * (draws[0] + 1j * draws[1]), size)
    return noise[:n] / (np.sqrt(np.mean(noise**2)) + 1e-12)


def band_noise(
    rng: np.random.Generator,
    n: int,
    rate: int,
    low: float,
    high: float,
    *,
    order: float = 2.0,
    tilt: float = 0.0,
) -> Signal:
    """Noise of unit RMS between `low` and `high` Hz, Butterworth-like edges, falling as f^-tilt."""

    def gain(f: Signal) -> Signal:
        edges = (1 + (low / f) ** (2 * order)) * (1 + (f / high) ** (2 * order))
        return edges**-0.5 * (f / low) ** -tilt

    return shaped_noise(rng, n, rate, gain)


def band_filter(x: Signal, low: float | None, high: float | None, rate: int) -> Signal:
    """Second-order Butterworth high-pass at `low` and low-pass at `high`; None leaves one out."""
    top = NYQUIST_SHARE * rate
    if low is not None:
        x = signal.sosfilt(signal.butter(2, min(low, top), "high", fs=rate, output="sos"), x)
    if high is not None and high < top:
        x = signal.sosfilt(signal.butter(2, high, "low", fs=rate, output="sos"), x)
    return x


def resonances(
    x: Signal,
    frequencies: Sequence[float],
    bandwidths: Sequence[float],
    gains: Sequence[float],
    rate: int,
) -> Signal:
    """Sum of two-pole resonators (formants, bodies, cavities) of the given peak gains."""
    out = np.zeros_like(x)
    for frequency, bandwidth, gain in zip(frequencies, bandwidths, gains, strict=True):
        if frequency < NYQUIST_SHARE * rate:
            # the constant-peak resonator of J. O. Smith, "Introduction to Digital Filters"
            radius = np.exp(-np.pi * bandwidth / rate)
            numerator = gain * (1 - radius**2) / 2 * np.array([1.0, 0.0, -1.0])
            pole = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2]
            out += signal.lfilter(numerator, pole, x)
    return out


def damped(frequency: float, t60: float, n: int, rate: int, *, attack: float = 0.0) -> Signal:
    """Sine at `frequency` Hz that falls by 60 dB in `t60` seconds, after a rise of `attack` s.

    The powers of the complex pole are an outer product of two short runs, which costs one
    multiplication per sample instead of a sine and an exponential.
    """
    log_pole = (-LN_60_DB / t60 + 2j * np.pi * frequency) / rate
    run = int(np.sqrt(n)) + 1
    fine = np.exp(log_pole * np.arange(run))
    coarse = np.exp(log_pole * run * np.arange(-(-n // run)))
    out = np.outer(coarse, fine).imag.ravel()[:n]
    rise = min(n, round(attack * rate))
    if rise > 1:
        out[:rise] *= np.linspace(0, 1, rise)
    return out


def modes(
    frequencies: ArrayLike,
    t60s: ArrayLike,
    gains: ArrayLike,
    n: int,
    rate: int,
    *,
    attack: float = 0.0,
) -> Signal:
    """Sum of `damped` sines below Nyquist: a struck bell, bar, membrane or string."""
    out = np.zeros(n)
    for frequency, t60, gain in np.broadcast(*np.atleast_1d(frequencies, t60s, gains)):
        if frequency < NYQUIST_SHARE * rate:
            heard = min(n, length(1.1 * t60, rate))
            out[:heard] += gain * damped(frequency, t60, heard, rate, attack=attack)
    return out


def harmonics(cycles: Signal, gains: ArrayLike) -> Signal:
    """Sum of ``gains[k-1] * sin(2 pi k cycles)`` by Chebyshev's recursion."""
    angle = 2 * np.pi * cycles
    twice_cosine, previous, current = 2 * np.cos(angle), np.zeros_like(angle), np.sin(angle)
    out = np.zeros_like(angle)
    for gain in np.atleast_1d(gains):
        out += gain * current
        previous, current = current, twice_cosine * current - previous
    return out


def harmonic_count(pitch: ArrayLike, rate: int, *, most: int = 40) -> int:
    """How many harmonics of the highest `pitch` (Hz) stay below Nyquist, at most `most`."""
    return int(np.clip(NYQUIST_SHARE * rate / np.max(pitch), 1, most))


def phase(pitch: Signal, rate: int) -> Signal:
    """Cycles run through by a tone of time-varying `pitch` in Hz."""
    return np.cumsum(pitch) / rate


def buzz(pitch: Signal, rate: int, *, slope: float = 1.0, most: int = 40) -> Signal:
    """Voice-like or reed-like source: harmonics of `pitch` falling as k^-slope."""
    k = np.arange(1, harmonic_count(pitch, rate, most=most) + 1)
    return harmonics(phase(pitch, rate), k**-slope)


def wander(
    rng: np.random.Generator, n: int, rate: int, knots_per_second: float, low: float, high: float
) -> Signal:
    """Smooth random curve between `low` and `high` with about `knots_per_second` turns a second."""
    position = rng.uniform() + time_axis(n, rate) * knots_per_second
    knots = rng.uniform(low, high, int(position[-1]) + 2)
    index = position.astype(np.intp)
    ease = position - index
    ease = ease * ease * (3 - 2 * ease)
    return knots[index] * (1 - ease) + knots[index + 1] * ease


def contour(points: Sequence[float], n: int) -> Signal:
    """Piecewise linear curve through equally spaced `points`."""
    return np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(points)), points)


def swell(n: int, rate: int, attack: float, release: float) -> Signal:
    """Envelope of 1 with raised-cosine rise and fall of the given seconds."""
    t = time_axis(n, rate)
    rise = np.clip(t / max(attack, 1e-6), 0, 1)
    fall = np.clip((t[-1] - t) / max(release, 1e-6), 0, 1)
    return np.sin(np.pi / 2 * np.minimum(rise, 1)) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def decay(n: int, rate: int, t60: float, *, attack: float = 0.0005) -> Signal:
    """Exponential decay by 60 dB in `t60` seconds after a linear rise of `attack` seconds."""
    t = time_axis(n, rate)
    return np.exp(-LN_60_DB * t / t60) * np.clip(t / max(attack, 1e-6), 0, 1)


def onset_times(
    rng: np.random.Generator, count: int, seconds: float, *, tail: float = 0.0, jitter: float = 0.05
) -> Signal:
    """`count` nearly regular onsets (count,) in seconds, leaving `tail` for the last to ring out.

    The tail takes at most two thirds of the sound. `jitter` is a share of the period.
    """
    period = (seconds - min(tail, 2 * seconds / 3)) / max(count, 1)
    times = FIRST_ONSET + np.arange(count) * period
    times[1:] += rng.uniform(-jitter, jitter, max(count - 1, 0)) * period
    return times


def random_times(rng: np.random.Generator, per_second: float, seconds: float) -> Signal:
    """Onsets of a Poisson process, in seconds, sorted."""
    return np.sort(rng.uniform(0, seconds, rng.poisson(per_second * seconds)))


def impulses(times: ArrayLike, gains: ArrayLike, n: int, rate: int) -> Signal:
    """Array of `n` samples with an impulse of the given gain at each time (s)."""
    out = np.zeros(n)
    index = np.round(np.asarray(times) * rate).astype(np.intp)
    inside = (index >= 0) & (index < n)
    np.add.at(out, index[inside], np.broadcast_to(gains, index.shape)[inside])
    return out


def place(out: Signal, sound: Signal, time: float, rate: int, gain: float = 1.0) -> None:
    """Add `sound` to `out` in place from `time` seconds on; what does not fit is cut off."""
    start = max(0, round(time * rate))
    part = sound[: max(0, len(out) - start)]
    out[start : start + len(part)] += gain * part


def normalise(x: Signal) -> Signal:
    """Scale to a peak of 1; silence stays silence."""
    peak = np.max(np.abs(x), initial=0.0)
    return x / peak if peak > 0 else x


def finish(x: Signal, rate: int) -> NDArray[np.float32]:
    """Fade both ends against clicks, scale to the common peak, convert to float32."""
    fade = min(len(x) // 2, length(FADE_SECONDS, rate))
    ramp = np.linspace(0, 1, fade)
    out = x.copy()
    out[:fade] *= ramp
    out[len(x) - fade :] *= ramp[::-1]
    return (PEAK * normalise(out)).astype(np.float32)
