"""What a model retrieves on a split, and how well.

Shapes: P pairs of a clip and a caption, C clips.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from utils.datasets.splits import CaptionSplit
from utils.evaluation.metrics import METRICS, bootstrap_interval, score_hits, single_relevant
from utils.evaluation.ranking import caption_hits, rank_and_retrieve
from utils.features.pairs import Pairs


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves for each caption of a split.

    Attributes
    ----------
    ranks : ndarray, shape (P,)
        Rank of each caption's own clip, from 1.
    best : ndarray, shape (P, up to 10)
        Rows of the best clips.
    scores : ndarray, shape (P, up to 10)
        Their scores.
    values : dict of str to ndarray, shape (P,)
        R@1, R@5, R@10 and mAP@10 of each caption.
    audio_to_text : dict of str to ndarray, shape (C,)
        The other way round, where asked for: each clip ranks all captions. R@k is 1 if any of its
        own is among the first k, AP@10 is divided by min(number of its captions, 10).
    clips : ndarray, shape (P,), int
        Each caption's own clip.

    """

    ranks: NDArray[np.int64]
    best: NDArray[np.int64]
    scores: NDArray[np.float32]
    values: dict[str, NDArray[np.float64]]
    audio_to_text: dict[str, NDArray[np.float64]]
    clips: NDArray[np.int64]

    def means(self) -> dict[str, float]:
        """Average over the captions: the metrics."""
        return {name: float(self.values[name].mean()) for name in METRICS}

    def intervals(self, *, seed: int) -> dict[str, tuple[float, float]]:
        """Compute 95 % bootstrap intervals of the metrics, over captions grouped by clip."""
        return {
            name: bootstrap_interval(self.values[name], self.clips, seed=seed) for name in METRICS
        }

    def audio_to_text_means(self) -> dict[str, float]:
        """Average over the clips: the metrics of audio-to-text retrieval."""
        return {name: float(self.audio_to_text[name].mean()) for name in METRICS}


@torch.no_grad()
def evaluate(model: nn.Module, pairs: Pairs, *, both_ways: bool = False) -> Evaluation:
    """Retrieve clips for every caption, and `both_ways` captions for every clip."""
    model.eval()
    audio = model.encode_audio(pairs.features, pairs.tags)
    text = model.encode_text(pairs.sentences)
    ranks, best, scores = rank_and_retrieve(audio, text, pairs.clips)
    audio_to_text = {}
    if both_ways:
        own = torch.bincount(pairs.clips, minlength=len(audio)).cpu()
        audio_to_text = score_hits(caption_hits(audio, text, pairs.clips), own, recall="any")
    clips = pairs.clips.cpu().numpy()
    return Evaluation(ranks, best, scores, single_relevant(ranks), audio_to_text, clips)


@dataclass(frozen=True)
class LoadedSplit:
    """The captions and clips of a split, as text and as tensors on the device."""

    split: CaptionSplit
    pairs: Pairs
