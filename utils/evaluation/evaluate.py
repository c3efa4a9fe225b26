"""What a model retrieves on a split, and how well."""

from dataclasses import dataclass

import torch
from torch import nn

from utils.datasets.splits import CaptionSplit
from utils.evaluation.metrics import Evaluation, score_hits, single_relevant
from utils.evaluation.ranking import caption_hits, rank_and_retrieve
from utils.features.pairs import Pairs


@dataclass(frozen=True)
class LoadedSplit:
    """The captions and clips of a split, as text and as tensors on a device."""

    split: CaptionSplit
    pairs: Pairs


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
