"""Nearest-neighbour search among up to millions of vectors: approximate where exact is slow.

What is approximate is only whether a row is found: the candidates of an inverted file are scored
from the vectors themselves, as `ExactSearch` does.

Shapes: N vectors, D dimension, S sample, Q queries, M rows of a filter.
"""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.search.nearest.exact import (
    ExactSearch,
    as_tensor,
    best_of_each,
    check_queries,
    check_search,
    exact_scores,
)
from utils.search.nearest.index_file import UnfitIndexError, read_index, write_index
from utils.search.nearest.inverted_file import InvertedFile

EXACT_BELOW = 50_000  # rows: below, all are scored in about 10 ms, and no index has to be built
WANTED = 0.95  # recall
RESULTS = 10  # of which recall is measured
STEPS = 4  # of building: score the sample, learn the lists, fill them, choose how to search
_MARGIN = 0.02  # of recall, aimed at beyond what is wanted: other queries may fare worse
_CANDIDATES = (10, 40, 160)  # for each result: the least that will do
_FEW = 20_000  # rows of a filter: up to these, scoring them all is as quick


@dataclass(frozen=True)
class Tuning:
    """How an index is searched, chosen when it is built, and how well that works."""

    probes: int  # lists looked into
    candidates: int  # for each result, scored exactly
    recall: float  # for sample queries that nothing was chosen by

    def __post_init__(self) -> None:
        counts = self.probes, self.candidates
        if not all(type(count) is int and count >= 1 for count in counts):
            raise ValueError(f"probes and candidates are {counts}, not whole numbers from 1")
        if not isinstance(self.recall, float) or not 0 <= self.recall <= 1:
            raise ValueError(f"the recall is {self.recall!r}, not a number from 0 to 1")


