"""All networks of the retrieval system in one, from windows of sound and tokens, to be fine-tuned.

Shapes: S windows of sound, N samples of each, B clips or captions, L tokens, K AudioSet classes,
E scene embedding dimension, D dimension of the shared space.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.dual_encoder import DualEncoder, tag_embedding
from models.passt import Passt
from models.sentence_encoder import SentenceEncoder


class EndToEnd(nn.Module):
    """PaSST, the sentence model and the dual encoder.

    Parameters
    ----------
    passt : Passt
    sentences : SentenceEncoder or None
        None if captions come as sentence vectors, because the sentence model is not trained.
    heads : DualEncoder
        Its tag table is not trained.
    audio_features : {'logits', 'scene', 'both'}
        What `heads` projects.

    """

    def __init__(
        self,
        passt: Passt,
        sentences: SentenceEncoder | None,
        heads: DualEncoder,
        *,
        audio_features: Literal["logits", "scene", "both"],
    ) -> None:
        super().__init__()
        self.passt, self.sentences, self.heads = passt, sentences, heads
        self._audio_features = audio_features

    def encode_audio(self, windows: Tensor, weights: Tensor, clips: Tensor, count: int) -> Tensor:
        """Embed clips by the mean of PaSST's outputs over their windows.

        Parameters
        ----------
        windows : Tensor, shape (S, N), float32
            Of all clips.
        weights : Tensor, shape (S,)
            Of each window in the mean of its clip.
        clips : Tensor, shape (S,), int
            Which clip each window is of, from 0.
        count : int
            B.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors.

        """
        logits, scene = self.passt(windows)
        of_clips = weights.new_zeros(count).index_add(0, clips, weights)
        shares = (weights / of_clips[clips]).unsqueeze(1)

        def mean(rows: Tensor) -> Tensor:
            return rows.new_zeros(count, rows.shape[1]).index_add(0, clips, rows * shares)

        logits, scene = mean(logits), mean(scene)
        both = {"logits": [logits], "scene": [scene], "both": [logits, scene]}
        table = self.heads.tag_table
        with torch.autocast(windows.device.type, enabled=False):
            tags = None if table is None else tag_embedding(logits, table)
            return self.heads.encode_audio(torch.cat(both[self._audio_features], dim=1), tags)

    def encode_text(self, captions: list[list[int]] | Tensor) -> Tensor:
        """Embed captions: B lists of tokens, or sentence vectors (B, D) ─► unit vectors (B, D)."""
        vectors = self.sentences(captions) if self.sentences else captions
        with torch.autocast(vectors.device.type, enabled=False):
            return self.heads.encode_text(vectors)

    def freeze(self, *, audio_layers: int | None, text_layers: int | None) -> None:
        """Train the last layers of each network alone, and all of it if None.

        What comes after the last layer is trained too, unless no layer is.
        """
        if audio_layers is not None:
            net = self.passt.net
            last = [net.norm, net.head, *_last(net.blocks, audio_layers)]
            _train_alone(net, last if audio_layers else [])
        if self.sentences and text_layers is not None:
            transformer = self.sentences.transformer
            _train_alone(transformer, _last(transformer.encoder.layer, text_layers))

    def recompute_activations(self) -> None:
        """Keep the inputs of the layers alone for the backward pass: slower, in less memory."""
        layers = list(self.passt.net.blocks)
        if self.sentences:
            layers += self.sentences.transformer.encoder.layer
        for layer in layers:
            layer.forward = partial(_recomputed, layer, layer.forward)


def _recomputed(layer: nn.Module, forward: Callable[..., Tensor], *args, **kwargs) -> Tensor:
    if not (layer.training and torch.is_grad_enabled()):
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


def _last(layers: Iterable[nn.Module], count: int) -> list[nn.Module]:
    return list(layers)[-count:] if count else []


def _train_alone(network: nn.Module, parts: list[nn.Module]) -> None:
    network.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)
