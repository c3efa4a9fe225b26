"""Losses on embeddings alone. Shapes: B pairs of a batch, D dimension.

Every loss is called as ``loss(audio, queries, clips, generator=...)``. `clips` says which clip each
pair belongs to, shape (B,), or which two clips a mixed pair belongs to, shape (B, 2); an unmixed
pair then names its clip twice. Pairs that share no clip are each other's negatives.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TripletRankingLoss(nn.Module):
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

    def forward(
        self,
        audio: Tensor,
        queries: Tensor,
        clips: Tensor,
        *,
        generator: torch.Generator | None = None,
        impostors: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        audio, queries : Tensor, shape (B, D)
        clips : Tensor, shape (B,) or (B, 2), int
        generator : torch.Generator, optional
            Source of the impostors; on the device of `clips`.
        impostors : tuple of two Tensors, shape (B,), int, optional
            Audio impostors k and query impostors j to use instead of random ones.

        Returns
        -------
        Tensor, scalar
            0, with zero gradients, for a batch of a single clip, which has no impostors.

        """
        others = negatives(clips)
        if impostors is None:
            impostors = draw_impostors(others, generator=generator)
        audio_impostors, query_impostors = impostors
        scores = audio @ queries.T  # one product is faster than three rows of dot products
        own = scores.diagonal()
        wrong_query = scores.gather(1, query_impostors.unsqueeze(1)).squeeze(1)
        wrong_audio = scores.gather(0, audio_impostors.unsqueeze(0)).squeeze(0)
        hinges = (self.margin + wrong_query - own).clamp(min=0) + (
            self.margin + wrong_audio - own
        ).clamp(min=0)
        return (hinges * others.any(dim=1)).mean()


class HardTripletRankingLoss(nn.Module):
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
        self,
        audio: Tensor,
        queries: Tensor,
        clips: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T
        own = scores.diagonal()
        wrong = scores.masked_fill(~negatives(clips), -math.inf)
        hinges = (self.margin + wrong.amax(dim=1) - own).clamp(min=0) + (
            self.margin + wrong.amax(dim=0) - own
        ).clamp(min=0)
        return hinges.mean()


class InfoNCE(nn.Module):
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
        self,
        audio: Tensor,
        queries: Tensor,
        clips: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T / self.temperature.to(audio.dtype)
        positives = (~negatives(clips)).to(scores.dtype)
        wanted = positives / positives.sum(dim=1, keepdim=True)
        return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2


def make_loss(
    criterion: str, *, margin: float, temperature: float, learnable_temperature: bool
) -> nn.Module:
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
    if clips.ndim == 1:
        return clips.unsqueeze(0) != clips.unsqueeze(1)
    return (clips[:, None, :, None] != clips[None, :, None, :]).flatten(2).all(dim=2)


def draw_impostors(
    others: Tensor, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw, for each pair, two of its negatives, independently and uniformly.

    Parameters
    ----------
    others : Tensor, shape (B, B), bool
        From `negatives`.
    generator : torch.Generator, optional

    Returns
    -------
    tuple of two Tensors, shape (B,), int
        Positions of the audio and of the query impostors; any position for a pair without
        negatives.

    """
    weights = (others | ~others.any(dim=1, keepdim=True)).float()
    drawn = torch.multinomial(weights, 2, replacement=True, generator=generator)
    return drawn[:, 0], drawn[:, 1]