class ApproximateSearch:
    """Find nearly all of the best rows for a query in a fraction of the time: `build` or `load`.

    Parameters
    ----------
    vectors : ndarray, shape (N, D), float32
        Unit vectors; a memory-mapped file is read where it lies.
    lists : InvertedFile
        Of these vectors.
    tuning : Tuning

    Raises
    ------
    ValueError
        If the vectors are of another type or shape.

    """

    def __init__(self, vectors: NDArray[np.float32], lists: InvertedFile, tuning: Tuning) -> None:
        self.vectors = vectors
        self.tuning = tuning
        self._plain = np.asarray(vectors)  # a memmap's rows are slower to pick
        self._lists = lists
        self._exact = ExactSearch(vectors)

    @property
    def recall(self) -> float:
        """Share of the ten best rows that were found for sample queries, when it was built."""
        return self.tuning.recall

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        *,
        sample: NDArray[np.float32],
        seed: int,
        wanted: float = WANTED,
        step: Callable[[], object] = lambda: None,
    ) -> "ApproximateSearch":
        """Index vectors, and choose the least work that finds what is wanted.

        Half of the sample serves to choose by, the other to measure recall. Where the wanted recall
        can't be reached, all lists are searched, and `recall` says what that finds.

        Parameters
        ----------
        vectors : ndarray, shape (N, D), float32
            Unit vectors, at least one.
        sample : ndarray, shape (S, D), float32
            Queries of the kind that will come, at least two: texts lie elsewhere than sounds.
        seed : int
            The same seed and vectors make the same index.
        wanted : float
            Least share of the ten best rows to find, on average; more than 0, up to 1.
        step : callable
            Called after each of `STEPS` steps, which take about as long as each other.

        Returns
        -------
        ApproximateSearch

        Raises
        ------
        ValueError
            If an argument is not as described.
        InputError
            If a vector holds NaN or infinite numbers.

        """
        tensor = as_tensor(vectors)
        check_queries(vectors, sample)
        if not len(vectors) or len(sample) < 2 or not 0 < wanted <= 1:
            raise ValueError(
                f"an index needs at least one vector, two sample queries and a wanted recall of 0 "
                f"to 1, not {len(vectors)}, {len(sample)} and {wanted}"
            )
        # First, because this finds vectors that are not finite.
        best, _ = ExactSearch(vectors).search(sample, RESULTS)
        step()
        lists = InvertedFile.build(tensor, seed=seed, step=step)

        def recall(part: slice, probes: int, candidates: int) -> float:
            search = cls(vectors, lists, Tuning(probes, candidates, 0.0))
            return recall_of(search.search(sample[part], RESULTS)[0], best[part])

        choosing, measuring = slice(0, None, 2), slice(1, None, 2)
        aim = min(1.0, wanted + _MARGIN)
        for candidates in _CANDIDATES:
            if recall(choosing, lists.count, candidates) >= aim:
                break
        probes, too_few = lists.count, 0
        while probes - too_few > 1:
            middle = (probes + too_few) // 2
            if recall(choosing, middle, candidates) >= aim:
                probes = middle
            else:
                too_few = middle
        measured = recall(measuring, probes, candidates)
        step()
        return cls(vectors, lists, Tuning(probes, candidates, measured))

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        among: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find nearly all of the k best rows for each query, the best first, equal scores by row.

        Parameters and results are those of `ExactSearch.search`, and so are the scores; as many
        rows are returned. With a filter more lists are searched, so that about as many admissible
        rows are looked at as without one.

        Raises
        ------
        ValueError
            If an argument is not as described, or a query is not finite.
        InputError
            If a vector holds NaN or infinite numbers.

        """
        check_search(self.vectors, queries, k, among)
        available = len(self.vectors) if among is None else len(among)
        k = min(k, available)
        count = max(k, RESULTS) * self.tuning.candidates
        if count >= available or (among is not None and available <= _FEW):
            return self._exact.search(queries, max(k, 1), among=among)
        probes = min(self._lists.count, self.tuning.probes * len(self.vectors) // available)
        found = self._lists.candidates(queries, count, probes=probes, among=among)
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        enough = (found >= 0).sum(axis=1) >= k
        if enough.any():
            of, place = np.nonzero(found[enough] >= 0)
            hits = found[enough][of, place]
            exact = exact_scores(queries[enough], of, self._plain, hits)
            scores[enough], rows[enough] = best_of_each(of, exact, hits, k)
        if not enough.all():
            others = self._exact.search(queries[~enough], k, among=among)
            scores[~enough], rows[~enough] = others
        return scores, rows

    def save(self, path: str | Path) -> None:
        """Write the index, without the vectors, as safetensors.

        Raises
        ------
        InputError
            If the file cannot be written.

        """
        write_index(
            Path(path),
            self._lists.arrays(),
            vectors=as_tensor(self.vectors),
            tuning=asdict(self.tuning),
        )

    @classmethod
    def load(cls, path: str | Path, vectors: NDArray[np.float32]) -> "ApproximateSearch":
        """Read the index of these vectors from a file.

        Raises
        ------
        UnfitIndexError
            If the file is damaged, of another format, or of other vectors.
        InputError
            If the file cannot be read.
        ValueError
            If the vectors are of another type or shape.

        """
        tensor = as_tensor(vectors)
        path = Path(path)
        arrays, tuning = read_index(path, vectors=tensor)
        rows, dimension = vectors.shape
        try:
            lists = InvertedFile.from_arrays(arrays, rows=rows, dimension=dimension)
            return cls(vectors, lists, Tuning(**tuning))
        except (TypeError, ValueError) as error:
            raise UnfitIndexError(path, str(error)) from error


def nearest(
    vectors: NDArray[np.float32],
    *,
    path: str | Path,
    sample: NDArray[np.float32],
    seed: int = 0,
    wanted: float = WANTED,
    progress: Callable[[int], Any],
) -> ExactSearch | ApproximateSearch:
    """Choose how to search: exactly below `EXACT_BELOW` vectors, else by the index in a file.

    An index that is missing or does not fit the vectors is built, and kept in the file.

    Parameters
    ----------
    vectors : ndarray, shape (N, D), float32
        Unit vectors; a memory-mapped file is read where it lies.
    path : str or Path
        Of the index.
    sample, seed, wanted
        See `ApproximateSearch.build`.
    progress : callable
        Called with a number of steps if an index is to be built; returns a context manager whose
        ``update`` is called with 1 after each.

    Returns
    -------
    ExactSearch or ApproximateSearch

    Raises
    ------
    ValueError
        If an argument is not as described.
    InputError
        If a vector holds NaN or infinite numbers, or the file cannot be read or written.

    """
    if len(vectors) < EXACT_BELOW:
        return ExactSearch(vectors)
    if Path(path).exists():
        # One that does not fit is what a changed folder of sounds leaves behind.
        with contextlib.suppress(UnfitIndexError):
            return ApproximateSearch.load(path, vectors)
    with progress(STEPS) as bar:
        search = ApproximateSearch.build(
            vectors, sample=sample, seed=seed, wanted=wanted, step=partial(bar.update, 1)
        )
    search.save(path)
    return search


def recall_of(found: NDArray[np.float32], best: NDArray[np.float32]) -> float:
    """Compute the share of the k best rows that were found, from scores, (Q, k) each.

    By scores, because any of the rows that share the k-th best score will do.
    """
    return float((found >= best[:, -1:]).mean())
