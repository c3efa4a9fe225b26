"""HDF5 files of others: a dataset may be in another file, or declare more than the memory holds."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from utils.runtime.errors import out_of_memory, unreadable

_COMPRESSION = 10  # a dataset may be as many times larger than the file; it seldom is twice
_SMALL = 2**20  # bytes that are always allowed


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading, also where the file system does not support locks.

    Raises
    ------
    UnreadableError
        If the system does not let us read it, or another program has it open for writing.
    ValueError
        If it is damaged or not HDF5, or if the block raises one of the errors of such content.

    """
    try:
        with _opened(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno:  # of the system, not of the content
            raise unreadable(path, error) from error
        raise ValueError(str(error)) from error


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno == errno.EAGAIN or "unable to lock file" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


class Contents:
    """The datasets of an open file that are really in it."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def dataset(self, name: str) -> h5py.Dataset:
        """Take a dataset, without reading it.

        Raises
        ------
        ValueError
            If it is missing, or in another file.

        """
        try:
            link = self._file.id.links.get_info(name.encode())  # `in` would follow it
        except (KeyError, RuntimeError):
            raise ValueError(f"{name!r} is missing") from None
        if link.type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name!r} is a link, which could lead to another file")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{name!r} is a {type(dataset).__name__}, and must be a dataset")
        creation = dataset.id.get_create_plist()
        if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
            raise ValueError(f"{name!r} takes its values from another file")
        return dataset

    def numbers(self, name: str, *, dimensions: int | None = None) -> NDArray[np.float32]:
        """Read an array of numbers as float32.

        Raises
        ------
        ValueError
            If it is missing, in another file, much larger than the file, not of numbers, or of
            another shape.

        """
        dataset = self.dataset(name)
        if dataset.dtype.kind not in "fiu" or dataset.shape is None:
            raise ValueError(f"{name!r} holds {dataset.dtype}, and must hold numbers")
        if dimensions not in (None, dataset.ndim):
            raise ValueError(
                f"{name!r} has shape {dataset.shape}, and must have {dimensions} dimensions"
            )
        self._check_size(name, dataset)
        return np.asarray(dataset[()], dtype=np.float32)

    def texts(self, name: str) -> list[str]:
        """Read a column of UTF-8 texts.

        Raises
        ------
        ValueError
            If it is missing, in another file, much larger than the file, or not a column of texts.

        """
        dataset = self.dataset(name)
        if h5py.check_string_dtype(dataset.dtype) is None or len(dataset.shape or ()) != 1:
            raise ValueError(f"{name!r} is not a column of texts")
        self._check_size(name, dataset)
        return dataset.asstr()[()].tolist()

    def _check_size(self, name: str, dataset: h5py.Dataset) -> None:
        stored = min(dataset.id.get_storage_size(), self._file.id.get_filesize())
        if dataset.nbytes > max(_SMALL, _COMPRESSION * stored):
            raise ValueError(
                f"{name!r} declares {dataset.shape} values of {dataset.dtype}, much more than the "
                "file holds"
            )


def read_attributes(of: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Read attributes as texts, plain numbers, and lists of these."""
    return {name: np.asarray(value).tolist() for name, value in of.attrs.items()}
