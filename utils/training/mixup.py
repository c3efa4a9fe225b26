"""Draw which pairs to mix, and how much. Shapes: P pairs of a split, B of an epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Mixup:
    """Mix pairs of different clips (Zhang et al., "mixup", ICLR 2018).

    With probability `rate` a pair is mixed with a pair of another clip: features and logits
    λx + (1-λ)x', sentence vectors the normalised λe + (1-λ)e', with λ drawn from Beta(β, β).

    Attributes
    ----------
    rate : float
        In [0, 1].
    beta : float
        β > 0; the smaller, the closer λ is to 0 or 1.

    """

    rate: float
    beta: float


def draw_mixup(
    clips: Tensor, order: Tensor, mixup: Mixup, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.float64]]:
    """Draw the partner of each pair of an epoch, and the pair's own share in the mixture.

    Parameters
    ----------
    clips : Tensor, shape (P,), int
        Clip of each pair of the whole split.
    order : Tensor, shape (B,), int
        Positions of the pairs.

    Returns
    -------
    partners : Tensor, shape (B,), int
        Uniform among the pairs of other clips; the pair itself if it stays unmixed.
    share : ndarray, shape (B,)
        λ; 1 if it stays unmixed.

    """
    of_pair, positions = clips.cpu().numpy(), order.cpu().numpy()
    chosen = np.flatnonzero(rng.random(len(positions)) < mixup.rate)
    share = np.ones(len(positions))
    share[chosen] = rng.beta(mixup.beta, mixup.beta, size=len(chosen))
    partners = positions.copy()
    if (of_pair == of_pair[0]).all():
        return order, np.ones(len(positions))  # a single clip: nothing to mix with
    waiting = chosen
    while len(waiting):  # draw again where the partner is of the same clip
        partners[waiting] = rng.integers(len(of_pair), size=len(waiting))
        waiting = waiting[of_pair[partners[waiting]] == of_pair[positions[waiting]]]
    return torch.from_numpy(partners).to(order.device), share
