"""A network that says which cells of a recording belong to a moment that a text describes.

Shapes: B queries, C cells of a recording (half a second each), F curves, D dimension of the shared
space, K AudioSet classes, S numbers of a scene embedding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures import CLASSES

_POOLED = (3, 7, 15, 31)  # cells that curves are averaged over
_COARSE, _FINE = (3, 8), (1, 2)  # cells on either side of a change
_FOCUS = 8.0  # logits from a recording's usual likeness to its best
CURVES = 3 + len(_POOLED) + 3 + len(_COARSE) + 2 * len(_FINE)


class MomentNet(nn.Module):
    """Dilated convolutions over the curves of `curves_of`, with a few ten thousand weights.

    It sees how alike a query and the cells are, how alike the cells are to the best of them, and
    where the sound changes, but not what they are: so it works with any dual encoder and for any
    sound.

    Parameters
    ----------
    width : int
        Channels.
    depth : int
        Convolutions; they see 2 ** depth cells on either side.
    dropout : float
        Of channels.

    """

    def __init__(self, *, width: int = 48, depth: int = 7, dropout: float = 0.1) -> None:
        super().__init__()
        self.enter = nn.Conv1d(CURVES, width, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**layer, dilation=2**layer)
            for layer in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.dropout = nn.Dropout1d(dropout)
        self.leave = nn.Conv1d(width, 1, 1)

    def forward(self, curves: Tensor, there: Tensor) -> Tensor:
        """Say which cells belong to a moment.

        Parameters
        ----------
        curves : Tensor, shape (B, F, C)
            From `curves_of`, padded at the end.
        there : Tensor, shape (B, C), bool
            False for padding.

        Returns
        -------
        Tensor, shape (B, C)
            Logits.

        """
        mask = there[:, None]
        x = self.enter(curves) * mask
        for layer, norm in zip(self.layers, self.norms, strict=True):
            normed = norm(x.transpose(1, 2)).transpose(1, 2)
            x = x + self.dropout(layer(F.gelu(normed) * mask)) * mask
        return self.leave(x)[:, 0]

    @torch.inference_mode()
    def likely_cells(self, curves: Tensor) -> Tensor:
        """Compute the probability that each cell belongs to a moment: (F, C) ─► (C,)."""
        there = torch.ones(1, curves.shape[1], dtype=torch.bool)
        return self(curves[None], there)[0].sigmoid()


def curves_of(likeness: Tensor, cells: Tensor, rows: Tensor) -> Tensor:
    """Describe a recording for a query.

    Parameters
    ----------
    likeness : Tensor, shape (C,)
        Scores of the cells for the query.
    cells : Tensor, shape (C, D)
        Unit embeddings of the cells.
    rows : Tensor, shape (C, K + S)
        PaSST's output for the cells: logits and scene embedding.

    Returns
    -------
    Tensor, shape (F, C)
        The likeness, centred and scaled by the recording's own; averages of it; how alike the
        cells sound to those that are most like the query; changes of the sound.

    """
    scaled = _scaled(likeness)
    z = (likeness - likeness.mean()) / likeness.std(correction=0).clamp(min=1e-6)
    pooled = [_average(scaled[None], size)[0] for size in _POOLED]
    logits, scene = rows.split([CLASSES, rows.shape[1] - CLASSES], dim=1)
    events, tags, timbre = (sound - sound.mean(dim=0) for sound in (cells, logits, scene))
    alike = [_alike_to_best(sound, scaled) for sound in (events, tags, timbre)]
    coarse = [novelty(cells, size) for size in _COARSE]
    fine = [novelty(sound, size) for sound in (events, timbre) for size in _FINE]
    return torch.stack([likeness, scaled, z, *pooled, *alike, *coarse, *fine])


def novelty(cells: Tensor, size: int) -> Tensor:
    """Measure how much the sound changes at the start of each cell: (C, D) ─► (C,).

    The means of `size` cells before and after it are compared.
    """
    sums = F.pad(cells.T, (size, size), mode="replicate").cumsum(1)
    sums = F.pad(sums, (1, 0))
    means = sums[:, size:] - sums[:, :-size]  # of the cells from each one on
    count = len(cells)
    return 1 - F.cosine_similarity(means[:, :count], means[:, size : size + count], dim=0)


def _scaled(likeness: Tensor) -> Tensor:
    """Scale likenesses so that the usual one is 0 and the best is 1."""
    usual, best = likeness.median(), likeness.max()
    return (likeness - usual) / (best - usual).clamp(min=1e-6)


def _alike_to_best(cells: Tensor, scaled: Tensor) -> Tensor:
    """Compare cells with the mean of those that are most like the query: (C, D) ─► (C,)."""
    cells = F.normalize(cells, dim=1)
    example = (_FOCUS * scaled).softmax(dim=0) @ cells
    return cells @ F.normalize(example, dim=0)


def _average(curves: Tensor, size: int) -> Tensor:
    return F.avg_pool1d(curves, size, stride=1, padding=size // 2, count_include_pad=False)
