"""Batches of pairs for a training step."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.features.pairs import Pairs


@dataclass(frozen=True)
class Batch:
    """The pairs of a batch or of a whole epoch, and what was drawn at random for them.

    Attributes
    ----------
    order : Tensor, shape (B,), int
        Positions of the pairs.
    clips : Tensor, shape (B,) or (B, 2), int
        Their clips; both clips of mixed pairs.
    impostors : Tensor, shape (B, ...), or None
        Result of the loss's `draw`.
    partners : Tensor, shape (B,), int, or None
        Positions of the pairs that they are mixed with; None without mixup.
    share : Tensor, shape (B,), or None
        Their own share in the mixture, in [0, 1].

    """

    order: Tensor
    clips: Tensor
    impostors: Tensor | None = None
    partners: Tensor | None = None
    share: Tensor | None = None

    def split(self, size: int) -> Iterator["Batch"]:
        """Cut into consecutive parts of `size` pairs; the last one may be smaller."""
        parts = (
            itertools.repeat(None) if whole is None else whole.split(size)
            for whole in (self.order, self.clips, self.impostors, self.partners, self.share)
        )
        return itertools.starmap(Batch, zip(*parts, strict=False))

    def embed(self, model: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embed the clips and captions of the pairs: audio and text, each (B, D)."""
        if self.partners is not None:
            return self._embed_mixed(model, pairs)
        tags = None if pairs.tags is None else pairs.tags[self.clips]
        audio = model.encode_audio(pairs.features[self.clips], tags)
        if pairs.text is not None:
            return audio, pairs.text[self.order]
        return audio, model.encode_text(pairs.sentences[self.order])

    def _embed_mixed(self, model: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        def mix(values: Tensor, one: Tensor, other: Tensor) -> Tensor:
            return torch.lerp(values[other], values[one], self.share.unsqueeze(1))

        clips = self.clips.unbind(dim=1)
        tags = None
        if pairs.logits is not None:
            tags = model.embed_tags(mix(pairs.logits, *clips))
        sentences = mix(pairs.sentences, self.order, self.partners)
        return (
            model.encode_audio(mix(pairs.features, *clips), tags),
            model.encode_text(nn.functional.normalize(sentences, dim=-1)),
        )
