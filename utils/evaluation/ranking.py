"""Embeddings ─► scores ─► ranks and best results. Shapes: N captions, C clips, D dimension.

The invariant of all results: higher scores come first, and equal scores in order of position. So a
result depends neither on chance nor on how the captions are split into chunks.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.evaluation.metrics import CUTOFF
from utils.runtime import onednn

_CHUNK_SCORES = 1_000_000  # scores held at once: few enough for the caches
_CHUNK_ROWS = 64  # at least, so that a product is worth reading a million clips


def rank_clips(audio: Tensor, queries: Tensor, clip_of_query: Tensor) -> NDArray[np.int64]:
    """Rank each caption's own clip among all clips, from 1.

    Nothing is sorted: the rank is one more than the number of clips ahead.

    Parameters
    ----------
    audio : Tensor, shape (C, D)
    queries : Tensor, shape (N, D)
    clip_of_query : Tensor, shape (N,), int
        Row of `audio` that each caption belongs to.

    Returns
    -------
    ndarray, shape (N,)

    Raises
    ------
    ValueError
        If an embedding is not finite: every comparison with NaN is false, so that a diverged model
        would seem to rank every clip first.

    Examples
    --------
    The second caption scores 0.6 with its own clip, and 0.8 with the other one.

    >>> audio = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> captions = torch.tensor([[0.8, 0.6], [0.8, 0.6]])
    >>> rank_clips(audio, captions, torch.tensor([0, 1]))
    array([1, 2])

    """
    chunks = _score_chunks(audio, queries, clip_of_query)
    return torch.cat([_ranks(scores, own) for scores, own in chunks]).cpu().numpy()


def rank_and_retrieve(
    audio: Tensor, queries: Tensor, clip_of_query: Tensor, *, top: int = CUTOFF
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rank each caption's own clip among all clips, and find the `top` best clips.

    Other parameters and errors are those of `rank_clips`.

    Returns
    -------
    ranks : ndarray, shape (N,)
        From 1.
    best : ndarray, shape (N, min(top, C))
        Rows of `audio`, best first.
    scores : ndarray, shape (N, min(top, C))
        Their scores.

    """
    ranks, best, best_scores = [], [], []
    for scores, own_clip in _score_chunks(audio, queries, clip_of_query):
        ranks.append(_ranks(scores, own_clip))
        best.append(best_rows(scores, top))
        best_scores.append(scores.gather(1, best[-1]))
    return (
        torch.cat(ranks).cpu().numpy(),
        torch.cat(best).cpu().numpy(),
        torch.cat(best_scores).float().cpu().numpy(),
    )


def rank_by_scores(
    scores: Tensor, clip_of_query: Tensor, *, top: int = CUTOFF
) -> tuple[Tensor, Tensor]:
    """Do the same by scores, (N, C), that are there: ranks, (N,), and best clips, (N, top)."""
    return _ranks(scores, clip_of_query.unsqueeze(1)), best_rows(scores, top)


def caption_hits(audio: Tensor, queries: Tensor, clip_of_query: Tensor) -> NDArray[np.bool_]:
    """Rank the captions for each clip, and say which of the ten best are its own.

    Parameters and errors are those of `rank_clips`.

    Returns
    -------
    ndarray, shape (C, min(10, N)), bool

    """
    position = torch.arange(len(audio), device=audio.device)
    hits = [
        clip_of_query[best_rows(scores)] == clip
        for scores, clip in _score_chunks(queries, audio, position)
    ]
    return torch.cat(hits).cpu().numpy()


def score_matrix(audio: Tensor, queries: Tensor) -> NDArray[np.float32]:
    """Score every query against every clip: (C, D), (N, D) ─► (N, C).

    Raises
    ------
    ValueError
        If an embedding is not finite.

    """
    _require_finite(audio, queries)
    return onednn.linear(queries, audio).float().cpu().numpy()


def best_clips(scores: NDArray[np.float32], *, top: int = CUTOFF) -> NDArray[np.int64]:
    """Find the best clips of each query, best first: (N, C) ─► (N, min(top, C))."""
    return best_rows(torch.from_numpy(scores), top).numpy()


def _score_chunks(targets: Tensor, queries: Tensor, own: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Score queries a bounded number at a time: (rows, C) scores, (rows, 1) own targets."""
    _require_finite(targets, queries)
    rows = max(_CHUNK_ROWS, _CHUNK_SCORES // len(targets))
    for chunk, own_target in zip(queries.split(rows), own.split(rows), strict=True):
        yield onednn.linear(chunk, targets), own_target.unsqueeze(1)


def _ranks(scores: Tensor, own_clip: Tensor) -> Tensor:
    """Count the clips ahead of each query's own: higher scores, and equal ones before it."""
    own = scores.gather(1, own_clip)
    ahead = (scores > own).sum(dim=1, dtype=torch.int32)
    equal = (scores >= own).sum(dim=1, dtype=torch.int32) - ahead
    for row in (equal > 1).nonzero().squeeze(1).tolist():  # few, if any
        before = scores[row, : own_clip[row, 0]]
        ahead[row] += (before == own[row]).sum(dtype=torch.int32)
    return ahead.long() + 1


def best_rows(scores: Tensor, top: int = CUTOFF) -> Tensor:
    """Find the best positions of each row, best first: (rows, C) ─► (rows, min(top, C))."""
    top = min(top, scores.shape[1])
    values, order = scores.topk(top, dim=1)
    # topk returns equal scores in any order: sort by position, then by score, keeping that order.
    order = order.sort(dim=1).values
    by_score = scores.gather(1, order).argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, by_score)
    # topk also chooses freely among scores equal to the last one. Those rows are sorted in full.
    left_out = (scores >= values[:, -1:]).sum(dim=1, dtype=torch.int32) > top
    for row in left_out.nonzero().squeeze(1).tolist():  # few, if any
        order[row] = scores[row].argsort(descending=True, stable=True)[:top]
    return order


def _require_finite(*embeddings: Tensor) -> None:
    # The sum is a quick test; it may also overflow.
    if not all(tensor.sum().isfinite() or tensor.isfinite().all() for tensor in embeddings):
        raise ValueError("embeddings hold NaN or infinite numbers; no order is right")
