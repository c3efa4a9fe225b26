"""Exact nearest-neighbour search. Shapes: N vectors, D dimension, Q queries, M rows of a filter.

A score is the dot product, computed in float64 and rounded to float32. So a query scores the same
alone and among others, and copies of a sound share one score. Products in float32 only choose the
rows that are worth computing in float64.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.runtime import onednn
from utils.runtime.errors import InputError

_SCORES = 1 << 26  # at a time, 256 MB
_QUERIES = 256  # at a time, at most
_CHUNK = 1 << 22  # scores of a product
_GATHERED = 4096  # rows that a filter picks at a time: the copies stay in the caches
_DENSE = 8  # for a filter that picks every eighth row or more, reading all rows is faster
_RESCORED = 8192  # rows at a time in float64, 50 MB at 768 dimensions


class ExactSearch:
    """Find the best rows for a query by scoring all of them.

    Parameters
    ----------
    vectors : ndarray, shape (N, D), float32
        Unit vectors; a memory-mapped file is read in place.

    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self._tensor = as_tensor(vectors)

    def search(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows for each query, best first, equal scores in order of row.

        Parameters
        ----------
        queries : ndarray, shape (Q, D), float32
            Unit vectors.
        k : int
            At least 1.
        among : ndarray, shape (M,), int64, optional
            The rows that may be found, in increasing order; by default all.

        Returns
        -------
        scores : ndarray, shape (Q, k'), float32
            Dot products; k' is k, or the number of rows if that is less.
        rows : ndarray, shape (Q, k'), int64

        Raises
        ------
        ValueError
            If `queries` or `k` is not as described, or a query is not finite.
        InputError
            If a vector holds NaN or infinite numbers.

        """
        check_search(self.vectors, queries, k)
        admitted = None if among is None else torch.from_numpy(among)
        count = len(self.vectors) if among is None else len(among)
        k = min(k, count)
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        size = min(_QUERIES, max(1, _SCORES // max(count, 1)))
        for first in range(0, len(queries) if k else 0, size):
            block = slice(first, first + size)
            scores[block], rows[block] = self._search(queries[block], k, admitted)
        return scores, rows

    def _search(
        self, queries: NDArray[np.float32], k: int, among: Tensor | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        asked = torch.tensor(queries)
        rough = self._rough_scores(asked, among)
        best = rough.topk(k, dim=1).values
        if not best.isfinite().all():
            bad = (~rough.isfinite()).any(dim=0).nonzero()[0].item()
            path = getattr(self.vectors, "filename", None) or "the vectors"
            raise InputError(
                f"{path}: row {bad if among is None else among[bad]} (from 0) holds NaN or "
                "infinite numbers. Compute the vectors again."
            )
        # Summing D products in float32 errs by up to D/2^24 of the lengths. A row that belongs to
        # the best may lose that much, and the k-th of them gain it.
        margin = 2 * asked.shape[1] / 2**24 * asked.norm(dim=1, keepdim=True)
        of, rows = (rough >= best[:, -1:] - margin).nonzero().unbind(1)
        of, rows = of.numpy(), (rows if among is None else among[rows]).numpy()
        return best_of_each(of, exact_scores(queries, of, self._tensor.numpy(), rows), rows, k)

    def _rough_scores(self, queries: Tensor, among: Tensor | None) -> Tensor:
        """Score queries in float32: (Q, D) ─► (Q, M)."""
        sparse = among is not None and len(among) < len(self._tensor) / _DENSE
        parts = (
            (self._tensor[rows] for rows in among.split(_GATHERED))
            if sparse
            else self._tensor.split(max(1, _CHUNK // len(queries)))
        )
        scores = torch.cat([onednn.linear(queries, part) for part in parts], dim=1)
        return scores if sparse or among is None else scores[:, among]


def exact_scores(
    queries: NDArray[np.float32],
    of: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Score pairs of a query and a row: queries[of] and vectors[rows], (P, D) each ─► (P,).

    NumPy computes this without BLAS, in one thread: for a few rows, waking another thread and
    waiting for it takes longer, on a busy machine up to a hundred times as long.
    """
    queries = queries.astype(np.float64)
    scores = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _RESCORED):
        some = slice(first, first + _RESCORED)
        of_rows = vectors[rows[some]].astype(np.float64)
        scores[some] = np.einsum("pd,pd->p", of_rows, queries[of[some]])
    return scores


def best_of_each(
    of: NDArray[np.int64], scores: NDArray[np.float32], rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep the k best pairs of each query, equal scores in order of row: (P,) each ─► (Q, k) each.

    `of` holds the query of each pair. Each query from 0 to Q - 1 needs at least k pairs.
    """
    order = np.lexsort((rows, -scores, of))
    of = of[order]
    first = np.searchsorted(of, of)  # of each query's pairs
    order = order[np.arange(len(order)) - first < k]
    return scores[order].reshape(-1, k), rows[order].reshape(-1, k)


def as_tensor(vectors: NDArray[np.float32]) -> Tensor:
    """View vectors as a tensor, without a copy."""
    with warnings.catch_warnings():
        # It warns that a read-only array must not be written to. Nothing here does.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(vectors)


def check_search(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> None:
    """Check queries, which may be a user's own; a ValueError says what is wrong."""
    wanted = vectors.shape[1]
    if queries.ndim != 2 or queries.shape[1] != wanted or queries.dtype != np.float32:
        raise ValueError(
            f"queries must be float32 of shape (Q, {wanted}), not {queries.dtype} of shape "
            f"{queries.shape}"
        )
    if not np.isfinite(queries).all():
        raise ValueError("queries hold NaN or infinite numbers, which have no order")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
