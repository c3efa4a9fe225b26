"""Embeddings ─► scores ─► ranks ─► result rows. Shapes: N captions, C clips, D dimension."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.runtime import onednn

RESULTS = 10  # file names per row of the result table


_CHUNK_SCORES = 1_000_000  # scores held at once: few enough for the caches


_CHUNK_ROWS = 64  # at least, so that a product stays worth reading a million clips for


def rank_clips(audio: Tensor, queries: Tensor, clip_of_query: Tensor) -> NDArray[np.int64]:
    """Rank each caption's own clip among all clips, from 1.

    Nothing is sorted: the rank is one more than the number of clips ahead. Equal scores are
    ordered by clip position, so a result never depends on chance.

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

    """
    _require_finite(audio, queries)
    chunks = _score_chunks(audio, queries, clip_of_query)
    return torch.cat([_ranks(scores, own) for scores, own in chunks]).cpu().numpy()


def rank_and_retrieve(
    audio: Tensor, queries: Tensor, clip_of_query: Tensor, *, top: int = RESULTS
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rank each caption's own clip among all clips, and name the best clips.

    Parameters
    ----------
    audio, queries, clip_of_query
        See `rank_clips`.
    top : int
        How many clips to name; fewer if there are not as many.

    Returns
    -------
    ranks : ndarray, shape (N,)
        From 1.
    best : ndarray, shape (N, min(top, C))
        Rows of `audio`, best first.
    scores : ndarray, shape (N, min(top, C))
        Their scores.

    Raises
    ------
    ValueError
        If an embedding is not finite.

    """
    _require_finite(audio, queries)
    top = min(top, len(audio))
    ranks, best, best_scores = [], [], []
    for scores, own_clip in _score_chunks(audio, queries, clip_of_query):
        ranks.append(_ranks(scores, own_clip))
        order = _best(scores, top)
        best.append(order)
        best_scores.append(scores.gather(1, order))
    return (
        torch.cat(ranks).cpu().numpy(),
        torch.cat(best).cpu().numpy(),
        torch.cat(best_scores).float().cpu().numpy(),
    )


def caption_hits(
    audio: Tensor, queries: Tensor, clip_of_query: Tensor, *, top: int = RESULTS
) -> NDArray[np.bool_]:
    """Rank the captions for each clip, and tell which of the best are its own.

    Equal scores are ordered by caption position.

    Parameters
    ----------
    audio : Tensor, shape (C, D)
    queries : Tensor, shape (N, D)
    clip_of_query : Tensor, shape (N,), int
    top : int

    Returns
    -------
    ndarray, shape (C, min(top, N)), bool

    """
    _require_finite(audio, queries)
    top = min(top, len(queries))
    position = torch.arange(len(audio), device=audio.device)
    hits = [
        clip_of_query[_best(scores, top)] == clip
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


def best_clips(scores: NDArray[np.float32], *, top: int = RESULTS) -> NDArray[np.int64]:
    """Name the best clips of each query, equal scores by position: (N, C) ─► (N, min(top, C))."""
    return _best(torch.from_numpy(scores), min(top, scores.shape[1])).numpy()


def _score_chunks(targets: Tensor, queries: Tensor, own: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Score queries a bounded number at a time: (rows, C) scores, (rows, 1) own targets."""
    rows = max(_CHUNK_ROWS, _CHUNK_SCORES // len(targets))
    for chunk, own_target in zip(queries.split(rows), own.split(rows), strict=True):
        yield onednn.linear(chunk, targets), own_target.unsqueeze(1)


def _ranks(scores: Tensor, own_clip: Tensor) -> Tensor:
    """Count the clips ahead of each query's own, among equal scores those that stand before it."""
    own = scores.gather(1, own_clip)
    ahead = (scores > own).sum(dim=1, dtype=torch.int32)
    equal = (scores >= own).sum(dim=1, dtype=torch.int32) - ahead
    for row in (equal > 1).nonzero().squeeze(1).tolist():  # few, if any
        before = scores[row, : own_clip[row, 0]]
        ahead[row] += (before == own[row]).sum(dtype=torch.int32)
    return ahead.long() + 1


def _best(scores: Tensor, top: int) -> Tensor:
    """Find the highest scores of each row, equal ones by position: (rows, C) ─► (rows, top)."""
    values, order = scores.topk(top, dim=1)
    # Among equal scores topk takes and orders as it pleases.
    order = order.sort(dim=1).values
    by_score = scores.gather(1, order).argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, by_score)
    last = values[:, -1:]
    left_out = (scores >= last).sum(dim=1, dtype=torch.int32) > top
    for row in left_out.nonzero().squeeze(1).tolist():
        order[row] = scores[row].argsort(descending=True, stable=True)[:top]
    return order


def _require_finite(*embeddings: Tensor) -> None:
    # The sum tells quickly; it may also overflow.
    if not all(tensor.sum().isfinite() or tensor.isfinite().all() for tensor in embeddings):
        raise ValueError("embeddings hold NaN or infinite numbers; no order is right")
