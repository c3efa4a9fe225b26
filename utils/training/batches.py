"""Batches of pairs for a training step."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.features.pairs import Pairs


@dataclass(frozen=True)
class Batch:
    """Which pairs are embedded together, and what was drawn for them: a batch, or a whole epoch.

    Attributes
    ----------
    order : Tensor, shape (B,), int
        Positions of the pairs.
    clips : Tensor, shape (B,) or (B, 2), int
        Their clips; of mixed pairs both.
    impostors : Tensor, shape (B, ...), or None
        What the loss drew.
    partners : Tensor, shape (B,), int, or None
        Positions of the pairs that they are mixed with, if any are.
    share : Tensor, shape (B,), or None
        Their own share in the mixture.

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

    def part(self, rows: slice) -> "Batch":
        """Take some of the pairs, without what was drawn for the batch as a whole."""
        if rows == slice(0, len(self.order)):
            return self
        partners, share = (
            None if whole is None else whole[rows] for whole in (self.partners, self.share)
        )
        return Batch(self.order[rows], self.clips[rows], None, partners, share)

    def clips_of(self, pairs: Pairs) -> tuple[Tensor, Tensor | None]:
        """Take features and tag embeddings of the clips of unmixed pairs."""
        tags = None if pairs.tags is None else pairs.tags.index_select(0, self.clips)
        return pairs.features.index_select(0, self.clips), tags

    def embed(self, model: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embed the clips and captions of the pairs: audio and text, each (B, D)."""
        if self.partners is not None:
            return self._embed_mixed(model, pairs)
        audio = model.encode_audio(*self.clips_of(pairs))
        if pairs.text is not None:
            return audio, pairs.text.index_select(0, self.order)
        return audio, model.encode_text(pairs.sentences.index_select(0, self.order))

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
