"""Nearest-neighbour search among up to millions of vectors: approximate where exact is slow.

FAISS proposes candidates: it projects vectors to the few dimensions that hold nearly all of their
energy, and keeps them there as bytes, in lists around centroids. A query is compared with the
centroids, then with the rows in the lists of the nearest ones. The candidates are scored from the
vectors themselves, as in `ExactSearch`: a row may be missed, but scores are exact.

Shapes: N vectors, D dimension, d projected dimension, L lists, S sample, Q queries, M rows of a
filter.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.files.writing import atomic_write
from utils.runtime.errors import unreadable
from utils.search.nearest.exact import (
    ExactSearch,
    as_tensor,
    best_of_each,
    check_search,
    exact_scores,
)

EXACT_BELOW = 50_000  # rows: below, all are scored in about 10 ms, and no index has to be built
WANTED = 0.95  # recall
RESULTS = 10  # of which recall is measured
STEPS = 4  # of building: score the sample, learn the lists, fill them, choose how to search
_MARGIN = 0.02  # of recall, aimed at beyond what is wanted: other queries may have less
_CANDIDATES = (10, 40, 160)  # for each result: the first number that suffices is taken
_FEW = 20_000  # rows of a filter: up to these, scoring them all is as fast
_ENERGY = 0.95  # share of it that the projection keeps
_DIMENSIONS = 16  # d is a multiple of what a processor's registers hold
_PER_LIST = 64  # vectors that a centroid is learnt from
_ROUNDS = 10  # of k-means
_CHUNK = 50_000  # vectors added at a time
_OUTGROWN = 1.5  # times the vectors that an index was built from: then it is built again
_UNSAVED = 0.01  # of the vectors: so many may be added each time an index is loaded


@dataclass(frozen=True)
class Tuning:
    """How an index is searched, chosen when it is built, and how well that works."""

    built_from: int  # vectors
    probes: int  # lists that are searched
    candidates: int  # for each result, scored exactly
    recall: float  # share of the ten best that it finds for sample queries not used to choose


class ApproximateSearch:
    """Find nearly all of the best rows for a query in a fraction of the time.

    Made by `build` or `load`, from unit vectors of shape (N, D), which may be a memory-mapped file,
    and their index: a projection, then an inverted file with scalar quantisation.
    """

    def __init__(
        self, vectors: NDArray[np.float32], index: faiss.IndexPreTransform, tuning: Tuning
    ) -> None:
        self.vectors = vectors
        self.tuning = tuning
        self._plain = np.asarray(vectors)  # picking rows of a memmap is slower
        self._exact = ExactSearch(vectors)
        self._index = index
        self._lists = faiss.downcast_index(index.index)
        matrix = faiss.downcast_VectorTransform(index.chain.at(0))
        self._projection = faiss.vector_to_array(matrix.A).reshape(matrix.d_out, matrix.d_in)

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
        """Index vectors, and choose the least work that reaches the wanted recall.

        Half of the sample serves to choose, the other half to measure recall. If the wanted recall
        cannot be reached, all lists are searched, and `tuning.recall` is what that finds.

        Parameters
        ----------
        vectors : ndarray, shape (N, D), float32
            Unit vectors.
        sample : ndarray, shape (S, D), float32
            Queries of the expected kind, at least two: texts are not distributed as sounds.
        seed : int
            The same seed and vectors make the same index.
        wanted : float
            Least share of the ten best rows to find, on average.
        step : callable
            Called after each of `STEPS` steps, which take about equally long.

        Raises
        ------
        InputError
            If a vector holds NaN or infinite numbers.

        """
        # First, because this finds vectors that are not finite.
        best, _ = ExactSearch(vectors).search(sample, RESULTS)
        step()
        tensor = as_tensor(vectors)
        index = _learn_lists(tensor, seed=seed)
        step()
        for part in tensor.split(_CHUNK):
            index.add(part.numpy())
        step()

        def recall(part: slice, probes: int, candidates: int) -> float:
            search = cls(vectors, index, Tuning(len(vectors), probes, candidates, 0.0))
            return recall_of(search.search(sample[part], RESULTS)[0], best[part])

        choosing, measuring = slice(0, None, 2), slice(1, None, 2)
        aim = min(1.0, wanted + _MARGIN)
        probes, too_few = faiss.downcast_index(index.index).nlist, 0
        for candidates in _CANDIDATES:
            if recall(choosing, probes, candidates) >= aim:
                break
        while probes - too_few > 1:
            middle = (probes + too_few) // 2
            if recall(choosing, middle, candidates) >= aim:
                probes = middle
            else:
                too_few = middle
        measured = recall(measuring, probes, candidates)
        step()
        return cls(vectors, index, Tuning(len(vectors), probes, candidates, measured))

    def search(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find nearly all of the k best rows for each query; see `ExactSearch.search`.

        As many rows are returned, with the same scores. With a filter more lists are searched, so
        that about as many admissible rows are considered as without one.
        """
        check_search(self.vectors, queries, k)
        available = len(self.vectors) if among is None else len(among)
        count = max(min(k, available), RESULTS) * self.tuning.candidates
        if count >= available or (among is not None and available <= _FEW):
            return self._exact.search(queries, k, among=among)
        probes = min(self._lists.nlist, self.tuning.probes * len(self.vectors) // available)
        selector = None
        if among is not None:
            admitted = np.zeros(len(self.vectors), bool)
            admitted[among] = True
            selector = faiss.IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
        parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        # In one thread, as FAISS searches for one query: to wait for another takes longer.
        projected = np.einsum("qe,de->qd", queries, self._projection)
        found = self._lists.search(projected, count, params=parameters)[1]  # -1: the lists end
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        enough = (found >= 0).sum(axis=1) >= k
        if enough.any():
            of, place = np.nonzero(found[enough] >= 0)
            hits = found[enough][of, place]
            exact = exact_scores(queries[enough], of, self._plain, hits)
            scores[enough], rows[enough] = best_of_each(of, exact, hits, k)
        if not enough.all():
            scores[~enough], rows[~enough] = self._exact.search(queries[~enough], k, among=among)
        return scores, rows

    def save(self, path: str | Path) -> None:
        """Write the index without the vectors: SHA-256 of the rest, a line of JSON, FAISS's bytes.

        Raises
        ------
        InputError
            If the file cannot be written.

        """
        about = {
            **_writer(),
            "vectors": list(self.vectors.shape),
            "tuning": asdict(self.tuning),
        }
        header = json.dumps(about).encode() + b"\n"
        content = faiss.serialize_index(self._index)
        with atomic_write(Path(path)) as file:
            file.writelines([_sha256(header, content), header, content])

    @classmethod
    def load(cls, path: str | Path, vectors: NDArray[np.float32]) -> "ApproximateSearch | None":
        """Read the index of these vectors, and add those that it lacks.

        Vectors are recognised by their dimension alone: in the folder of an index, rows are only
        ever added. The result is None if the file is damaged, or of many fewer or other vectors.

        Raises
        ------
        InputError
            If the file cannot be read.

        """
        try:
            with Path(path).open("rb") as file:
                digest, header = file.readline(), file.readline()
                content = np.frombuffer(file.read(), np.uint8)
        except OSError as error:
            raise unreadable(path, error) from error
        # FAISS does not check what it reads: it gets only what `save` wrote.
        if digest != _sha256(header, content):
            return None
        about = json.loads(header)
        known, of = about.pop("vectors", [0, 0])
        tuning = about.pop("tuning")
        if about != _writer() or of != vectors.shape[1] or known > len(vectors):
            return None
        tuning = Tuning(**tuning)
        if len(vectors) > _OUTGROWN * tuning.built_from:
            return None
        index = faiss.deserialize_index(content)
        for part in as_tensor(vectors[known:]).split(_CHUNK):
            if not part.isfinite().all():
                return None  # building it says which
            index.add(part.numpy())
        search = cls(vectors, index, tuning)
        if len(vectors) - known > _UNSAVED * len(vectors):
            search.save(path)
        return search


def nearest(
    vectors: NDArray[np.float32],
    *,
    path: str | Path,
    sample: Callable[[], NDArray[np.float32]],
    progress: Callable[[int], Any],
) -> ExactSearch | ApproximateSearch:
    """Choose how to search: exactly below `EXACT_BELOW` vectors, else by the index in a file.

    An index that is missing, damaged or of many fewer vectors is built, and kept in the file.

    Parameters
    ----------
    vectors : ndarray, shape (N, D), float32
        Unit vectors; a memory-mapped file is read in place.
    path : str or Path
        Of the index. Its folder belongs to these vectors, to which rows may be added.
    sample : callable
        Returns the sample for `ApproximateSearch.build`, if an index has to be built.
    progress : callable
        Called with a number of steps if an index has to be built; returns a context manager whose
        ``update`` is called with 1 after each.

    Raises
    ------
    InputError
        If a vector holds NaN or infinite numbers, or the file cannot be read or written.

    """
    if len(vectors) < EXACT_BELOW:
        return ExactSearch(vectors)
    search = ApproximateSearch.load(path, vectors) if Path(path).exists() else None
    if search is None:
        with progress(STEPS) as bar:
            search = ApproximateSearch.build(
                vectors, sample=sample(), seed=0, step=partial(bar.update, 1)
            )
        search.save(path)
    return search


def recall_of(found: NDArray[np.float32], best: NDArray[np.float32]) -> float:
    """Compute the share of the k best rows that were found, from scores, (Q, k) each.

    By scores, because any of the rows that share the k-th best score will do.
    """
    return float((found >= best[:, -1:]).mean())


def _learn_lists(vectors: Tensor, *, seed: int) -> faiss.IndexPreTransform:
    """Learn projection and centroids from some of the vectors; the lists are still empty."""
    lists = round(math.sqrt(len(vectors)))
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(vectors), min(len(vectors), _PER_LIST * lists), replace=False)
    chosen.sort()  # read in the order of the file
    examples = vectors[torch.from_numpy(chosen)]
    directions = _principal(examples)
    projection = faiss.LinearTransform(directions.shape[1], len(directions), False)
    faiss.copy_array_to_vector(directions.numpy().ravel(), projection.A)
    projection.is_trained = True
    inverted = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(len(directions)),
        len(directions),
        lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    inverted.cp.seed = seed % 2**31
    inverted.cp.niter = _ROUNDS
    inverted.cp.min_points_per_centroid = 1  # a warning otherwise
    inverted.cp.max_points_per_centroid = _PER_LIST
    index = faiss.IndexPreTransform(projection, inverted)
    index.train(examples.numpy())
    return index


def _principal(examples: Tensor) -> Tensor:
    """Find the directions that hold nearly all energy: (n, D) ─► (d, D), orthonormal.

    The mean is not subtracted, because dot products with queries must be preserved.
    """
    energy, directions = torch.linalg.eigh((examples.T @ examples).double())
    energy, directions = energy.flip(0).cumsum(0), directions.flip(1)
    enough = int((energy < _ENERGY * energy[-1]).sum()) + 1
    kept = min(math.ceil(enough / _DIMENSIONS) * _DIMENSIONS, examples.shape[1])
    return directions[:, :kept].T.float().contiguous()


def _writer() -> dict[str, Any]:
    """Return what an index file must have been written by."""
    return {"format": 3, "faiss": faiss.__version__}


def _sha256(header: bytes, content: NDArray[np.uint8]) -> bytes:
    digest = hashlib.sha256(header)
    digest.update(content)
    return digest.hexdigest().encode() + b"\n"
