"""Vector files: HDF5 with one row per clip, caption or tag, and the parameters that made them.

Our layout: ``vectors`` (N, D) float32, ``ids`` (N,) utf-8, further utf-8 columns (``texts`` of
captions, ``sources`` of clips), and attributes. The layout of the original system, one dataset
per ``str(fid)`` or ``str(cid)`` and no attributes, is read too.

Shapes: N rows, D numbers each.
"""

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from utils.files.hdf5 import Contents, open_hdf5, read_attributes
from utils.files.writing import atomic_write
from utils.runtime import environment
from utils.runtime.errors import InputError

_VOLATILE = ("created", "versions")  # attributes that do not make a file another one
_FAILED, _NOTED = ("failed_keys", "failed_reasons"), ("noted_keys", "notes")  # datasets
_SHOWN = 5

# What vector files say they hold, so that one cannot be taken for another.
LOGITS = "AudioSet logits of clips, mean over windows"
SCENE = "PaSST scene embeddings of clips, mean over windows"
CAPTIONS = "sentence vectors of captions"


def tags_of(audioset_info: str) -> str:
    """Name what a file of tag vectors holds."""
    return f"sentence vectors of AudioSet tags ({audioset_info})"


@dataclass(frozen=True)
class VectorFile:
    """The content of a vector file.

    An id is ``split/file name`` of a clip, ``split/cid`` of a caption, or the index of a tag; in
    the original layout the bare ``fid``, ``cid`` or index. That layout has no attributes.
    """

    path: Path
    ids: list[str]  # N
    vectors: NDArray[np.float32]  # (N, D)
    columns: dict[str, list[str]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)  # what, model, precision, ...
    original_layout: bool = False
    failed: dict[str, str] = field(default_factory=dict)  # `row_keys` without a row, and why
    notes: dict[str, str] = field(default_factory=dict)  # on rows, by `row_keys`

    @property
    def keys(self) -> list[str]:
        """Id of each row, with what it was computed from: see `row_keys`."""
        return row_keys(self.ids, self.columns)

    @property
    def failed_ids(self) -> dict[str, str]:
        """The ids of rows that could not be computed, and why."""
        return {json.loads(key)[0]: reason for key, reason in self.failed.items()}

    @property
    def fixed_attributes(self) -> dict[str, Any]:
        """How the vectors were made, without the date and versions."""
        return {name: value for name, value in self.attributes.items() if name not in _VOLATILE}


