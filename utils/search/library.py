"""A folder of sounds of whatever formats, tagged passage by passage, for searching in it.

What is computed is kept in an index folder, in files that only grow: ``passages/`` is a journal
(`utils.files.journal`) with one row per passage of each content that was ever tagged, and
``files.json``
says which content each file of the folder has. So sounds that are added, changed, renamed or
deleted cost only what is new, and equal contents are tagged once.

Shapes: P passages in the library, R rows in the journal, W windows of a sound, D numbers each.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.audio.sound_file import UnusableSound, read_header
from utils.files.journal import Journal, generation, has_origin
from utils.files.locks import as_input_error
from utils.runtime.errors import InputError
from utils.search.passages import Passage, PassageRows, cut_passages, read_passages
from utils.search.sound_folder import (
    Changes,
    ListedFile,
    changed_since,
    read_list,
    scan_folder,
    write_list,
)

_FILES = "files.json"
_ROWS = "passages"
_DERIVED = "computed from generation "  # … of the journal, in which these folders are

# Paths ─► for each, in order, the network's output for its windows, shape (W, D), or the error.
TagSounds = Callable[[Sequence[Path]], Iterator[NDArray[np.float32] | UnusableSound]]


class Sound(NamedTuple):
    """A content of the library; a tuple, because there may be a million.

    Attributes
    ----------
    paths : tuple of str
        All files with this content, relative to the folder, sorted.
    duration : float
        In seconds.
    source : str
        Tells it from other contents.

    """

    paths: tuple[str, ...]
    duration: float
    source: str


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
    derived : Path
        Folder for what is computed from the rows; another one when they are no longer the same.

    """

    folder: Path
    sounds: list[Sound]
    table: NDArray[np.float32]
    rows: NDArray[np.int64]
    sound_of_row: NDArray[np.int64]
    passages: list[Passage]
    failed: dict[str, str]
    derived: Path

    def path(self, sound: int) -> Path:
        """Return where a sound is, by its index."""
        return self.folder / self.sounds[sound].paths[0]


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
        Searched with its sub-folders, except what is hidden.
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
        If the folder cannot be read or holds no sounds, the index holds them, is of another network
        or cannot be written, or another process is updating it.

    """
    if index.resolve() == folder.resolve() or index.resolve() in folder.resolve().parents:
        raise InputError(f"--index {index} holds the sounds. Name a folder for the index alone.")
    if index.exists() and not index.is_dir():
        raise InputError(f"--index {index} is a file. Name a folder.")
    journal = index / _ROWS
    with as_input_error(journal):
        if not has_origin(journal, dict(origin), width):
            raise InputError(
                f"{journal} was made with another PaSST, or in another precision. Name another "
                "folder with --index, or remove that one: all sounds will be tagged again."
            )
        before = read_list(index / _FILES, folder)
        derived, held = _derived(journal), read_passages(journal, width)
    found, changes = scan_folder(folder, before)
    while _to_tag(found, held):
        with Journal(journal, origin=dict(origin), width=width) as opened:
            # Read again, because another run may have finished before this one had the lock.
            if wanted := _to_tag(found, read_passages(journal, width)):
                found |= _tag(folder, wanted, found, opened, hop_seconds, start, progress)
        derived, held = _derived(journal), read_passages(journal, width)
    if found != before:
        write_list(index / _FILES, folder, found)
    return _open(folder, found, held, derived), changes


def _to_tag(found: Mapping[str, ListedFile], held: PassageRows) -> dict[str, str]:
    """Choose a file for each content that has no rows, by source."""
    wanted: dict[str, str] = {}
    for path, file in found.items():
        if file.source and not file.reason and file.source not in held.complete:
            wanted.setdefault(file.source, path)
    return wanted


def _tag(
    folder: Path,
    wanted: Mapping[str, str],
    found: Mapping[str, ListedFile],
    journal: Journal,
    hop_seconds: float,
    start: Callable[[], TagSounds],
    progress: Callable[[int], Any],
) -> dict[str, ListedFile]:
    """Tag contents and keep their rows; returns the files that cannot be used, by path."""
    failed = {}
    with progress(len(wanted)) as bar:
        outputs = start()([folder / path for path in wanted.values()])
        for (source, path), windows in zip(wanted.items(), outputs, strict=True):
            try:
                if isinstance(windows, UnusableSound):
                    raise windows
                frames, rate = read_header(folder / path)
                if not np.isfinite(windows).all():
                    raise UnusableSound(folder / path, "makes the network give NaN")
                if changed_since(folder / path, found[path]):
                    raise UnusableSound(folder / path, "was changed while it was tagged")
            except UnusableSound as error:
                failed[path] = found[path]._replace(reason=error.reason)
                if changed_since(folder / path, found[path]):  # it may be no fault of its content
                    failed[path] = failed[path]._replace(source=None)
            else:
                passages, rows = cut_passages(source, windows, frames / rate, hop_seconds)
                journal.append([passage.key for passage in passages], rows)
            bar.update(1)
    return failed


def _derived(journal: Path) -> Path:
    """Name the folder for what is computed from a journal, and delete what was before."""
    folder = journal / f"{_DERIVED}{generation(journal)}"
    for other in journal.glob(f"{_DERIVED}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _open(
    folder: Path, found: Mapping[str, ListedFile], held: PassageRows, derived: Path
) -> Library:
    paths: dict[str, list[str]] = {}  # by source
    failed = {}
    for path, file in found.items():
        if file.reason:
            failed[path] = file.reason
        elif file.source in held.complete:
            paths.setdefault(file.source, []).append(path)
    sounds, sound_of_row = [], [-1] * len(held.passages)
    for number, (source, of_content) in enumerate(paths.items()):
        rows = held.complete[source]
        sounds.append(Sound(tuple(of_content), held.passages[rows[0]].duration, source))
        for row in rows:
            sound_of_row[row] = number
    sound_of_row = np.array(sound_of_row, dtype=np.int64)
    return Library(
        folder=folder,
        sounds=sounds,
        table=held.table,
        rows=np.flatnonzero(sound_of_row >= 0),
        sound_of_row=sound_of_row,
        passages=held.passages,
        failed=failed,
        derived=derived,
    )
