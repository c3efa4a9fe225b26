"""Rows of long work, kept as they are computed, so that it can be stopped at any moment.

A journal is a folder beside the file to be written. Rows are appended in two steps, vectors before
keys, and only what both hold counts when it is opened again: whatever moment the process was
killed at, at most the batch in flight is lost.
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

_ROWS, _KEYS, _ORIGIN, _GENERATION = "rows.f32", "keys.jsonl", "origin.json", "generation"


class Journal:
    """Append-only rows of `width` float32 numbers, each under a text key; a context manager.

    Parameters
    ----------
    path : Path
        Folder of the journal; made if missing, started anew if its origin differs.
    origin : dict
        What the rows are computed from and how (JSON-serialisable). Rows of another origin are
        worthless, so a journal with another origin is emptied.
    width : int
        Numbers per row.

    Raises
    ------
    InputError
        If another process has this journal open, or it cannot be written.

    """

    def __init__(self, path: Path, *, origin: dict[str, Any], width: int) -> None:
        self.path = path
        self.width = width
        self._origin_file = path / _ORIGIN
        self._rows_file = path / _ROWS
        self._keys_file = path / _KEYS
        self._failed_file = path / "failed.jsonl"
        self.rows: dict[str, NDArray[np.float32]] = {}
        self.failed: dict[str, str] = {}
        wanted = _described(origin, width)
        self._lock = FolderLock(path)
        with as_input_error(path):
            if _content(self._origin_file) != wanted:
                for file in (
                    self._origin_file,
                    self._rows_file,
                    self._keys_file,
                    self._failed_file,
                ):
                    file.unlink(missing_ok=True)
                self._renew()
                self._origin_file.write_bytes(wanted)
            self._reopen()

    def append(self, keys: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows, shape (len(keys), width); they are on disk when this returns."""
        if not keys:
            return
        with as_input_error(self.path):
            _append(self._rows_file, np.ascontiguousarray(rows, dtype="<f4").tobytes())
            _append(self._keys_file, "".join(json.dumps(key) + "\n" for key in keys).encode())
        self.rows.update(zip(keys, rows, strict=True))

    def fail(self, keys: Sequence[str], reason: str) -> None:
        """Note why rows cannot be computed; it is on disk when this returns."""
        if not keys:
            return
        lines = "".join(json.dumps([key, reason]) + "\n" for key in keys)
        with as_input_error(self.path):
            _append(self._failed_file, lines.encode())
        self.failed.update(dict.fromkeys(keys, reason))

    def remove(self) -> None:
        """Delete the journal, after its rows have been written to their final file."""
        self._lock.remove()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        """Let others open the journal; the end of the process does so too, however it comes."""
        self._lock.release()

    def _reopen(self) -> None:
        """Read what both files hold, and cut off what only one of them does."""
        keys, table = read_rows(self.path, self.width)
        lines = _lines(self._keys_file)
        if len(keys) < len(lines):  # rows are lost that somebody may have read
            self._renew()
        for file, size in (
            (self._rows_file, 4 * self.width * len(keys)),
            (self._keys_file, sum(len(line) + 1 for line in lines[: len(keys)])),
        ):
            with file.open("ab") as stream:
                stream.truncate(size)
        self.rows = dict(zip(keys, table, strict=True))
        for line in _lines(self._failed_file):
            match _parsed(line):
                case [str(key), str(reason)]:
                    self.failed[key] = reason

    def _renew(self) -> None:
        """Tell from now on that rows may stand where others stood."""
        (self.path / _GENERATION).write_text(secrets.token_hex(8), encoding="ascii")


def has_origin(path: Path, origin: dict[str, Any], width: int) -> bool:
    """Tell whether a journal is of this origin, or there is none."""
    there = _content(path / _ORIGIN)
    return there == _described(origin, width) or (not there and not _content(path / _KEYS))


def generation(path: Path) -> str:
    """Name a journal's state: while the name is the same, rows are only added."""
    return re.sub(r"[^0-9a-f]", "", _content(path / _GENERATION).decode("ascii", "replace"))


def read_rows(path: Path, width: int) -> tuple[list[str], NDArray[np.float32]]:
    """Read the keys and rows of a journal, also while another process appends to it.

    Returns
    -------
    keys : list of N str
    rows : ndarray, shape (N, width)
        Read-only, and read from the disk where it is looked at.

    """
    keys = _texts(_lines(path / _KEYS))
    count = min(len(keys), _size(path / _ROWS) // (4 * width))
    return keys[:count], map_rows(path / _ROWS, count, width)


def _described(origin: dict[str, Any], width: int) -> bytes:
    return json.dumps({"width": width, **origin}, sort_keys=True).encode()


def _texts(lines: list[bytes]) -> list[str]:
    """Read texts, one a line, up to what a crash of the machine left something else of."""
    with contextlib.suppress(ValueError):  # all at once: of a million it takes a third of the time
        texts = json.loads(b"[%s]" % b",".join(lines))
        if len(texts) == len(lines) and set(map(type, texts)) <= {str}:
            return texts
    return list(itertools.takewhile(lambda text: isinstance(text, str), map(_parsed, lines)))


def _parsed(line: bytes) -> Any:
    """Read a line; None where a crash of the machine left something else in its place."""
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return None


def _lines(path: Path) -> list[bytes]:
    return _content(path).split(b"\n")[:-1]  # a half-written one has no end


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    """Tell the size of a file, 0 where there is none; opened, for the reason below."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0


def _content(path: Path) -> bytes:
    """Read a file, empty where there is none.

    Only reading tells, on a disk that several machines see: size and existence may be remembered
    from a time before another machine wrote the file.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