def row_keys(ids: Sequence[str], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Put the id of each row and what it was computed from into one text."""
    values = [columns[name] for name in sorted(columns)]
    return [json.dumps(key) for key in zip(ids, *values, strict=True)]


def write_vectors(
    path: Path,
    ids: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    attributes: Mapping[str, str | int | float],
    columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
    failed: Mapping[str, str] = MappingProxyType({}),
    notes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a vector file; the older file stays until the new one is complete.

    Parameters
    ----------
    ids : sequence of N distinct str
    vectors : ndarray, shape (N, D)
    attributes : mapping
        How the vectors were made. The date and the library versions are added.
    columns : mapping of str to sequence of N str
        Texts or sources of the rows.
    failed : mapping of str to str
        `row_keys` of further rows that could not be computed, and why.
    notes : mapping of str to str
        `row_keys` of rows, and remarks on them.

    Raises
    ------
    ValueError
        If lengths differ, an id is repeated, or a number is not finite.

    """
    if len(set(ids)) != len(ids) or any(len(c) != len(ids) for c in (vectors, *columns.values())):
        raise ValueError(f"{path}: ids must be distinct, and as many as vectors and column entries")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{path}: vectors hold NaN or infinite numbers")
    utf8 = h5py.string_dtype("utf-8")
    with atomic_write(path, "w+b") as stream, h5py.File(stream, "w") as file:
        file.create_dataset("vectors", data=np.asarray(vectors, dtype=np.float32))
        for name, values in {"ids": ids, **columns}.items():
            file.create_dataset(name, data=list(values), shape=(len(ids),), dtype=utf8)
        for names, texts in ((_FAILED, failed), (_NOTED, notes)):
            for name, values in zip(names, (texts, texts.values()), strict=True):
                if texts:
                    file.create_dataset(name, data=list(values), dtype=utf8)
        file.attrs.update(attributes)
        file.attrs["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        file.attrs["versions"] = json.dumps(environment.packages())


def read_vectors(path: Path) -> VectorFile:
    """Read a vector file of either layout.

    Raises
    ------
    InputError
        If the file is missing, damaged, or in neither layout.
    UnreadableError
        If the system does not let us read it, or another program has it open for writing.

    """
    if not path.is_file():
        raise InputError(f"no vector file {path}.")
    try:
        with open_hdf5(path) as file:
            if "vectors" in list(file):  # a link to another file is not followed
                return _read_ours(path, file)
            return _read_original(path, file)
    except ValueError as error:
        raise InputError(
            f"cannot read the vector file {path}: {error}. It is damaged, or not a vector file: "
            "move it away."
        ) from None


def read_reusable(
    path: Path, columns: Collection[str], attributes: Mapping[str, Any]
) -> VectorFile | None:
    """Read an existing vector file before it is computed again.

    Returns None if there is no file, or if it was made in another way or from other columns.

    Raises
    ------
    InputError
        If this program did not write the file: it would be lost.

    """
    if not path.exists():
        return None
    file = read_vectors(path)
    if file.original_layout:
        raise InputError(
            f"{path} is in the original system's layout and would be overwritten. Train with it as "
            "it is, move it away, or name another file in train_data."
        )
    made_otherwise = file.fixed_attributes != dict(attributes)
    return None if made_otherwise or file.columns.keys() != set(columns) else file


def select(
    file: VectorFile,
    ids: Sequence[str],
    *,
    original_ids: Sequence[str],
    made_from: tuple[str, Sequence[str]] | None = None,
) -> NDArray[np.float32]:
    """Take rows by id, in any order. The result may be a view: do not write to it.

    Parameters
    ----------
    ids, original_ids : sequence of M str
        The wanted rows, as our layout and as the original layout names them.
    made_from : (str, sequence of M str), optional
        A column and its expected values: the texts or sources that the rows were computed from.
        A file without this column is accepted.

    Returns
    -------
    ndarray, shape (M, D), float32

    Raises
    ------
    InputError
        If rows are missing, or were computed from something else.

    """
    wanted = original_ids if file.original_layout else ids
    row_of = {name: row for row, name in enumerate(file.ids)}
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise InputError(
            f"{file.path} lacks {len(missing)} of {len(wanted)} vectors ({_listing(missing)}): it "
            "was made from other files."
        )
    rows = [row_of[name] for name in wanted]
    column, expected = made_from or ("", ())
    if stored := file.columns.get(column):
        stale = [wanted[i] for i, row in enumerate(rows) if stored[row] != expected[i]]
        if stale:
            raise InputError(
                f"{file.path} was made from other {column} for {len(stale)} of {len(wanted)} rows "
                f"({_listing(stale)})."
            )
    if rows and rows == list(range(rows[0], rows[0] + len(rows))):
        return file.vectors[rows[0] : rows[0] + len(rows)]  # a view: a split is large
    return file.vectors[rows]


def require(
    file: VectorFile,
    expected: Mapping[str, Any],
    *,
    unrecorded: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Refuse a file that was made with other parameters than those in the settings.

    Files in the original layout record no parameters, and are accepted. `unrecorded` holds the
    parameters of files that do not record them.

    Raises
    ------
    InputError
        Listing each differing parameter.

    """
    if file.original_layout:
        return
    found = {**unrecorded, **file.attributes}
    differing = [
        f"{name} is {found.get(name)!r}, the settings ask for {value!r}"
        for name, value in expected.items()
        if found.get(name) != value
    ]
    if differing:
        raise InputError(f"{file.path} does not fit the settings: {'; '.join(differing)}.")


def _read_ours(path: Path, file: h5py.File) -> VectorFile:
    contents = Contents(file)
    vectors = contents.numbers("vectors", dimensions=2)
    columns = {name: contents.texts(name) for name in ("ids", *file) if name != "vectors"}
    failed, notes = (
        dict(zip(*(columns.pop(name, []) for name in names), strict=True))
        for names in (_FAILED, _NOTED)
    )
    ids = columns.pop("ids")
    if any(len(column) != len(vectors) for column in (ids, *columns.values())):
        raise ValueError(f"vectors have shape {vectors.shape}, but there are {len(ids)} ids")
    if len(set(ids)) < len(ids):
        raise ValueError("an id occurs twice")
    attributes = read_attributes(file)
    return VectorFile(path, ids, _finite(vectors), columns, attributes, failed=failed, notes=notes)


def _read_original(path: Path, file: h5py.File) -> VectorFile:
    if not len(file) or not all(name.isascii() and name.isdigit() for name in file):
        raise ValueError("it holds neither `vectors` and `ids` nor one dataset per number")
    ids = sorted(file, key=int)
    contents = Contents(file)
    vectors = np.stack([contents.numbers(name).reshape(-1) for name in ids])
    return VectorFile(path, ids, _finite(vectors), original_layout=True)


def _finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    # Sums need no second array of that size, and overflow only for extreme vectors.
    if not np.isfinite(vectors.sum(axis=1)).all():
        raise ValueError("vectors hold NaN or infinite numbers")
    return vectors


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (", ..." if len(names) > _SHOWN else "")
