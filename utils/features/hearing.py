"""How PaSST hears sounds: their channels, loudness and windows.

Shapes: C channels, W windows of a sound, S samples of a window, D numbers per window, K of them
logits.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CLASSES, SILENCE
from utils.audio.downmix import Channels, Downmix
from utils.audio.levels import Levels, silent
from utils.audio.sound_file import mono_blocks
from utils.audio.windows import cut_windows, heard_weights

# The logits of a silent window: "Silence" and nothing else. No network gives this very number.
_CERTAIN = 12.1
_BESIDE_SOUND = 1e-6  # the weight of a silent window


class Hearing(NamedTuple):
    """What is done to sounds for PaSST. conf.yaml explains the values (`passt` and `search`).

    The defaults are what was published.
    """

    mono: str = "mean"  # or "safe"
    windows: str = "published"  # or "heard"
    normalise: bool = False

    @property
    def recorded(self) -> dict[str, Any]:
        """What files record: all that differs from what was published, and from older files."""
        return dict(self._asdict().items() - self._field_defaults.items())


PUBLISHED = Hearing()


class HeardSound:
    """A sound that is measured while its windows are read.

    Parameters
    ----------
    path : Path
    hearing : Hearing
    sample_rate : int
        In Hz.
    accept_truncated : bool
        Use a truncated file as far as it goes.
    cutting
        Arguments of `utils.audio.windows.cut_windows`.

    """

    def __init__(
        self,
        path: Path,
        hearing: Hearing,
        *,
        sample_rate: int,
        accept_truncated: bool = False,
        **cutting: int,
    ) -> None:
        self.path, self._hearing = path, hearing
        self._accept_truncated = accept_truncated
        self.samples = 0  # N at `sample_rate`, after the last part
        self._sample_rate, self._cutting = sample_rate, cutting
        self._weights: NDArray[np.float32] | None = None  # of the channels; None: their mean
        self._downmix: Downmix | None = None
        self._read_to_end = False
        self._fault: str | None = None  # why less is heard than there should be

    def parts(self) -> Iterator[NDArray[np.float32]]:
        """Read the windows: arrays of shape (W, S), of which the first may have none.

        Raises
        ------
        UnusableSound
            If the file cannot be used, perhaps after some parts.

        """
        parts = self._windows()
        first = next(parts)
        if self._hearing.normalise or (self._hearing.mono == "safe" and self._channels.count > 1):
            if not self._read_to_end:
                # What is long is left to the thread that takes the parts: it can be interrupted.
                yield first[:0]
                self._measure_all()
            if self._mix_otherwise():
                parts = self._windows(measured=self._hearing.normalise)
                first = next(parts)
        yield first
        yield from parts

    @property
    def notes(self) -> list[str]:
        """What is odd about the sound, after the last part: predicates without their subject."""
        found = []
        if self._fault:
            seconds = self.samples / self._sample_rate
            found.append(f"{self._fault}, heard as far as {seconds:.1f} s")
        if self._downmix:
            found.append(self._downmix.reason)
        elif self._hearing.mono == "mean" and self._channels.safe_downmix():
            found.append("loses sound in the mean over its channels")
        return [*found, *self._levels.notes]

    def mean_over_windows(self, rows: Tensor) -> Tensor:
        """Summarise the network's output for all windows: (W, D) ─► (1, D)."""
        if self._hearing.windows == "published":
            return rows.mean(dim=0, keepdim=True)
        window, hop = self._cutting["window"], self._cutting["hop"]
        numbers = range(len(rows))
        weights = heard_weights(numbers, window=window, hop=hop, length=self.samples)
        return heard_mean(rows, torch.from_numpy(weights))[None]

    def _mix_otherwise(self) -> bool:
        """Choose weights for the channels, now that all is measured, if not those of the mean."""
        if self._hearing.mono == "safe" and (downmix := self._channels.safe_downmix()):
            self._downmix, self._weights = downmix, downmix.weights
            if self._hearing.normalise:
                self._measure_all()
        if self._hearing.normalise:
            count = self._channels.count
            weights = np.full(count, 1 / count) if self._weights is None else self._weights
            self._weights = (weights * self._levels.gain).astype(np.float32)
        return self._weights is not None

    def _windows(self, *, measured: bool = False) -> Iterator[NDArray[np.float32]]:
        blocks = self._blocks(measured=measured, sample_rate=self._sample_rate)
        return cut_windows(self._counted(blocks), **self._cutting)

    def _counted(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        self.samples = 0
        for block in blocks:
            self.samples += len(block)
            yield block

    def _measure_all(self) -> None:
        for _ in self._blocks():
            pass

    def _blocks(
        self, *, measured: bool = False, sample_rate: int | None = None
    ) -> Iterable[NDArray[np.float32]]:
        if not measured:
            self._channels, self._levels = Channels(), Levels()
        measure = None if measured else self._measure
        yield from mono_blocks(
            self.path,
            sample_rate=sample_rate,
            weights=self._weights,
            measure=measure,
            accept_truncated=self._accept_truncated,
            ended=self._end,
        )

    def _end(self, fault: str | None) -> None:
        self._read_to_end, self._fault = True, fault

    def _measure(self, samples: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        self._channels.add(samples)
        self._levels.add(mono)


@torch.inference_mode()
def mark_silence(rows: Tensor, windows: NDArray[np.float32]) -> None:
    """Give silent windows, shape (W, S), the tag "Silence" alone in their rows, shape (W, D).

    For what a network makes of silence is arbitrary: the mean of all tags, if it finds none.
    """
    if (found := silent(windows)).any():
        of = torch.from_numpy(found).to(rows.device)
        rows[of, :CLASSES] = -_CERTAIN
        rows[of, SILENCE] = _CERTAIN


def mark_silent_cells(cells: Tensor, windows: NDArray[np.float32], *, size: int) -> None:
    """Do the same for the cells of windows, shape (W, G, D), of `size` samples each."""
    for number, of_cell in enumerate(cells.unbind(dim=1)):
        mark_silence(of_cell, windows[:, number * size : (number + 1) * size])


def heard_mean(rows: Tensor, weights: Tensor) -> Tensor:
    """Average rows, shape (W, D), by weights, shape (W,); silence counts only if all is silent."""
    weights = weights.to(rows)
    weights = torch.where(rows[:, SILENCE] == _CERTAIN, _BESIDE_SOUND * weights, weights)
    return weights @ rows / weights.sum()


def find_silence(peaks: NDArray[np.float16], silence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the parts of sounds whose windows are all silent.

    Parameters
    ----------
    peaks : ndarray, shape (R, K)
        The largest logits in any window of each part.
    silence : ndarray, shape (R,)
        Those of "Silence", which can be read faster than all of `peaks`.

    Returns
    -------
    ndarray, int64
        Rows, in increasing order.

    """
    certain = np.float16(_CERTAIN)
    rows = np.flatnonzero(silence == certain)
    others = np.delete(peaks[rows], SILENCE, axis=1)
    return rows[(others == -certain).all(axis=1)]
