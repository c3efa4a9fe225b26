"""Channels ─► one: the mean, unless it loses what the channels hold.

The energy of any weighted sum of channels follows from their covariance. So one pass over a sound,
block by block, shows whether the mean is safe, and what to take if it is not.

Shapes: N samples, C channels.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# In dB: the energy of the mean against the mean energy of the channels, and against the strongest.
_CANCELS, _FAINT = -9.0, -12.0
_OPPOSED = 0.5  # of the energy of a sum of unrelated channels; below it, channels cancel
_AS_STRONG = 0.99  # of the energy: rounding does not choose between equal channels
_QUIETEST = 1e-14  # of the power at full scale; below it, all is silence

# An ambisonic file holds the whole sphere in its first channel (W), and three dipoles after it,
# whose energies add up to that of W (SN3D), whatever was recorded.
_AMBISONIC = {(order + 1) ** 2 for order in range(1, 8)}  # channels
_DIPOLES = slice(1, 4)
_DIPOLES_WITHIN = 1.0  # dB
_LIVE = 0.01  # of the energy of W: the horizontal dipoles of a recording have more


def mix_down(
    samples: NDArray[np.float32], weights: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Sum weighted channels, or take their mean: (N, C) ─► (N,)."""
    if weights is not None:
        return samples @ weights
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


class Downmix(NamedTuple):
    """A weighted sum of channels, and why it is taken."""

    weights: NDArray[np.float32]  # (C,)
    reason: str  # a predicate without its subject, the sound


class Channels:
    """The covariance of the channels of a sound, gathered block by block.

    Examples
    --------
    The right channel is the left one with its sign changed:

    >>> left = np.sin(np.arange(1000, dtype=np.float32))
    >>> channels = Channels()
    >>> channels.add(np.stack([left, -left], axis=1))
    >>> channels.safe_downmix().weights
    array([1., 0.], dtype=float32)

    """

    def __init__(self) -> None:
        self.count = 0  # C
        self._frames = 0
        self._sums = np.zeros(1)  # (C,) after the first block
        self._products = np.zeros((1, 1))  # (C, C)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take in a block, shape (N, C)."""
        self.count = samples.shape[1]
        if self.count == 1:
            return
        self._frames += len(samples)
        self._sums = self._sums + (np.ones(len(samples), np.float32) @ samples).astype(np.float64)
        self._products = self._products + (samples.T @ samples).astype(np.float64)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The covariance, shape (C, C): constant offsets are not sound."""
        means = self._sums / self._frames
        return self._products / self._frames - np.outer(means, means)

    def safe_downmix(self) -> Downmix | None:
        """Choose a downmix that keeps the sound; None: the mean over the channels does.

        The mean is not used if its energy is 9 dB or more below the mean energy of the channels, or
        12 dB below the strongest channel. Then channels cancel, and the strongest one is taken; or
        most are empty or unrelated, and their sum is taken at the level of the strongest. Of an
        ambisonic file (ACN, SN3D) the first channel is taken, because the mean hears one side of it
        alone.
        """
        if (count := self.count) < 2:
            return None
        covariance = self.covariance
        energies = covariance.diagonal()
        if energies.max() < _QUIETEST:
            return None
        if _is_ambisonic(energies):
            return _only(0, count, "it is ambisonic")
        mean = covariance.sum() / count**2
        cancels = _decibels(mean, energies.mean()) <= _CANCELS
        if not cancels and _decibels(mean, energies.max()) > _FAINT:
            return None
        if covariance.sum() < _OPPOSED * energies.sum():
            strongest = int(np.argmax(energies >= _AS_STRONG * energies.max()))
            return _only(strongest, count, "its channels cancel in the mean")
        weight = math.sqrt(energies.max() / covariance.sum())
        return Downmix(
            np.full(count, weight, np.float32),
            f"is tagged from the sum of its {count} channels, because their mean is quiet",
        )


def _only(channel: int, count: int, why: str) -> Downmix:
    weights = np.zeros(count, np.float32)
    weights[channel] = 1
    return Downmix(weights, f"is tagged from channel {channel + 1} of {count}, because {why}")


def _is_ambisonic(energies: NDArray[np.float64]) -> bool:
    if len(energies) not in _AMBISONIC:
        return False
    whole, (y, _, x) = energies[0], energies[_DIPOLES]
    dipoles = _decibels(energies[_DIPOLES].sum(), whole)
    return abs(dipoles) <= _DIPOLES_WITHIN and min(x, y) > _LIVE * whole


def _decibels(energy: float, reference: float) -> float:
    return 10 * math.log10(max(energy, 1e-30) / reference) if reference > 0 else math.inf
