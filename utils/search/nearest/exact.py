"""Exact nearest-neighbour search. Shapes: N vectors, D dimension, Q queries, M rows of a filter.

The score of a row is the dot product computed in float64 and rounded to float32, so that it is the
same for one query and for many, and that copies of a sound share one score wherever they stand.
Products in float32 only choose the rows for which that is worth while.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.runtime import onednn
from utils.runtime.errors import InputError

_QUERIES = 256  # at a time: each pass over the vectors serves them all
_CHUNK_SCORES = 1 << 22  # at a time, 16 MB
_GATHERED = 4096  # rows at a time that a filter picks: copies that stay in the caches
_DENSE = 8  # a filter that picks every eighth row or more: reading all is quicker than picking
_RESCORED = 8192  # rows at a time in float64, 50 MB at 768 dimensions


class ExactSearch:
    """Find the best rows for a query by scoring all of them.

    Parameters
    ----------
    vectors : ndarray, shape (N, D), float32
        Unit vectors; a memory-mapped file is read where it lies.

    Raises
    ------
    ValueError
        If they are of another type or shape.

    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self._tensor = as_tensor(vectors)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        among: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows for each query, the best first, equal scores by row.

        Parameters
        ----------
        queries : ndarray, shape (Q, D), float32
            Unit vectors.
        k : int
            At least 1.
        among : ndarray, shape (M,), int, optional
            The rows that may be found, in rising order; all if not given.

        Returns
        -------
        scores : ndarray, shape (Q, k'), float32
            Dot products; k' is k, or the number of rows there are if that is less.
        rows : ndarray, shape (Q, k'), int64

        Raises
        ------
        ValueError
            If an argument is not as described, or a query is not finite.
        InputError
            If a vector holds NaN or infinite numbers.

        """
        check_search(self.vectors, queries, k, among)
        rows = None if among is None else torch.from_numpy(among.astype(np.int64))
        count = len(self.vectors) if rows is None else len(rows)
        k = min(k, count)
        scores = np.empty((len(queries), k), np.float32)
        best = np.empty((len(queries), k), np.int64)
        for first in range(0, len(queries) if k else 0, _QUERIES):
            block = slice(first, first + _QUERIES)
            scores[block], best[block] = self._search(torch.tensor(queries[block]), k, rows)
        return scores, best

    def _search(
        self, queries: Tensor, k: int, among: Tensor | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        # Summing D products in float32 errs by up to D/2^24 of the lengths; a row that belongs to
        # the best may lose that much, and the k-th of them gain it.
        margin = 2 * queries.shape[1] / 2**24 * queries.norm(dim=1)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        for part, rough in self._rough_scores(queries, among):
            top = rough.topk(min(k, len(part)), dim=1).values
            if not top.isfinite().all():
                raise self._not_finite(part)
            least = torch.from_numpy(scores[:, -1])
            if len(part) >= k:
                least = torch.maximum(least, top[:, -1])
            of, place = (rough >= (least - margin).unsqueeze(1)).nonzero().unbind(1)
            of, new = of.numpy(), part[place].numpy()
            exact = exact_scores(queries.numpy(), of, self._tensor.numpy(), new)
            scores, rows = best_of_each(
                np.concatenate([np.arange(len(queries)).repeat(k), of]),
                np.concatenate([scores.ravel(), exact]),
                np.concatenate([rows.ravel(), new]),
                k,
            )
        return scores, rows

    def _rough_scores(
        self, queries: Tensor, among: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Score queries in float32, some rows at a time: (rows,) and (Q, rows)."""
        if among is not None and len(among) < len(self._tensor) / _DENSE:
            for rows in among.split(_GATHERED):
                yield rows, onednn.linear(queries, self._tensor[rows])
            return
        size = _CHUNK_SCORES // len(queries)
        for first in range(0, len(self._tensor), size):
            rough = onednn.linear(queries, self._tensor[first : first + size])
            rows = torch.arange(first, first + rough.shape[1])
            if among is not None:
                begin, end = torch.searchsorted(among, torch.tensor([first, first + len(rows)]))
                rows = among[begin:end]
                rough = rough[:, rows - first]
            if len(rows):
                yield rows, rough

    def _not_finite(self, rows: Tensor) -> InputError:
        bad = next(row for row in rows.tolist() if not self._tensor[row].isfinite().all())
        path = getattr(self.vectors, "filename", None)
        return InputError(
            f"{path or 'the vectors'}: row {bad} (from 0) holds NaN or infinite numbers, which no "
            "query can be compared with. Make the vectors again."
        )


def exact_scores(
    queries: NDArray[np.float32],
    of: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Score pairs of a query and a row: queries[of] and vectors[rows], (P, D) each ─► (P,).

    By NumPy without BLAS, in one thread: for a few rows, waking another and waiting for it takes
    longer, and on a busy machine up to a hundred times as long.
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
    """Keep the k best for each query, equal scores by row.

    Parameters
    ----------
    of, scores, rows : ndarray, shape (P,)
        The query, score and row of each pair; at least k pairs for each query from 0 to Q - 1.
    k : int

    Returns
    -------
    scores, rows : ndarray, shape (Q, k)

    """
    order = np.lexsort((rows, -scores, of))
    of = of[order]
    first = np.searchsorted(of, of)  # of each query's pairs
    order = order[np.arange(len(order)) - first < k]
    return scores[order].reshape(-1, k), rows[order].reshape(-1, k)


def as_tensor(vectors: NDArray[np.float32]) -> Tensor:
    """View vectors as a tensor, without a copy.

    Raises
    ------
    ValueError
        If they are not a C-ordered float32 array of shape (N, D).

    """
    if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        raise ValueError(
            f"vectors must be a C-ordered float32 array of shape (N, D), not {vectors.dtype} of "
            f"shape {vectors.shape}"
        )
    with warnings.catch_warnings():
        # That it can't be written to: nothing here does.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(vectors)


def check_search(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, among: NDArray | None
) -> None:
    """Check the arguments of a search.

    Raises
    ------
    ValueError
        If one is not as `ExactSearch.search` describes.

    """
    check_queries(vectors, queries)
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if among is None or not len(among):
        return
    if among.ndim != 1 or among.dtype.kind not in "iu" or (np.diff(among) <= 0).any():
        raise ValueError("among must be a list of different row numbers in rising order")
    if among[0] < 0 or among[-1] >= len(vectors):
        raise ValueError(
            f"among goes from row {among[0]} to {among[-1]}; the rows are 0 to {len(vectors) - 1}"
        )


def check_queries(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    """Check that queries are finite float32 vectors of the same dimension.

    Raises
    ------
    ValueError
        If they are not.

    """
    wanted = vectors.shape[1]
    if queries.ndim != 2 or queries.shape[1] != wanted or queries.dtype != np.float32:
        raise ValueError(
            f"queries must be float32 of shape (Q, {wanted}), not {queries.dtype} of shape "
            f"{queries.shape}"
        )
    if not np.isfinite(queries).all():
        raise ValueError("queries hold NaN or infinite numbers; no order is right")
