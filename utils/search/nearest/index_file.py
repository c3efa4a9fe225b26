"""The file of a search index: arrays, and whose vectors they are of; checked before they are used.

safetensors, since it can hold numbers alone. A file from somewhere else may give wrong answers, but
can do no harm.

Shapes: N vectors, D dimension.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.files.writing import atomic_write
from utils.runtime.errors import InputError

_FORMAT = 1
_ENTRY = "index"  # of the metadata: SHA-256, space, JSON


class UnfitIndexError(InputError):
    """An index file that is damaged, of another format, or of other vectors; build it again."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot search with the index {path}: {reason}. Build it again.")


def write_index(
    path: Path, arrays: Mapping[str, NDArray], *, vectors: Tensor, tuning: Mapping[str, float]
) -> None:
    """Write an index and what it needs to be trusted later.

    Parameters
    ----------
    path : Path
    arrays : mapping of str to ndarray
    vectors : Tensor, shape (N, D), float32
        Of which the index is; their digest is kept.
    tuning : mapping of str to number

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    about = json.dumps({**_source(vectors), "tuning": dict(tuning)})
    # One entry, because safetensors writes several in an order of chance.
    metadata = {_ENTRY: f"{_sha256(about, arrays)} {about}"}
    with atomic_write(path) as file:
        file.write(safetensors.numpy.save(dict(arrays), metadata))


def read_index(path: Path, *, vectors: Tensor) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read the index of these vectors.

    Parameters
    ----------
    path : Path
    vectors : Tensor, shape (N, D), float32

    Returns
    -------
    arrays : dict of str to ndarray
        Of shapes that are still to be checked.
    tuning : dict

    Raises
    ------
    UnfitIndexError
        If the file is damaged, of another format, or of other vectors.
    InputError
        If the file cannot be read.

    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:
        raise UnfitIndexError(path, f"it is damaged, or no index ({error})") from error
    sha256, _, text = metadata.get(_ENTRY, "").partition(" ")
    if sha256 != _sha256(text, arrays):
        raise UnfitIndexError(path, "it is damaged: its SHA-256 is not the one kept with it")
    try:
        about = json.loads(text)
        tuning = dict(about["tuning"])
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise UnfitIndexError(path, f"it does not say how to search with it ({error})") from error
    for what, wanted in _source(vectors).items():
        if about.get(what) != wanted:
            raise UnfitIndexError(path, f"its {what} is {about.get(what)!r}, not {wanted!r}")
    return arrays, tuning


def _source(vectors: Tensor) -> dict[str, Any]:
    count, dimension = vectors.shape
    return {
        "format": _FORMAT,
        "number of vectors": count,
        "dimension": dimension,
        "digest of the vectors": digest(vectors),
    }


def digest(vectors: Tensor) -> str:
    """Tell vectors from others, in one pass as quick as memory: rows that were computed anew show.

    It guards against accidents, and does not see all that can be done on purpose, such as two rows
    of a pair that change places.
    """
    count, dimension = vectors.shape
    even = vectors[: count // 2 * 2].view(-1, 2 * dimension)  # rows of whole 8-byte words
    content = hashlib.sha256(f"{count} x {dimension}".encode())
    content.update(even.view(torch.int64).sum(dim=1).numpy())
    content.update(vectors[2 * len(even) :].numpy())
    return content.hexdigest()


def _sha256(about: str, arrays: Mapping[str, NDArray]) -> str:
    content = hashlib.sha256(about.encode())
    for name, array in sorted(arrays.items()):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array))
    return content.hexdigest()
