"""What a model retrieves on a split, and how well."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.datasets.splits import CaptionSplit
from utils.evaluation.metrics import CUTOFF, Evaluation, score_hits, single_relevant
from utils.evaluation.ranking import best_rows, caption_hits, rank_and_retrieve, rank_by_scores
from utils.features.pairs import Pairs


@dataclass(frozen=True)
class LoadedSplit:
    """The captions and clips of a split, as text and as tensors on a device."""

    split: CaptionSplit
    pairs: Pairs


@torch.no_grad()
def evaluate(
    model: nn.Module, pairs: Pairs, *, both_ways: bool = False, top: int = CUTOFF
) -> Evaluation:
    """Retrieve the `top` clips for every caption, and `both_ways` captions for every clip."""
    model.eval()
    audio = model.encode_audio(pairs.features, pairs.tags)
    text = model.encode_text(pairs.sentences)
    ranks, best, scores = rank_and_retrieve(audio, text, pairs.clips, top=top)
    audio_to_text = {}
    if both_ways:
        own = torch.bincount(pairs.clips, minlength=len(audio)).cpu()
        audio_to_text = score_hits(caption_hits(audio, text, pairs.clips), own, recall="any")
    clips = pairs.clips.cpu().numpy()
    return Evaluation(ranks, best, scores, single_relevant(ranks), audio_to_text, clips)


def evaluate_scores(scores: Tensor, clips: Tensor, *, top: int = CUTOFF) -> Evaluation:
    """Retrieve the `top` clips for every caption, and captions for every clip, by given scores.

    Parameters
    ----------
    scores : Tensor, shape (P, C)
        Of each clip for each caption.
    clips : Tensor, shape (P,), int
        Each caption's own clip.

    """
    ranks, best = rank_by_scores(scores, clips, top=top)
    hits = clips[best_rows(scores.T.contiguous())] == torch.arange(scores.shape[1]).unsqueeze(1)
    own = torch.bincount(clips, minlength=scores.shape[1])
    return Evaluation(
        ranks.numpy(),
        best.numpy(),
        scores.gather(1, best).numpy(),
        single_relevant(ranks.numpy()),
        score_hits(hits.numpy(), own, recall="any"),
        clips.numpy(),
    )
