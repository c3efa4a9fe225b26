"""Losses on embeddings alone. Shapes: P pairs of an epoch, B of a batch, D dimension.

Every loss is called as ``loss(audio, queries, clips, impostors)``. `clips` says which clip each
pair belongs to, shape (B,), or which two clips a mixed pair belongs to, shape (B, 2); an unmixed
pair then names its clip twice. Pairs that share no clip are each other's negatives. `impostors` is
what the loss itself drew for the batch, in one call for all batches of an epoch.

The scores of a batch are the (B, B) products of clips (rows) and queries (columns). A place in them
is a number from 0 to B² - 1, row by row.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

_DRAWS = 8  # in which impostors are sought by chance, before they are sought one by one


class PairLoss(nn.Module):
    """What all losses have in common: they may draw at random, once for an epoch.

    A loss may also have ``with_gradient(audio, queries, impostors)``, which gives the loss and its
    gradient by `audio`; None: the gradient is left to autograd.
    """

    with_gradient: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def draw(self, clips: Tensor, *, batch_size: int, generator: torch.Generator) -> Tensor | None:
        """Draw what the loss needs for an epoch, shape (P, ...); None for a loss without chance.

        Parameters
        ----------
        clips : Tensor, shape (P,) or (P, 2), int
            Of all pairs, in the order of the epoch.
        batch_size : int
            Pairs of a batch; the last one may be smaller.
        generator : torch.Generator
            On the device of `clips`.

        """
        return None


class TripletRankingLoss(PairLoss):
    """Push each pair's own score above those of two random impostors, by a margin.

    For pair i with audio a_i and query q_i, a query impostor j and an audio impostor k of other
    clips::

        loss = mean_i [ max(0, m + a_i·q_j - a_i·q_i) + max(0, m + a_k·q_i - a_i·q_i) ]

    as in the DCASE 2022 Task 6b baseline (Xie et al., 2022). A pair without impostors counts as 0.

    Parameters
    ----------
    margin : float
        m, in units of the score.

    """

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def draw(self, clips: Tensor, *, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw the impostors of an epoch, as places in the scores; see `draw_impostors`."""
        drawn = draw_impostors(clips, batch_size=batch_size, generator=generator)
        pair = torch.arange(len(clips), device=clips.device)
        first, sizes = _batches_of(pair, batch_size)
        return impostor_places(drawn, pair - first, sizes)

    def forward(self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        audio, queries : Tensor, shape (B, D)
        clips : Tensor, shape (B,) or (B, 2), int
            Not looked at: the impostors were drawn by them.
        impostors : Tensor, shape (B, 2), int
            Places of a_k·q_i and of a_i·q_j in the scores; that of a_i·q_i for a pair without
            impostors.

        Returns
        -------
        Tensor, scalar
            0, with zero gradients, for a batch of a single clip, which has no impostors.

        """
        return _Hinges.apply(audio, queries, impostors, self.margin)

    @torch.no_grad()
    def with_gradient(
        self, audio: Tensor, queries: Tensor, impostors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch and its gradient by `audio`, without autograd.

        Returns
        -------
        loss : Tensor, scalar
        gradient : Tensor, shape (B, D)

        """
        hinges = _hinges(audio, queries, impostors, self.margin)
        loss = hinges.sum() / len(audio)
        return loss, _gradient_of_scores(hinges, impostors, 1 / len(audio)) @ queries


class _Hinges(torch.autograd.Function):
    """The triplet loss as one operation of autograd, instead of twenty."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, audio: Tensor, queries: Tensor, places: Tensor, margin: float
    ) -> Tensor:
        hinges = _hinges(audio, queries, places, margin)
        ctx.save_for_backward(audio, queries, places, hinges)
        return hinges.sum() / len(audio)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        audio, queries, places, hinges = ctx.saved_tensors
        of_scores = _gradient_of_scores(hinges, places, grad / len(audio))
        of_audio = of_scores @ queries if ctx.needs_input_grad[0] else None
        of_queries = of_scores.T @ audio if ctx.needs_input_grad[1] else None
        return of_audio, of_queries, None, None


def _hinges(audio: Tensor, queries: Tensor, places: Tensor, margin: float) -> Tensor:
    """Compute the hinges of both impostors of each pair: (B, D) twice, (B, 2) ─► (B, 2)."""
    # One product is faster than three rows of dot products.
    scores = audio @ queries.T
    wrong = scores.view(-1).gather(0, places.view(-1)).view(places.shape)
    hinges = wrong.sub_(scores.diagonal().unsqueeze(1)).add_(margin).clamp_(min=0)
    return hinges.mul_((places % (len(audio) + 1)).sign_())  # 0 on the diagonal: no impostor


def _gradient_of_scores(hinges: Tensor, places: Tensor, weight: float | Tensor) -> Tensor:
    """Differentiate weight·Σ hinges by the scores: (B, 2) ─► (B, B)."""
    each = hinges.sign().mul_(weight)
    of_scores = torch.diag(-each.sum(dim=1))
    of_scores.view(-1).scatter_add_(0, places.view(-1), each.view(-1))
    return of_scores


class HardTripletRankingLoss(PairLoss):
    """The triplet loss with the highest-scoring impostors of the batch instead of random ones.

    For pair i, with the maxima over the pairs of other clips::

        loss = mean_i [ max(0, m + max_j a_i·q_j - a_i·q_i) + max(0, m + max_k a_k·q_i - a_i·q_i) ]

    the "max of hinges" of Faghri et al., "VSE++: improving visual-semantic embeddings with hard
    negatives", BMVC 2018.

    Parameters
    ----------
    margin : float
        m, in units of the score.

    """

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(
        self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: None = None
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T
        own = scores.diagonal()
        wrong = scores.masked_fill(~negatives(clips), -math.inf)
        hinges = (self.margin + wrong.amax(dim=1) - own).clamp(min=0) + (
            self.margin + wrong.amax(dim=0) - own
        ).clamp(min=0)
        return hinges.mean()


class InfoNCE(PairLoss):
    """Tell each query's clip from all others of the batch, and each clip's queries likewise.

    With scores s_ij = a_i·q_j / τ and P(i) the pairs that share a clip with pair i, i included::

        loss = ½ mean_i [ mean_{j in P(i)} -log softmax_j(s_ij) ]
             + ½ mean_i [ mean_{j in P(i)} -log softmax_j(s_ji) ]

    van den Oord et al., 2018 (https://arxiv.org/abs/1807.03748), symmetric as in CLIP, with several
    positives as in Khosla et al., "Supervised contrastive learning", NeurIPS 2020 (their L_out).

    Parameters
    ----------
    temperature : float
        τ, or where it starts from.
    learnable : bool
        Train τ (its logarithm) along with the model; it is kept at 0.01 or above.

    """

    lowest_temperature = 0.01

    def __init__(self, *, temperature: float, learnable: bool = False) -> None:
        super().__init__()
        logarithm = torch.tensor(math.log(temperature))
        if learnable:
            self.log_temperature = nn.Parameter(logarithm)
        else:
            self.register_buffer("log_temperature", logarithm)

    @property
    def temperature(self) -> Tensor:
        """τ as it is now."""
        return self.log_temperature.exp().clamp(min=self.lowest_temperature)

    def forward(
        self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: None = None
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T / self.temperature.to(audio.dtype)
        positives = (~negatives(clips)).to(scores.dtype)
        wanted = positives / positives.sum(dim=1, keepdim=True)
        return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2


def make_loss(
    criterion: str, *, margin: float, temperature: float, learnable_temperature: bool
) -> PairLoss:
    """Make a loss by the name that `training.criterion` has for it.

    Mixup is done to the pairs, so that `MixupTripletRankingLoss` is the triplet loss itself.
    """
    if criterion == "InfoNCE":
        return InfoNCE(temperature=temperature, learnable=learnable_temperature)
    if criterion == "HardTripletRankingLoss":
        return HardTripletRankingLoss(margin=margin)
    return TripletRankingLoss(margin=margin)


def negatives(clips: Tensor) -> Tensor:
    """Tell which pairs share no clip: (B,) or (B, 2) ─► (B, B), bool."""
    clips = clips.view(len(clips), -1)
    return ~_share_a_clip(clips.unsqueeze(1), clips.unsqueeze(0))


def draw_impostors(
    clips: Tensor, *, batch_size: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw, for each pair, two of its negatives in its batch, independently and uniformly.

    Parameters
    ----------
    clips : Tensor, shape (P,) or (P, 2), int
        Of consecutive batches.
    batch_size : int
        B; the last batch may be smaller.
    generator : torch.Generator, optional
        On the device of `clips`.

    Returns
    -------
    Tensor, shape (2, P), int
        Positions in the batch of the audio and of the query impostors; a pair's own position if it
        has no negatives there.

    """
    clips = clips.view(len(clips), -1)
    place = torch.arange(len(clips), device=clips.device)
    first, sizes = _batches_of(place, batch_size)
    drawn = place.repeat(2, 1)
    for _ in range(_DRAWS):
        refused = _share_a_clip(clips, clips[drawn])
        if not refused.any():
            return drawn - first
        chance = torch.rand(drawn.shape, generator=generator, device=clips.device)
        # A chance just below 1 may be rounded up to the size.
        candidates = first + torch.minimum((chance * sizes).long(), sizes - 1)
        drawn = torch.where(refused, candidates, drawn)
    # What is left has few negatives, or none.
    for i, j in _share_a_clip(clips, clips[drawn]).nonzero().tolist():
        start, end = int(first[j]), int(first[j] + sizes[j])
        fit = start + (~_share_a_clip(clips[j], clips[start:end])).nonzero().squeeze(1)
        chosen = torch.randint(max(1, len(fit)), (), generator=generator, device=clips.device)
        drawn[i, j] = fit[chosen] if len(fit) else j
    return drawn - first


def _batches_of(pairs: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Tell the first pair and the size of each pair's batch: all pairs, (P,) ─► (P,) twice."""
    first = pairs - pairs % batch_size
    return first, (len(pairs) - first).clamp(max=batch_size)


def impostor_places(impostors: Tensor, pair: Tensor, size: int | Tensor) -> Tensor:
    """Turn positions of audio and query impostors into places of their scores.

    Parameters
    ----------
    impostors : Tensor, shape (2, P), int
    pair : Tensor, shape (P,), int
        Position of each pair in its batch.
    size : int or Tensor of shape (P,)
        Of its batch.

    Returns
    -------
    Tensor, shape (P, 2), int

    """
    audio, query = impostors
    return torch.stack([audio * size + pair, pair * size + query], dim=1)


def _share_a_clip(one: Tensor, other: Tensor) -> Tensor:
    """Tell which pairs share a clip; the clips of a pair are the last dimension."""
    return (one.unsqueeze(-1) == other.unsqueeze(-2)).flatten(-2).any(dim=-1)
