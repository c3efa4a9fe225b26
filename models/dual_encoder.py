"""Two branches that meet in one space: clips on one side, captions on the other.

Pellegrini, "Language-based audio retrieval with textual embeddings of tag names", DCASE 2022
workshop, https://hal.science/hal-03812737.

Shapes: B batch, K AudioSet classes (527), F numbers of an audio feature, D dimension of the space.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from utils.runtime import onednn


class DualEncoder(nn.Module):
    """Project clips and captions into one space, where the score is the dot product.

    Parameters
    ----------
    audio_size : int
        F, numbers of the audio feature: 527 logits, the scene embedding, or both concatenated.
    text_size : int
        D, dimension of the sentence vectors and of the shared space.
    tag_table : Tensor, shape (K, D), optional
        Unit embeddings of the tag texts. None: no tag branch, the projection stands alone.
    ratio : float
        Weight of the projection in the audio embedding; the tag embedding gets 1 - ratio.
    text_projection : bool
        Add a trainable linear layer to the text branch.
    generator : torch.Generator, optional
        Source of the initial weights.

    """

    def __init__(
        self,
        *,
        audio_size: int,
        text_size: int,
        tag_table: Tensor | None = None,
        ratio: float = 0.8,
        text_projection: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.audio_norm = nn.LayerNorm(audio_size)
        self.audio_projection = _linear(audio_size, text_size, generator)
        self.text_norm = nn.LayerNorm(text_size, elementwise_affine=False)
        self.text_projection = (
            _linear(text_size, text_size, generator) if text_projection else nn.Identity()
        )
        self.register_buffer("tag_table", tag_table)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, ratio: float) -> "DualEncoder":
        """Make the model whose state dict this is, in evaluation mode.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If it is not the state dict of a dual encoder.

        """
        text_size, audio_size = state["audio_projection.weight"].shape
        model = cls(
            audio_size=audio_size,
            text_size=text_size,
            tag_table=state.get("tag_table"),
            ratio=ratio,
            text_projection="text_projection.weight" in state,
        )
        model.load_state_dict(state)
        return model.eval()

    @property
    def text_is_trained(self) -> bool:
        """Whether `encode_text` changes as the model is trained."""
        return not isinstance(self.text_projection, nn.Identity)

    @torch.no_grad()
    def embed_tags(self, logits: Tensor) -> Tensor | None:
        """Average the tag texts by the probabilities of the tags.

        Nothing here is trained, so this is computed once per clip and given to `encode_audio`.

        Parameters
        ----------
        logits : Tensor, shape (B, K)
            Before the sigmoid.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors; None if the model has no tag branch.

        """
        return None if self.tag_table is None else tag_embedding(logits, self.tag_table)

    def encode_audio(self, features: Tensor, tags: Tensor | None) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        features : Tensor, shape (B, F)
        tags : Tensor, shape (B, D)
            From `embed_tags`; None exactly if the model has no tag branch.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors.

        """
        return _AudioBranch.apply(*self._branch_arguments(features, tags))

    @torch.no_grad()
    def explain_audio(
        self, features: Tensor, logits: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Take the embedding of clips apart, into what the score is a sum of.

        Parameters
        ----------
        features : Tensor, shape (B, F)
        logits : Tensor, shape (B, K)
            None exactly if the model has no tag branch.

        Returns
        -------
        projection : Tensor, shape (B, D)
            What the learned projection adds to `encode_audio`.
        tags : Tensor, shape (B, D), or None
            What the tag branch adds to it.
        shares : Tensor, shape (B, K), or None
            ``shares @ tag_table`` is `tags`.

        """
        branch = self._branch_arguments(features, self.embed_tags(logits))
        _, (*_, projection, length) = _embed_audio(*branch[:5], None, *branch[6:])
        if logits is None:
            return projection, None, None
        probabilities = logits.sigmoid()
        tags = probabilities @ self.tag_table
        shares = probabilities / torch.linalg.vector_norm(tags, dim=-1, keepdim=True)
        mixed = torch.lerp(shares @ self.tag_table, projection, self.ratio)
        length = torch.linalg.vector_norm(mixed, dim=-1, keepdim=True)
        shares = shares * ((1 - self.ratio) / length)
        return projection * (self.ratio / length), shares @ self.tag_table, shares

    @torch.no_grad()
    def encode_audio_directly(
        self, features: Tensor, tags: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Embed clips, and return what backpropagation would do, without its bookkeeping.

        Parameters
        ----------
        features, tags
            See `encode_audio`.

        Returns
        -------
        audio : Tensor, shape (B, D)
            Unit vectors.
        backward : callable
            Takes the gradient of `audio`, shape (B, D), and sets ``grad`` of the parameters.

        """
        arguments = self._branch_arguments(features, tags)
        audio, saved = _embed_audio(*arguments)
        parameters = arguments[1:5]

        @torch.no_grad()
        def backward(grad: Tensor) -> None:
            _, *gradients = _audio_gradients(grad, saved, self.ratio, of_features=False)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient

        return audio, backward

    def _branch_arguments(self, features: Tensor, tags: Tensor | None) -> tuple:
        if (tags is None) != (self.tag_table is None):
            raise ValueError("tags must be given exactly if the model has a tag table")
        norm, layer = self.audio_norm, self.audio_projection
        return (
            features, norm.weight, norm.bias, layer.weight, layer.bias, tags, self.ratio, norm.eps
        )  # fmt: skip

    def encode_text(self, sentences: Tensor) -> Tensor:
        """Embed captions: sentence vectors (B, D) ─► unit vectors (B, D)."""
        return F.normalize(self.text_projection(self.text_norm(sentences)), dim=-1)

    def tags_alone(self) -> "DualEncoder":
        """Make the model whose audio embedding is the tag embedding: nothing in it is trained."""
        alone = DualEncoder(
            audio_size=self.audio_projection.in_features,
            text_size=self.audio_projection.out_features,
            tag_table=self.tag_table,
            ratio=0.0,
        )
        return alone.to(self.tag_table.device)


def tag_embedding(logits: Tensor, tag_table: Tensor) -> Tensor:
    """Average tag texts by tag probabilities: (B, K), (K, D) ─► unit vectors (B, D)."""
    probabilities = logits.sigmoid()
    average = (probabilities @ tag_table) / probabilities.sum(dim=-1, keepdim=True)
    return F.normalize(average, dim=-1)


class _AudioBranch(torch.autograd.Function):
    """The audio branch as one operation of autograd.

    A training step is so small that the bookkeeping of a dozen operations takes longer than they
    do.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, *arguments: Any) -> Tensor:
        audio, saved = _embed_audio(*arguments)
        ctx.save_for_backward(*saved)
        ctx.ratio = arguments[6]
        return audio

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _audio_gradients(
            grad, ctx.saved_tensors, ctx.ratio, of_features=ctx.needs_input_grad[0]
        )
        return *gradients, None, None, None


def _embed_audio(
    features: Tensor,
    gain: Tensor,
    shift: Tensor,
    weight: Tensor,
    bias: Tensor,
    tags: Tensor | None,
    ratio: float,
    eps: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute normalise(r·normalise(W·LayerNorm(x) + b) + (1 - r)·t), and what its gradient needs.

    Returns
    -------
    audio : Tensor, shape (B, D)
    saved : tuple of Tensors
        For `_audio_gradients`.

    """
    normed, mean, inverse_deviation = torch.native_layer_norm(
        features, gain.shape, gain, shift, eps
    )
    audio, length = _to_unit(onednn.linear(normed, weight, bias))
    saved = (features, mean, inverse_deviation, gain, shift, normed, weight, audio, length)
    if tags is not None:
        audio, length = _to_unit(torch.lerp(tags, audio, ratio))
        saved += (audio, length)
    return audio, saved


def _audio_gradients(
    grad: Tensor, saved: Sequence[Tensor], ratio: float, *, of_features: bool
) -> tuple[Tensor | None, ...]:
    """Take the gradient of the audio embeddings back to the first five of `_embed_audio`."""
    features, mean, deviation, gain, shift, normed, weight, unit, length, *mixed = saved
    if mixed:
        grad = _through_unit(grad, *mixed).mul_(ratio)
    grad = _through_unit(grad, unit, length)
    of_weight = onednn.linear(grad.T, normed.T)
    of_features, of_gain, of_shift = torch.ops.aten.native_layer_norm_backward(
        onednn.linear(grad, weight.T),
        features, gain.shape, mean, deviation, gain, shift, [of_features, True, True],
    )  # fmt: skip
    return of_features, of_gain, of_shift, of_weight, grad.sum(dim=0)


def _to_unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Divide vectors, in place, by their lengths: (B, D) ─► (B, D), lengths (B, 1)."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_(min=1e-12)
    return vectors.div_(length), length


def _through_unit(grad: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """Take the gradient of unit vectors u = y/|y| back to y: (g - (g·u) u) / |y|."""
    along = torch.linalg.vecdot(grad, unit).unsqueeze(-1)
    return torch.addcmul(grad, unit, along, value=-1).div_(length)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    # The default initialisation draws from the global random state. (nn.utils.skip_init would not,
    # but imports for a second.)
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
