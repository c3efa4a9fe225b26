"""Pairs of a clip and a caption, as tensors on the device, and batches of them.

Everything is held on the device: no file is touched inside an epoch.

Shapes: P pairs, B of a batch, C clips, F audio numbers, K AudioSet classes, D dimension of the
space.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

_CAPTIONS_AT_ONCE = 4096


@dataclass(frozen=True)
class Pairs:
    """The clips and captions of one split, as tensors on the device.

    Attributes
    ----------
    features : Tensor, shape (C, F)
        What the audio branch projects.
    logits : Tensor, shape (C, K), or None
        AudioSet logits behind the tag embeddings; None for a model without a tag branch.
    tags : Tensor, shape (C, D), or None
        Tag embeddings of the clips; likewise.
    sentences : Tensor, shape (P, D)
        Sentence vectors of the captions.
    clips : Tensor, shape (P,), int
        Row of `features` that each caption belongs to.
    text : Tensor, shape (P, D), or None
        Text embeddings of the captions, where training does not change them; see `with_text`.

    """

    features: Tensor
    logits: Tensor | None
    tags: Tensor | None
    sentences: Tensor
    clips: Tensor
    text: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @torch.no_grad()
    def with_text(self, model: nn.Module) -> "Pairs":
        """Embed the captions once for all epochs, if the model's text branch is not trained."""
        if model.text_is_trained:
            return self
        text = torch.empty_like(self.sentences)
        for part, sentences in zip(
            text.split(_CAPTIONS_AT_ONCE), self.sentences.split(_CAPTIONS_AT_ONCE), strict=True
        ):
            part.copy_(model.encode_text(sentences))
        return replace(self, text=text)


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
