"""Losses on embeddings alone. Shapes: B pairs of a batch, D dimension."""

import torch
from torch import Tensor, nn


class TripletRankingLoss(nn.Module):
    """Push each pair's own score above those of two random impostors, by a margin.

    For pair i with audio a_i and query q_i, a query impostor j and an audio impostor k of other
    clips::

        loss = mean_i [ max(0, m + a_i·q_j - a_i·q_i) + max(0, m + a_k·q_i - a_i·q_i) ]

    as in the DCASE 2022 Task 6b baseline (Xie et al., 2022).

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
        clips : Tensor, shape (B,), int
            Which clip each pair belongs to.
        generator : torch.Generator, optional
            Source of the impostors; on the device of `clips`.
        impostors : tuple of two Tensors, shape (B,), int, optional
            Audio impostors k and query impostors j to use instead of random ones.

        Returns
        -------
        Tensor, scalar
            0, with zero gradients, for a batch of a single clip, which has no impostors.

        """
        if impostors is None:
            impostors = draw_impostors(clips, generator=generator)
        if impostors is None:
            return (audio.sum() + queries.sum()) * 0.0
        audio_impostors, query_impostors = impostors
        own = (audio * queries).sum(dim=-1)
        wrong_query = (audio * queries[query_impostors]).sum(dim=-1)
        wrong_audio = (audio[audio_impostors] * queries).sum(dim=-1)
        hinges = (self.margin + wrong_query - own).clamp(min=0) + (
            self.margin + wrong_audio - own
        ).clamp(min=0)
        return hinges.mean()


def draw_impostors(
    clips: Tensor, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor] | None:
    """Draw, for each pair, two pairs of other clips, independently and uniformly.

    Parameters
    ----------
    clips : Tensor, shape (B,), int
    generator : torch.Generator, optional

    Returns
    -------
    tuple of two Tensors, shape (B,), int
        Positions of the audio and of the query impostors; None if all pairs are of one clip.

    """
    others = clips.unsqueeze(0) != clips.unsqueeze(1)
    if not others.any():
        return None
    drawn = torch.multinomial(others.float(), 2, replacement=True, generator=generator)
    return drawn[:, 0], drawn[:, 1]
