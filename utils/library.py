"""A folder of sounds of whatever formats, tagged passage by passage, for searching in it.

What is computed is kept in an index folder, in files that only grow: a journal (`utils.journal`)
holds one row per passage of each content that was ever tagged, under `Passage.key`; ``files.json``
says which content each file of the folder has. So sounds that are added, changed, renamed or
deleted cost only what is new, and equal contents are tagged once.

A sound of at most 30 s is one passage, as a clip of Clotho is; a longer one is cut into passages of
about 20 s.

Shapes: P passages in the library, R rows in the journal, W windows of a sound, D numbers each.
"""

import filecmp
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from utils import files
from utils.audio import UnusableSound, check_sound_file, fingerprint, read_header
from utils.errors import InputError
from utils.journal import Journal, read_rows

_FILES = "files.json"
_ROWS = "passages"
_FORMAT = 1
# In windows, one every 2.5 s: 30 s are 13, and 20 s are 8.
_WINDOWS_OF_A_WHOLE = 13
_WINDOWS_OF_A_PASSAGE = 8
SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif", ".aifc", ".oga", ".opus", ".wave"
}  # fmt: skip

# Paths ─► for each, in order, the network's output for its windows, shape (W, D), or the error.
TagSounds = Callable[[Sequence[Path]], Iterator[NDArray[np.float32] | UnusableSound]]


@dataclass(frozen=True)
class Passage:
    """A part of a sound that has a row of its own.

    Attributes
    ----------
    source : str
        What tells the content of the sound file from others.
    number, count : int
        Which of the passages of the sound it is, from 0, and how many there are.
    start, end : float
        In seconds.
    duration : float
        Of the whole sound, in seconds.

    """

    source: str
    number: int
    count: int
    start: float
    end: float
    duration: float

    @property
    def key(self) -> str:
        """All of it in one text, under which the journal keeps the row."""
        return json.dumps([*vars(self).values()])


@dataclass(frozen=True)
class Sound:
    """A content of the library.

    Attributes
    ----------
    paths : tuple of str
        All files with this content, relative to the folder, sorted.
    duration : float
        In seconds.

    """

    paths: tuple[str, ...]
    duration: float


@dataclass(frozen=True, eq=False)
class Library:
    """The sounds of a folder and their passages.

    Attributes
    ----------
    folder : Path
        Where the sounds are.
    sounds : list of Sound
        By their first path.
    table : ndarray, shape (R, D), float32
        All rows of the journal, read from the disk where they are looked at.
    rows : int array, (P,)
        Increasing; which rows of `table` are passages of sounds that are there.
    sound_of_row : int array, (R,)
        Index of the sound; -1 for rows of contents that are gone.
    passages : list of R Passage
    failed : dict of str to str
        Files that cannot be used, and why.

    """

    folder: Path
    sounds: list[Sound]
    table: NDArray[np.float32]
    rows: NDArray[np.int64]
    sound_of_row: NDArray[np.int64]
    passages: list[Passage]
    failed: dict[str, str]

    def path(self, sound: int) -> Path:
        """Return where a sound is, by its index."""
        return self.folder / self.sounds[sound].paths[0]


@dataclass(frozen=True)
class Changes:
    """What an update found: numbers of files."""

    added: int
    gone: int
    duplicates: int


