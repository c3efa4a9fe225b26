"""Losses on embeddings alone. Shapes: P pairs of an epoch, B of a batch, D dimension.

Every loss is called as ``loss(audio, queries, clips, impostors)``. `clips` has the clip of each
pair, shape (B,), or the two clips of each mixed pair, shape (B, 2); there an unmixed pair has its
clip twice. Pairs that share no clip are each other's negatives. `impostors` is the batch's part of
what the loss drew at random for the epoch.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DRAWS = 8  # random draws for all pairs together, before the rest is drawn one by one


class PairLoss(nn.Module):
    """Base class: a loss may draw random numbers, once for an epoch."""

    def draw(self, clips: Tensor, *, batch_size: int, generator: torch.Generator) -> Tensor | None:
        """Draw what the loss needs for an epoch, shape (P, ...); None if it needs nothing.

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

    For pair i with audio a_i and query q_i, an audio impostor k and a query impostor j of other
    clips::

        loss = mean_i [ max(0, m + a_k·q_i - a_i·q_i) + max(0, m + a_i·q_j - a_i·q_i) ]

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
        """Draw the impostors of an epoch; see `draw_impostors`."""
        return draw_impostors(clips, batch_size=batch_size, generator=generator)

    def forward(self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        audio, queries : Tensor, shape (B, D)
        clips : Tensor, shape (B,) or (B, 2), int
            Not used: the impostors were drawn by them.
        impostors : Tensor, shape (B, 2), int
            Positions k and j in the batch; a pair's own position if it has no impostors.

        Returns
        -------
        Tensor, scalar
            0, with zero gradients, for a batch of a single clip, which has no impostors.

        """
        k, j = impostors.unbind(dim=1)
        own = torch.linalg.vecdot(audio, queries)
        wrong_audio = torch.linalg.vecdot(audio[k], queries)
        wrong_query = torch.linalg.vecdot(audio, queries[j])
        hinges = F.relu(self.margin + wrong_audio - own) + F.relu(self.margin + wrong_query - own)
        alone = j == torch.arange(len(j), device=j.device)
        return hinges.masked_fill(alone, 0).mean()


class HardTripletRankingLoss(TripletRankingLoss):
    """The triplet loss with the highest-scoring impostors of the batch instead of random ones.

    For pair i, with the maxima over the pairs of other clips::

        loss = mean_i [ max(0, m + max_j a_i·q_j - a_i·q_i) + max(0, m + max_k a_k·q_i - a_i·q_i) ]

    the "max of hinges" of Faghri et al., "VSE++: improving visual-semantic embeddings with hard
    negatives", BMVC 2018.
    """

    draw = PairLoss.draw

    def forward(
        self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: None = None
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T
        own = scores.diagonal()
        wrong = scores.masked_fill(~negatives(clips), -math.inf)
        wrong_query, wrong_audio = wrong.amax(dim=1), wrong.amax(dim=0)
        hinges = F.relu(self.margin + wrong_audio - own) + F.relu(self.margin + wrong_query - own)
        return hinges.mean()


class InfoNCE(PairLoss):
    """Classify each query's clip among all clips of the batch, and each clip's query.

    With scores s_ij = a_i·q_j / τ and P(i) the pairs that share a clip with pair i, i included::

        loss = ½ mean_i [ mean_{j in P(i)} -log softmax_j(s_ij) ]
             + ½ mean_i [ mean_{j in P(i)} -log softmax_j(s_ji) ]

    van den Oord et al., 2018 (https://arxiv.org/abs/1807.03748), symmetric as in CLIP, with several
    positives as in Khosla et al., "Supervised contrastive learning", NeurIPS 2020 (their L_out).

    Parameters
    ----------
    temperature : float
        τ; its initial value if it is learnable.
    learnable : bool
        Train log τ along with the model; τ never falls below 0.01.

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
        """The current τ."""
        return self.log_temperature.exp().clamp(min=self.lowest_temperature)

    def forward(
        self, audio: Tensor, queries: Tensor, clips: Tensor, impostors: None = None
    ) -> Tensor:
        """Compute the loss of a batch; arguments and result as for `TripletRankingLoss`."""
        scores = audio @ queries.T / self.temperature.to(audio.dtype)
        positives = (~negatives(clips)).to(scores.dtype)
        wanted = positives / positives.sum(dim=1, keepdim=True)
        return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2


class Distillation(nn.Module):
    """Learn how likely each clip of a batch is for a query, as teachers estimate it.

    With the scores s_ij = a_i·q_j / τ, and the teachers' t_ij = mean of their a_i·q_j, divided by
    the temperature of teachers::

        loss = ½ mean_j [ Σ_i -softmax_i(t_ij) log softmax_i(s_ij) ]
             + ½ mean_i [ Σ_j -softmax_j(t_ij) log softmax_j(s_ij) ]

    as in Primus et al., "Estimated audio-caption correspondences improve language-based audio
    retrieval", DCASE workshop 2024.

    Parameters
    ----------
    temperature : float
        Of the teachers.

    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self._temperature = temperature

    def forward(self, scores: Tensor, teachers: Tensor) -> Tensor:
        """Compare the scores of a batch, divided by τ, (B, B), with the teachers' cosines."""
        wanted = teachers / self._temperature
        return (
            F.cross_entropy(scores, wanted.softmax(dim=1))
            + F.cross_entropy(scores.T, wanted.T.softmax(dim=1))
        ) / 2


def make_loss(
    criterion: str, *, margin: float, temperature: float, learnable_temperature: bool
) -> PairLoss:
    """Make the loss that `training.criterion` names.

    `MixupTripletRankingLoss` is the triplet loss itself: mixup is applied to the pairs.
    """
    if criterion == "InfoNCE":
        return InfoNCE(temperature=temperature, learnable=learnable_temperature)
    if criterion == "HardTripletRankingLoss":
        return HardTripletRankingLoss(margin=margin)
    return TripletRankingLoss(margin=margin)


def negatives(clips: Tensor) -> Tensor:
    """Compare all pairs of a batch: (B,) or (B, 2) ─► (B, B), True where they share no clip."""
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
    Tensor, shape (P, 2), int
        Positions in the batch: the audio and the query impostor of each pair; its own position
        twice if it has no negatives there.

    """
    clips = clips.view(len(clips), -1)
    pairs = torch.arange(len(clips), device=clips.device)
    first = pairs - pairs % batch_size  # pair of the batch
    sizes = (len(clips) - first).clamp(max=batch_size)
    drawn = pairs.repeat(2, 1)
    for _ in range(_DRAWS):
        refused = _share_a_clip(clips, clips[drawn])
        if not refused.any():
            return (drawn - first).T
        chance = torch.rand(drawn.shape, generator=generator, device=clips.device)
        # A chance just below 1 may be rounded up to the size.
        candidates = first + torch.minimum((chance * sizes).long(), sizes - 1)
        drawn = torch.where(refused, candidates, drawn)
    # The remaining pairs have few negatives, or none.
    for i, j in _share_a_clip(clips, clips[drawn]).nonzero().tolist():
        start, end = int(first[j]), int(first[j] + sizes[j])
        fit = start + (~_share_a_clip(clips[j], clips[start:end])).nonzero().squeeze(1)
        chosen = torch.randint(max(1, len(fit)), (), generator=generator, device=clips.device)
        drawn[i, j] = fit[chosen] if len(fit) else j
    return (drawn - first).T


def _share_a_clip(one: Tensor, other: Tensor) -> Tensor:
    """Compare pairs, whose one or two clips are in the last dimension."""
    return (one.unsqueeze(-1) == other.unsqueeze(-2)).flatten(-2).any(dim=-1)
