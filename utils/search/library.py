"""A folder of sounds of any formats, tagged passage by passage, for searching in it.

An index folder keeps what is computed: ``passages/`` is a journal (`utils.files.journal`) with one
row per passage of each content that was ever tagged, and ``files.json`` says which content each
file of the folder has. So after sounds are added, changed, renamed or deleted, only new contents
are tagged, each once.

Shapes: P passages in the library, R rows in the journal, W windows of a sound, D numbers each.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.audio.sound import is_truncation
from utils.audio.sound_file import UnusableSound, read_header
from utils.files.journal import Journal, generation, has_origin
from utils.files.locks import as_input_error
from utils.runtime.errors import InputError, shorten
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
_DERIVED = "computed from generation "  # folders in the journal, named after its generation

# Paths ─► for each, in order, the network's output for its windows, shape (W, D), or the error.
TagSounds = Callable[[Sequence[Path]], Iterator[NDArray[np.float32] | UnusableSound]]


class Sound(NamedTuple):
    """A content of the library; a tuple, because there may be a million."""

    paths: tuple[str, ...]  # all files with this content, relative to the folder, sorted
    duration: float  # in seconds
    source: str  # SHA-256 of the content


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
        All rows of the journal, memory-mapped.
    rows : ndarray, shape (P,), int64
        The rows of `table` that are passages of sounds in the folder, in increasing order.
    sound_of_row : ndarray, shape (R,), int64
        Index of the sound; -1 for rows of contents that are gone.
    passages : list of R Passage
    failed : dict of str to str
        Files that cannot be used, and why.
    derived : Path
        Folder for what is computed from the rows; a new folder whenever existing rows change.

    """

    folder: Path
    sounds: list[Sound]
    table: NDArray[np.float32]
    rows: NDArray[np.int64]
    sound_of_row: NDArray[np.int64]
    passages: list[Passage]
    failed: dict[str, str]
    derived: Path


def update_library(
    folder: Path,
    index: Path,
    *,
    origin: Mapping[str, Any],
    width: int,
    hop_seconds: float,
    tag: TagSounds,
    progress: Callable[[int], Any],
    accept_truncated: bool = False,
) -> tuple[Library, Changes]:
    """Look for new, changed and deleted sounds, tag what is new, and open the library.

    It can be stopped at any time; finished sounds are kept.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders, except hidden ones.
    index : Path
        Where the index is kept; made if missing. For this folder and this network alone.
    origin : mapping
        How rows are computed (JSON-serialisable).
    width : int
        D, numbers per row.
    hop_seconds : float
        Between windows.
    tag : callable
        See `TagSounds`; called only if there is something to tag.
    progress : callable
        Called with a number of sounds; returns a context manager whose ``update`` is called with 1
        after each.
    accept_truncated : bool
        Whether `tag` uses truncated sounds as far as they go. Those that were refused before are
        tagged now.

    Raises
    ------
    InputError
        If the folder cannot be read or contains no sounds; if the index contains them, is of
        another network or cannot be written, or another process is updating it.

    """
    if index.resolve() == folder.resolve() or index.resolve() in folder.resolve().parents:
        raise InputError(f"--index {index} contains the sounds. Name a folder for the index alone.")
    if index.exists() and not index.is_dir():
        raise InputError(f"--index {index} is a file. Name a folder.")
    path = index / _ROWS
    with as_input_error(path):
        if not has_origin(path, dict(origin), width):
            raise InputError(
                f"{path} was made with another PaSST, in another precision, or by an earlier "
                "version that cut some sounds short. Name another folder with --index, or remove "
                "this one: all sounds will be tagged again."
            )
        before = read_list(index / _FILES, folder)
        derived, held = _derived(path), read_passages(path, width)
    found, changes = scan_folder(folder, before)
    if accept_truncated:
        found = {name: _forgiven(file) for name, file in found.items()}
    # First one file of each new content; then, if some are unusable, their copies.
    for one_of_each in (True, False):
        if not _untagged(found, held):
            break
        with Journal(path, origin=dict(origin), width=width) as journal:
            # Read again: another process may have finished before this one had the lock.
            names = _untagged(found, read_passages(path, width))
            if one_of_each:
                names = list({found[name].source: name for name in reversed(names)}.values())[::-1]
            if names:
                files = {name: found[name] for name in names}
                read_frames = partial(read_header, accept_truncated=accept_truncated)
                found |= _tag(folder, files, journal, hop_seconds, tag, read_frames, progress)
        derived, held = _derived(path), read_passages(path, width)
    if names := _untagged(found, held):
        raise InputError(
            f"{path} changed while it was updated. It has no rows for\n{shorten(names)}\n"
            "Run the same command again."
        )
    if found != before:
        write_list(index / _FILES, folder, found)
    return _open(folder, found, held, derived), changes


def _forgiven(file: ListedFile) -> ListedFile:
    """Forget that a file cannot be used because it is truncated."""
    return file._replace(reason=None) if is_truncation(file.reason or "") else file


def _untagged(found: Mapping[str, ListedFile], held: PassageRows) -> list[str]:
    """List the files whose contents have no rows."""
    return [
        name
        for name, file in found.items()
        if file.source and not file.reason and file.source not in held.complete
    ]


def _tag(
    folder: Path,
    files: Mapping[str, ListedFile],
    journal: Journal,
    hop_seconds: float,
    tag: TagSounds,
    read_frames: Callable[[Path], tuple[int, int]],
    progress: Callable[[int], Any],
) -> dict[str, ListedFile]:
    """Tag files and keep their rows; returns those that cannot be used."""
    failed = {}
    with progress(len(files)) as bar:
        outputs = tag([folder / name for name in files])
        for (name, file), windows in zip(files.items(), outputs, strict=True):
            path = folder / name
            try:
                if isinstance(windows, UnusableSound):
                    raise windows
                frames, rate = read_frames(path)
                if changed_since(path, file):
                    raise UnusableSound(path, "was changed while it was tagged")
            except UnusableSound as error:
                # If it changed, its content may not be at fault: read it again next time.
                source = None if changed_since(path, file) else file.source
                failed[name] = file._replace(reason=error.reason, source=source)
            else:
                passages, rows = cut_passages(file.source, windows, frames / rate, hop_seconds)
                journal.append([passage.key for passage in passages], rows)
            bar.update(1)
    return failed


def _derived(journal: Path) -> Path:
    """Return the folder for what is computed from a journal, and delete outdated ones."""
    folder = journal / f"{_DERIVED}{generation(journal)}"
    for other in journal.glob(f"{_DERIVED}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _open(
    folder: Path, found: Mapping[str, ListedFile], held: PassageRows, derived: Path
) -> Library:
    names: dict[str, list[str]] = {}  # by source
    for name, file in found.items():
        if not file.reason and file.source in held.complete:
            names.setdefault(file.source, []).append(name)
    sounds, sound_of_row = [], [-1] * len(held.passages)
    for number, (source, of_content) in enumerate(names.items()):
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
        failed={name: file.reason for name, file in found.items() if file.reason},
        derived=derived,
    )