def update_library(
    folder: Path,
    index: Path,
    *,
    origin: Mapping[str, Any],
    width: int,
    hop_seconds: float,
    start: Callable[[], TagSounds],
    progress: Callable[[int], Any],
) -> tuple[Library, Changes]:
    """Look for new, changed and deleted sounds, tag what is new, and open the library.

    Can be stopped at any moment; the sounds that are finished are kept.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders, except hidden ones.
    index : Path
        Where the index is kept; made if missing. Of this folder and this network alone.
    origin : mapping
        How rows are computed (JSON-serialisable).
    width : int
        D, numbers per row.
    hop_seconds : float
        Between windows.
    start : callable
        Loads the network; called only where something is to be tagged.
    progress : callable
        Called with a number of sounds; returns a context manager whose ``update`` is called with 1
        after each.

    Returns
    -------
    library : Library
    changes : Changes

    Raises
    ------
    InputError
        If the folder cannot be read or holds no sounds, the index cannot be written, or another
        process is updating it.

    """
    before = _read_files(index)
    entries, changes = _look(folder, before)
    passages = _read_passages(index, width)
    wanted: dict[str, str] = {}  # a path for each content that is not there yet
    for path, entry in entries.items():
        if entry.source and entry.source not in passages.complete and not entry.reason:
            wanted.setdefault(entry.source, path)
    if wanted:
        failed = _tag(folder, index, wanted, origin, width, hop_seconds, start, progress)
        entries = {
            path: entry if entry.source not in failed else entry.failing(failed[entry.source])
            for path, entry in entries.items()
        }
        passages = _read_passages(index, width)
    if entries != before:
        content = {path: list(vars(entry).values()) for path, entry in entries.items()}
        with files.atomic_write(index / _FILES, "w") as file:
            json.dump({"format": _FORMAT, "folder": str(folder), "files": content}, file)
    return _open(folder, entries, passages), changes


@dataclass(frozen=True)
class _File:
    """What is known of a file: size and time tell whether to look at it again."""

    size: int
    mtime_ns: int
    source: str | None  # None if it cannot be opened
    reason: str | None = None  # why it cannot be used

    def failing(self, reason: str) -> "_File":
        return _File(self.size, self.mtime_ns, self.source, reason)


@dataclass(frozen=True)
class _Rows:
    """What the journal holds."""

    passages: list[Passage]
    table: NDArray[np.float32]
    complete: dict[str, list[int]]  # rows of each content whose passages are all there


