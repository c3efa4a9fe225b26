"""The default training step on a CPU, with its gradient written out.

A step is so small that autograd's bookkeeping takes as long as the numbers. This one has the same
result (up to rounding) as `DualEncoder` and `TripletRankingLoss` with autograd; oneDNN computes the
products. The formulas are in `models`.

Shapes: B batch, F audio numbers, D dimension of the space.
"""

import torch
from torch import Tensor, nn

from models.dual_encoder import DualEncoder
from models.losses import TripletRankingLoss
from utils.features.pairs import Pairs
from utils.runtime import onednn
from utils.training.batches import Batch


def fits(model: nn.Module, loss: nn.Module, pairs: Pairs, batch: Batch) -> bool:
    """Return whether `backward` computes the step of this model and loss."""
    return (
        type(model) is DualEncoder
        and type(loss) is TripletRankingLoss
        and pairs.text is not None  # the text branch is not trained
        and batch.partners is None  # no mixup
        and pairs.features.device.type == "cpu"
    )


@torch.no_grad()
def backward(model: DualEncoder, loss: TripletRankingLoss, pairs: Pairs, batch: Batch) -> Tensor:
    """Compute the loss of a batch, and set the gradients of the model's parameters."""
    tags = None if pairs.tags is None else pairs.tags.index_select(0, batch.clips)
    text = pairs.text.index_select(0, batch.order)
    norm, layer = model.audio_norm, model.audio_projection
    features = pairs.features.index_select(0, batch.clips)
    normed, mean, scale = torch.native_layer_norm(
        features, norm.normalized_shape, norm.weight, norm.bias, norm.eps
    )
    projection, length = _to_unit(onednn.linear(normed, layer.weight).add_(layer.bias))
    audio, mixed_length = projection, None
    if tags is not None:
        audio, mixed_length = _to_unit(torch.lerp(tags, projection, model.ratio))
    value, by_score = _hinges(onednn.linear(audio, text), batch.impostors, loss.margin)
    gradient = onednn.linear(by_score, text.T)
    if tags is not None:
        gradient = _through_unit(gradient, audio, mixed_length).mul_(model.ratio)
    gradient = _through_unit(gradient, projection, length)
    _, norm.weight.grad, norm.bias.grad = torch.ops.aten.native_layer_norm_backward(
        onednn.linear(gradient, layer.weight.T),
        features, norm.normalized_shape, mean, scale, norm.weight, norm.bias, [False, True, True],
    )  # fmt: skip
    layer.weight.grad = onednn.linear(gradient.T, normed.T)
    layer.bias.grad = gradient.sum(dim=0)
    return value


def _hinges(scores: Tensor, impostors: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Compute the triplet loss of a batch and its gradient by the scores.

    Parameters
    ----------
    scores : Tensor, shape (B, B)
        Of each clip (row) with each caption (column).
    impostors : Tensor, shape (B, 2), int
        See `TripletRankingLoss.forward`.

    Returns
    -------
    loss : Tensor, scalar
    gradient : Tensor, shape (B, B)

    """
    size = len(scores)
    k, j = impostors.unbind(dim=1)
    pair = torch.arange(size)
    places = torch.stack([k * size + pair, pair * size + j])  # (2, B), in the flattened scores
    own = pair * (size + 1)
    hinges = (scores.view(-1)[places] - scores.view(-1)[own] + margin).relu_()
    hinges.masked_fill_(j == pair, 0)
    active = (hinges > 0).to(scores.dtype).div_(size)
    gradient = torch.zeros(size * size, dtype=scores.dtype)
    gradient.index_add_(0, places.view(-1), active.view(-1))
    gradient.index_add_(0, own, active.sum(dim=0), alpha=-1)
    return hinges.sum(dim=0).mean(), gradient.view(size, size)


def _to_unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Divide vectors by their lengths, in place: (B, D) ─► (B, D), lengths (B, 1)."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_(min=1e-12)
    return vectors.div_(length), length


def _through_unit(gradient: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """Take the gradient of unit vectors u = y/|y| back to y: (g - (g·u) u) / |y|."""
    along = torch.linalg.vecdot(gradient, unit).unsqueeze(-1)
    return torch.addcmul(gradient, unit, along, value=-1).div_(length)
