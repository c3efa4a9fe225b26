"""Vectors made small and put into lists: which rows may be among the best for a query.

Vectors are projected to the few dimensions that hold nearly all of their energy, and kept there as
bytes, in lists around centroids (FAISS's inverted file with scalar quantisation). A query is
compared with the centroids, then with the rows in the lists of the nearest ones.

Shapes: N vectors, D dimension, d projected dimension, L lists, Q queries, M rows of a filter.
"""

import math
from collections.abc import Callable, Mapping

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.runtime import onednn

_ENERGY = 0.95  # share of it that the projection keeps
_DIMENSIONS = 16  # d is a multiple: what a processor's registers hold
_PER_LIST = 64  # vectors that a centroid is learnt from
_ROUNDS = 10  # of k-means
_CHUNK = 50_000  # vectors added at a time


class InvertedFile:
    """Lists of projected vectors; made by `build` or `from_arrays`.

    Parameters
    ----------
    projection : ndarray, shape (d, D), float32
    lists : faiss.IndexIVFScalarQuantizer
        Of projected vectors.

    """

    def __init__(
        self, projection: NDArray[np.float32], lists: faiss.IndexIVFScalarQuantizer
    ) -> None:
        self._projection = projection
        self._lists = lists

    @property
    def count(self) -> int:
        """L, the number of lists."""
        return self._lists.nlist

    @classmethod
    def build(cls, vectors: Tensor, *, seed: int, step: Callable[[], object]) -> "InvertedFile":
        """Learn projection and centroids from some of the vectors, and put all into lists.

        Parameters
        ----------
        vectors : Tensor, shape (N, D)
            Unit vectors, at least one.
        seed : int
            The same seed and vectors make the same lists.
        step : callable
            Called when the lists are learnt, and when they are filled.

        Returns
        -------
        InvertedFile

        """
        lists = round(math.sqrt(len(vectors)))
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(vectors), min(len(vectors), _PER_LIST * lists), replace=False)
        chosen.sort()  # read in the order of the file
        examples = vectors[torch.from_numpy(chosen)]
        projection = _principal(examples)
        index = _empty_lists(len(projection), lists)
        index.cp.seed = seed % 2**31
        index.cp.niter = _ROUNDS
        index.cp.min_points_per_centroid = 1  # a warning otherwise
        index.cp.max_points_per_centroid = _PER_LIST
        index.train(onednn.linear(examples, projection).numpy())
        step()
        for part in vectors.split(_CHUNK):
            index.add(onednn.linear(part, projection).numpy())
        step()
        return cls(projection.numpy(), index)

    def candidates(
        self,
        queries: NDArray[np.float32],
        count: int,
        *,
        probes: int,
        among: NDArray[np.integer] | None = None,
    ) -> NDArray[np.int64]:
        """Find rows that may be among the best for each query.

        Parameters
        ----------
        queries : ndarray, shape (Q, D)
        count : int
            Rows wanted for each.
        probes : int
            Lists to look into.
        among : ndarray, shape (M,), int, optional
            The rows that may be found.

        Returns
        -------
        ndarray, shape (Q, count), int64
            In no order to rely on; -1 where the lists held fewer.

        """
        settings = {"nprobe": probes}
        if among is not None:
            admitted = np.zeros(self._lists.ntotal, bool)
            admitted[among] = True
            settings["sel"] = faiss.IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
        # In one thread, as FAISS searches for one query: to wait for another takes longer.
        projected = np.einsum("qe,de->qd", queries, self._projection)
        parameters = faiss.SearchParametersIVF(**settings)
        return self._lists.search(projected, count, params=parameters)[1]

    def arrays(self) -> dict[str, NDArray]:
        """Copy what `from_arrays` needs."""
        lists = self._lists.invlists
        sizes = np.array([lists.list_size(i) for i in range(self.count)])
        filled = [(i, int(size)) for i, size in enumerate(sizes) if size]
        width = self._lists.code_size
        codes = [faiss.rev_swig_ptr(lists.get_codes(i), size * width) for i, size in filled]
        rows = [faiss.rev_swig_ptr(lists.get_ids(i), size) for i, size in filled]
        return {
            "projection": self._projection,
            "centroids": self._lists.quantizer.reconstruct_n(0, self.count),
            "ranges": faiss.vector_to_array(self._lists.sq.trained),
            "sizes": sizes,
            "rows": np.concatenate(rows),
            "codes": np.concatenate(codes).reshape(-1, width),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray], *, rows: int, dimension: int
    ) -> "InvertedFile":
        """Put the lists together again.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            As `arrays` gives them; projection (d, D), centroids (L, d), ranges (2·d,), sizes (L,),
            rows (N,) and codes (N, d), those of one list after another.
        rows, dimension : int
            N and D.

        Raises
        ------
        ValueError
            If they do not fit together: FAISS itself would not notice.

        """
        wanted = {"projection", "centroids", "ranges", "sizes", "rows", "codes"}
        if set(arrays) != wanted:
            raise ValueError(f"it holds {sorted(arrays)}, not {sorted(wanted)}")
        d, lists = len(arrays["projection"]), len(arrays["sizes"])
        for name, kind, shape in (
            ("projection", np.float32, (d, dimension)),
            ("centroids", np.float32, (lists, d)),
            ("ranges", np.float32, (2 * d,)),
            ("sizes", np.int64, (lists,)),
            ("rows", np.int64, (rows,)),
            ("codes", np.uint8, (rows, d)),
        ):
            array = arrays[name]
            if array.dtype != kind or array.shape != shape:
                raise ValueError(
                    f"{name} are {array.dtype} of shape {array.shape}, not {np.dtype(kind)} of "
                    f"{shape}"
                )
        sizes, ids = arrays["sizes"], arrays["rows"]
        if not d or (sizes < 0).any() or sizes.sum() != rows:
            raise ValueError(f"the sizes of its lists do not add up to {rows} rows")
        if not np.array_equal(np.sort(ids), np.arange(rows)):
            raise ValueError("its lists do not hold every row once")
        index = _empty_lists(d, lists)
        index.quantizer.add(arrays["centroids"])
        faiss.copy_array_to_vector(arrays["ranges"], index.sq.trained)
        index.is_trained = True
        ends = sizes.cumsum()
        for i, (first, end) in enumerate(zip(ends - sizes, ends, strict=True)):
            codes = np.ascontiguousarray(arrays["codes"][first:end])
            index.invlists.add_entries(
                i, int(end - first), faiss.swig_ptr(ids[first:end]), faiss.swig_ptr(codes)
            )
        index.ntotal = rows
        return cls(arrays["projection"], index)


def _principal(examples: Tensor) -> Tensor:
    """Find the directions that hold nearly all energy: (n, D) ─► (d, D), orthonormal.

    Of the vectors as they are, not less their mean: dot products with queries must survive.
    """
    energy, directions = torch.linalg.eigh((examples.T @ examples).double())
    energy, directions = energy.flip(0).cumsum(0), directions.flip(1)
    enough = int((energy < _ENERGY * energy[-1]).sum()) + 1
    kept = min(math.ceil(enough / _DIMENSIONS) * _DIMENSIONS, examples.shape[1])
    return directions[:, :kept].T.float().contiguous()


def _empty_lists(dimension: int, lists: int) -> faiss.IndexIVFScalarQuantizer:
    return faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimension),
        dimension,
        lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
