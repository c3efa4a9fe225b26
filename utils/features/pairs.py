"""Pairs of a clip and a caption, as tensors on the device, and batches of them.

Everything is held on the device: no file is touched inside an epoch.

Shapes: P pairs, B of a batch, C clips, F audio numbers, K AudioSet classes, D dimension of the
space.
"""

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
        Tag embeddings of the clips; None for a model without a tag branch.
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
