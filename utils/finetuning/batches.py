"""Pairs of a sound and a caption, read from the cache and put into batches.

Shapes: S windows of a batch, N samples of each, B pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.architectures import MIN_SAMPLES
from utils.finetuning.sound_cache import SoundCache


class Windows(NamedTuple):
    """The sounds of a batch.

    Attributes
    ----------
    samples : Tensor, shape (S, N), int16
    weights : Tensor, shape (S,), float32
        The share of sound in each window; the rest of it is mirrored.
    clips : Tensor, shape (S,)
        Which sound of the batch a window is of.
    numbers : Tensor, shape (B,)
        Which clip of the split a sound is.

    """

    samples: Tensor
    weights: Tensor
    clips: Tensor
    numbers: Tensor


class Pairs(NamedTuple):
    """A batch of pairs: the sounds, each once for each caption, and the rows of the captions."""

    windows: Windows
    captions: Tensor  # (B,)


@dataclass(frozen=True)
class Clips(Dataset):
    """The sounds of a split, by number, as the samples of at most some windows.

    Attributes
    ----------
    window : int
        Samples of a window.
    most : int
        Windows of a sound; of a longer one, a part is taken: another one each time, if a
        generator of random numbers is given, and else the first.

    """

    cache: SoundCache
    sources: Sequence[str]
    window: int
    most: int

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, number: int) -> tuple[int, NDArray[np.int16]]:
        return number, self.samples(number)

    def samples(self, number: int, chance: float = 0.0) -> NDArray[np.int16]:
        """Read a sound; `chance`, in [0, 1), chooses the part of a long one."""
        sound = self.cache.load(self.sources[number])
        start = int(chance * max(0, len(sound) - self.most * self.window + 1))
        return np.array(sound[start : start + self.most * self.window])


@dataclass(frozen=True)
class CaptionedClips(Dataset):
    """The pairs of a split in one epoch, in random order.

    Attributes
    ----------
    clip_of_caption : ndarray, shape (P,)
    seed : int
        Of the order, and of the parts of long sounds.
    one_each : bool
        One caption of each clip, drawn at random, and not all.

    """

    clips: Clips
    clip_of_caption: NDArray[np.int64]
    seed: int
    one_each: bool

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(self.clip_of_caption))
        if self.one_each:
            _, first = np.unique(self.clip_of_caption[order], return_index=True)
            order = rng.permutation(order[first])
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_chances", rng.random(len(order)))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> tuple[int, NDArray[np.int16], int]:
        caption = int(self._order[position])
        clip = int(self.clip_of_caption[caption])
        return clip, self.clips.samples(clip, self._chances[position]), caption


def collate_pairs(window: int, items: Sequence[tuple[int, NDArray[np.int16], int]]) -> Pairs:
    """Make a batch of pairs."""
    windows = collate_clips(window, [(clip, samples) for clip, samples, _ in items])
    return Pairs(windows, torch.tensor([caption for *_, caption in items]))


def collate_clips(window: int, items: Sequence[tuple[int, NDArray[np.int16]]]) -> Windows:
    """Cut sounds into windows, one after the other; all are as long as the longest of the batch.

    The end of a sound is filled up with its mirror image, as `utils.audio.windows.cut_windows`
    does.
    """
    longest = max(len(samples) for _, samples in items)
    length = min(window, max(longest, MIN_SAMPLES))
    samples, weights, clips = [], [], []
    for clip, (_, sound) in enumerate(items):
        missing = length if not len(sound) else -len(sound) % length
        filled = np.pad(sound, (0, missing), mode="reflect" if len(sound) else "constant")
        samples += list(filled.reshape(-1, length))
        count = len(filled) // length
        weights += [*[1.0] * (count - 1), max(1, length - missing) / length]
        clips += [clip] * count
    return Windows(
        torch.from_numpy(np.stack(samples)),
        torch.tensor(weights),
        torch.tensor(clips),
        torch.tensor([number for number, _ in items]),
    )
