"""HDF5 read without trusting it: what a file declares is checked before it is read.

A dataset may be a link to another file, be stored in another file, or declare more rows than there
is memory, and store none of them.
"""

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_COMPRESSION = 10  # times that vectors may be larger than the file; seldom more than twice
_SMALL = 2**20  # bytes that are always allowed
_TEXTS_AT_ONCE = 64  # all of which may refer to one long text of the file


class Contents:
    """The datasets and attributes of an open file, as far as they lie in it.

    What is read, all together, must not be much larger than the file.

    Parameters
    ----------
    file : h5py.File

    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._size = file.id.get_filesize()
        self._left = _COMPRESSION * self._size + _SMALL

    def dataset(self, name: str) -> h5py.Dataset:
        """Take a dataset; nothing of it is read.

        Raises
        ------
        ValueError
            If there is none, or it is in another file.

        """
        try:
            link = self._file.id.links.get_info(name.encode())  # `in` would follow it
        except (KeyError, RuntimeError):
            raise ValueError(f"it holds no {name!r}") from None
        if link.type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name!r} is a link, which may lead out of the file")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{name!r} is a {type(dataset).__name__}, and must be a dataset")
        creation = dataset.id.get_create_plist()
        if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
            raise ValueError(f"{name!r} takes its numbers from another file")
        return dataset

    def numbers(self, name: str, *, dimensions: int | None = None) -> NDArray[np.float32]:
        """Read an array of numbers as float32.

        Raises
        ------
        ValueError
            If it is no such array, or much larger than the file.

        """
        dataset = self.dataset(name)
        kind = dataset.dtype
        if kind.kind not in "fiu" or dataset.shape is None:
            raise ValueError(f"{name!r} holds {kind}, and must hold numbers")
        if dimensions not in (None, dataset.ndim):
            raise ValueError(
                f"{name!r} has shape {dataset.shape}, and must have {dimensions} dimensions"
            )
        self._take(name, dataset)
        return np.asarray(dataset[()], dtype=np.float32)

    def texts(self, name: str) -> list[str]:
        """Read a column of utf-8 texts.

        Raises
        ------
        ValueError
            If it is no such column, or much larger than the file.

        """
        dataset = self.dataset(name)
        if h5py.check_string_dtype(dataset.dtype) is None or len(dataset.shape or ()) != 1:
            raise ValueError(f"{name!r} is no column of texts")
        self._take(name, dataset)
        texts: list[str] = []
        column = dataset.asstr()
        for start in range(0, len(dataset), _TEXTS_AT_ONCE):
            some = column[start : start + _TEXTS_AT_ONCE].tolist()
            self._left -= sum(map(len, some))
            if self._left < 0:
                raise ValueError(f"the texts of {name!r} are much longer than the file")
            texts += some
        return texts

    def _take(self, name: str, dataset: h5py.Dataset) -> None:
        """Count what is about to be read, by what is declared and by what is stored."""
        declared = dataset.nbytes
        self._left -= declared
        if self._left < 0 or (
            declared > _SMALL
            and declared > _COMPRESSION * min(dataset.id.get_storage_size(), self._size)
        ):
            raise ValueError(
                f"{name!r} declares {dataset.shape} values of {dataset.dtype}, much more than the "
                "file holds"
            )


def read_attributes(of: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Read attributes, each a text or a number.

    Raises
    ------
    ValueError
        If one is something else.

    """
    found: dict[str, Any] = {}
    for name in of.attrs:
        declared = of.attrs.get_id(name)
        text = h5py.check_string_dtype(declared.dtype) is not None
        if declared.shape != () or not (text or declared.dtype.kind in "fiub"):
            raise ValueError(f"its attribute {name!r} is neither a text nor a number")
        value = of.attrs[name]
        found[name] = value.item() if isinstance(value, np.generic) else value
    return found
