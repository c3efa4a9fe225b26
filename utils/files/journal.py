"""Rows of long work, kept as they are computed, so that it can be stopped at any moment.

A journal is a folder beside the file to be written. Rows are appended in two steps, vectors before
keys, and only rows that are in both files count. A kill at any moment loses at most the batch in
flight.
"""

import contextlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files.locks import FolderLock, as_input_error
from utils.files.raw_rows import map_rows

_ROWS, _KEYS, _FAILED, _NOTES = "rows.f32", "keys.jsonl", "failed.jsonl", "notes.jsonl"
_ORIGIN, _GENERATION = "origin.json", "generation"


class Journal(FolderLock):
    """Append-only rows of `width` float32 numbers, each under a text key.

    `failed` says by key why rows cannot be computed, and `notes` has remarks on rows.
    A journal is removed after its rows have been written to their final file.

    Parameters
    ----------
    path : Path
        Folder of the journal; made if missing.
    origin : dict
        What the rows are computed from and how, for JSON. A journal of another origin or width is
        emptied.
    width : int
        Numbers per row.

    Raises
    ------
    InputError
        If another process has this journal open, or it cannot be written.

    """

    def __init__(self, path: Path, *, origin: dict[str, Any], width: int) -> None:
        super().__init__(path)
        with as_input_error(path):
            if _content(path / _ORIGIN) != _described(origin, width):
                for name in (_ORIGIN, _ROWS, _KEYS, _FAILED, _NOTES):
                    (path / name).unlink(missing_ok=True)
                self._renew()
                (path / _ORIGIN).write_bytes(_described(origin, width))
            self._width = width
            self._cut_incomplete_rows()
            self.failed, self.notes = _remarks(path / _FAILED), _remarks(path / _NOTES)

    @property
    def rows(self) -> dict[str, NDArray[np.float32]]:
        """The rows by key, mapped from the disk: there may be more than fit into the memory."""
        with as_input_error(self.path):
            return dict(zip(*read_rows(self.path, self._width), strict=True))

    def append(self, keys: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows, shape (len(keys), width); they are on disk when this returns."""
        if not keys:
            return
        with as_input_error(self.path):
            _append(self.path / _ROWS, np.asarray(rows, dtype="<f4").tobytes())
            _append(self.path / _KEYS, "".join(json.dumps(key) + "\n" for key in keys).encode())

    def fail(self, keys: Sequence[str], reason: str) -> None:
        """Note why rows cannot be computed; it is on disk when this returns."""
        self._remark(_FAILED, self.failed, keys, reason)

    def note(self, keys: Sequence[str], text: str) -> None:
        """Remark on rows before they are appended; it is on disk when this returns."""
        self._remark(_NOTES, self.notes, keys, text)

    def _remark(self, name: str, held: dict[str, str], keys: Sequence[str], text: str) -> None:
        if not keys:
            return
        lines = "".join(json.dumps([key, text]) + "\n" for key in keys)
        with as_input_error(self.path):
            _append(self.path / name, lines.encode())
        held.update(dict.fromkeys(keys, text))

    def _cut_incomplete_rows(self) -> None:
        """Keep the rows that are in both files, and cut off what is in one of them alone."""
        keys, _ = read_rows(self.path, self._width)
        lines = _lines(self.path / _KEYS)
        if len(keys) < len(lines):  # another process may have read a row that is lost now
            self._renew()
        for name, size in (
            (_ROWS, 4 * self._width * len(keys)),
            (_KEYS, sum(len(line) + 1 for line in lines[: len(keys)])),
        ):
            with (self.path / name).open("ab") as file:
                file.truncate(size)

    def _renew(self) -> None:
        """Change the journal's generation: rows may now be where others were."""
        (self.path / _GENERATION).write_text(secrets.token_hex(8), encoding="ascii")


def has_origin(path: Path, origin: dict[str, Any], width: int) -> bool:
    """Whether a journal has this origin and width, or does not exist yet."""
    found = _content(path / _ORIGIN)
    return found == _described(origin, width) or not (found or _content(path / _KEYS))


def generation(path: Path) -> str:
    """Name a journal's state: while the name stays the same, rows are only added."""
    return re.sub(r"[^0-9a-f]", "", _content(path / _GENERATION).decode("ascii", "replace"))


def read_rows(path: Path, width: int) -> tuple[list[str], NDArray[np.float32]]:
    """Read the N keys of a journal, and map its rows, shape (N, width), from the disk.

    Another process may append to it meanwhile.
    """
    keys = _texts(_lines(path / _KEYS))
    count = min(len(keys), _size(path / _ROWS) // (4 * width))
    return keys[:count], map_rows(path / _ROWS, count, width)


def _described(origin: dict[str, Any], width: int) -> bytes:
    return json.dumps({"width": width, **origin}, sort_keys=True).encode()


def _remarks(path: Path) -> dict[str, str]:
    """Read a file of keys and texts; of several texts for a key the last one counts."""
    found = {}
    for line in _lines(path):
        match _parsed(line):
            case [str(key), str(text)]:
                found[key] = text
    return found


def _texts(lines: list[bytes]) -> list[str]:
    """Parse texts, one a line, up to a line that a crash of the machine has damaged."""
    with contextlib.suppress(ValueError):  # all at once, which is three times as fast
        texts = json.loads(b"[%s]" % b",".join(lines))
        if len(texts) == len(lines) and set(map(type, texts)) <= {str}:
            return texts
    return list(itertools.takewhile(lambda text: isinstance(text, str), map(_parsed, lines)))


def _parsed(line: bytes) -> Any:
    """Parse a line; None if a crash of the machine has damaged it."""
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return None


def _lines(path: Path) -> list[bytes]:
    return _content(path).split(b"\n")[:-1]  # without the last, which may be half written


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    """Read the size of a file, 0 if it is missing. It is opened for the reason below."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0


def _content(path: Path) -> bytes:
    """Read a file, empty if it is missing.

    Opening it is the only sure way to see what another machine wrote to a shared disk: size and
    existence may be cached.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