def _read_files(index: Path) -> dict[str, _File]:
    path = index / _FILES
    if not path.exists():
        return {}
    content = files.read_json(path)
    try:
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}, not {_FORMAT}")
        return {name: _File(*entry) for name, entry in content["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is no list of files that this program wrote ({error}). Remove {index}: the "
            "sounds will be tagged again."
        ) from None


def _look(folder: Path, before: Mapping[str, _File]) -> tuple[dict[str, _File], Changes]:
    """List the sound files of a folder; those that changed, or are new, are fingerprinted."""
    found: dict[str, _File] = {}
    first_of: dict[str, str] = {}  # by source
    added = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        try:
            status = path.lstat()
            entry = before.get(name)
            if entry is None or (entry.size, entry.mtime_ns) != (
                status.st_size,
                status.st_mtime_ns,
            ):
                added += 1
                entry = _File(status.st_size, status.st_mtime_ns, None)
                check_sound_file(path, root=folder)
                source = fingerprint(path)
                twin = first_of.get(source)
                if twin and not filecmp.cmp(folder / twin, path, shallow=False):
                    source += ", " + files.sha256(path)  # alike where the fingerprint looks
                entry = _File(status.st_size, status.st_mtime_ns, source)
        except UnusableSound as error:
            entry = entry.failing(error.reason)
        except OSError as error:  # gone, or became unreadable, since the folder was listed
            entry = _File(0, 0, None, f"cannot be opened ({error.strerror})")
        found[name] = entry
        if entry.source:
            first_of.setdefault(entry.source, name)
    if not found:
        raise InputError(
            f"no sounds in {folder}: no file there ends in {', '.join(sorted(SUFFIXES))}. Give "
            "another folder with --audio."
        )
    with_source = [entry.source for entry in found.values() if entry.source]
    changes = Changes(added, len(before.keys() - found.keys()), len(with_source) - len(first_of))
    return found, changes


def _walk(folder: Path) -> Iterator[Path]:
    """List all files with the suffix of a sound format, sorted, except what is hidden."""

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot list the sounds of {error.filename}: {error.strerror}.")

    for top, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(top, name)


def _tag(
    folder: Path,
    index: Path,
    wanted: Mapping[str, str],
    origin: Mapping[str, Any],
    width: int,
    hop_seconds: float,
    start: Callable[[], TagSounds],
    progress: Callable[[int], Any],
) -> dict[str, str]:
    """Tag contents and keep their rows; returns why some cannot be used, by source."""
    failed = {}
    with (
        Journal(index / _ROWS, origin=dict(origin), width=width) as journal,
        progress(len(wanted)) as bar,
    ):
        outputs = start()([folder / path for path in wanted.values()])
        for (source, path), windows in zip(wanted.items(), outputs, strict=True):
            try:
                if isinstance(windows, UnusableSound):
                    raise windows
                frames, rate = read_header(folder / path)
                if not np.isfinite(windows).all():
                    raise UnusableSound(folder / path, "makes the network give NaN")
            except UnusableSound as error:
                failed[source] = error.reason
            else:
                passages, rows = cut_passages(source, windows, frames / rate, hop_seconds)
                journal.append([passage.key for passage in passages], rows)
            bar.update(1)
    return failed


def cut_passages(
    source: str, windows: NDArray[np.float32], duration: float, hop_seconds: float
) -> tuple[list[Passage], NDArray[np.float32]]:
    """Average the network's output over the windows of each passage of a sound.

    Parameters
    ----------
    source : str
    windows : ndarray, shape (W, D)
        Of a long sound, one centred on every hop.
    duration : float
        Of the sound, in seconds.
    hop_seconds : float

    Returns
    -------
    passages : list of Passage
    rows : ndarray, shape (number of passages, D)

    """
    count = 1
    if len(windows) > _WINDOWS_OF_A_WHOLE:
        # The last passage takes up to half a passage more, or is half a passage at least.
        count = max(1, round(len(windows) / _WINDOWS_OF_A_PASSAGE))
    edges = [number * _WINDOWS_OF_A_PASSAGE for number in range(count)] + [len(windows)]
    passages, rows = [], []
    for number, (first, end) in enumerate(itertools.pairwise(edges)):
        rows.append(windows[first:end].mean(axis=0, dtype=np.float32))
        last = number == count - 1
        passages.append(
            Passage(
                source,
                number,
                count,
                round(first * hop_seconds, 3),
                round(duration if last else end * hop_seconds, 3),
                round(duration, 3),
            )
        )
    return passages, np.stack(rows)


def _read_passages(index: Path, width: int) -> _Rows:
    keys, table = read_rows(index / _ROWS, width)
    try:
        passages = [Passage(*json.loads(key)) for key in keys]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{index / _ROWS} holds no passages ({error}). Remove {index}: the sounds will be "
            "tagged again."
        ) from None
    rows: dict[str, list[int]] = {}
    for row, passage in enumerate(passages):
        of_sound = rows.setdefault(passage.source, [])
        if passage.number == 0:
            of_sound.clear()  # an earlier attempt was interrupted
        of_sound.append(row)
    complete = {
        source: of_sound
        for source, of_sound in rows.items()
        if len(of_sound) == passages[of_sound[0]].count
    }
    return _Rows(passages, table, complete)


def _open(folder: Path, entries: Mapping[str, _File], held: _Rows) -> Library:
    paths: dict[str, list[str]] = {}
    failed = {}
    for path, entry in entries.items():
        if entry.reason:
            failed[path] = entry.reason
        elif entry.source in held.complete:
            paths.setdefault(entry.source, []).append(path)
    sounds, sound_of_row = [], np.full(len(held.passages), -1, dtype=np.int64)
    for number, (source, of_content) in enumerate(paths.items()):
        rows = held.complete[source]
        sounds.append(Sound(tuple(of_content), held.passages[rows[0]].duration))
        sound_of_row[rows] = number
    return Library(
        folder=folder,
        sounds=sounds,
        table=held.table,
        rows=np.flatnonzero(sound_of_row >= 0),
        sound_of_row=sound_of_row,
        passages=held.passages,
        failed=failed,
    )
