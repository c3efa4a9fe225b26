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

    Without a tag branch, `logits` and `tags` are None.
    """

    features: Tensor  # (C, F): what the audio branch projects
    logits: Tensor | None  # (C, K): AudioSet logits behind the tag embeddings
    tags: Tensor | None  # (C, D): tag embeddings of the clips
    sentences: Tensor  # (P, D): sentence vectors of the captions
    clips: Tensor  # (P,), int: the row of `features` that each caption belongs to
    text: Tensor | None = None  # (P, D): text embeddings; see `with_text`

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
