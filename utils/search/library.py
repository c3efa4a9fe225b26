"""A folder of sounds of any formats, tagged passage by passage, for searching in it.

An index folder keeps what is computed: ``passages/`` is a journal (`utils.files.journal`) with one
row per passage of each content that was ever tagged, ``grid/`` has a file of cells for each of them
(`utils.search.sound_cells`), and ``files.json`` says which content each file of the folder has. So
after sounds are added, changed, renamed or deleted, only new contents are tagged, each once.
Passages are kept as they come, so that a long sound is resumed where its tagging was interrupted.

Shapes: P passages in the library, R rows in the journal, D numbers per window, K of them logits.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.audio.sound import is_truncation
from utils.files.journal import Journal, generation, has_origin
from utils.files.locks import as_input_error
from utils.runtime.errors import InputError, shorten
from utils.search.passages import Passage, PassageRows, read_passages, row_width
from utils.search.sound_cells import SoundCells
from utils.search.sound_folder import Changes, ListedFile, read_list, scan_folder, write_list
from utils.search.tagging import TagSounds, tag_files

_FILES = "files.json"
_ROWS = "passages"
_DERIVED = "computed from generation "  # folders in the journal, named after its generation

# Before 3, there were no cells; before 2, no peaks, sounds were tagged as published, and some were
# cut short.
_FORMAT = 3


class LibrarySound(NamedTuple):
    """A content of the library; a tuple, because there may be a million."""

    paths: tuple[str, ...]  # all files with this content, relative to the folder, sorted
    duration: float  # in seconds
    source: str  # SHA-256 of the content
    notes: str = ""  # what is odd about it


@dataclass(frozen=True, eq=False)
class Library:
    """The sounds of a folder and their passages.

    Attributes
    ----------
    folder : Path
        Where the sounds are.
    sounds : list of LibrarySound
        By their first path.
    table : ndarray, shape (R, D), float32
        Of all rows of the journal the means over the windows, memory-mapped.
    peaks : ndarray, shape (R, K), float16
        Their largest logits in any window, memory-mapped.
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
    sounds: list[LibrarySound]
    table: NDArray[np.float32]
    peaks: NDArray[np.float16]
    rows: NDArray[np.int64]
    sound_of_row: NDArray[np.int64]
    passages: list[Passage]
    failed: dict[str, str]
    derived: Path

    @property
    def noted(self) -> dict[str, str]:
        """What is odd about sounds, by their first path."""
        return {sound.paths[0]: sound.notes for sound in self.sounds if sound.notes}


def update_library(
    folder: Path,
    index: Path,
    *,
    origin: Mapping[str, Any],
    width: int,
    tags: int,
    hop_seconds: float,
    window_seconds: float | None = None,
    tag: TagSounds,
    notes: Mapping[Path, str] = MappingProxyType({}),
    reading: Callable[[int], Any],
    progress: Callable[[int], Any],
    note: Callable[[str], Any],
    accept_truncated: bool = False,
    cells: SoundCells | None = None,
) -> tuple[Library, Changes]:
    """Look for new, changed and deleted sounds, tag what is new, and open the library.

    It can be stopped at any time; finished passages are kept.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders, except hidden ones.
    index : Path
        Where the index is kept; made if missing. For this folder and this network alone.
    origin : mapping
        How windows are computed (JSON-serialisable).
    width, tags : int
        D and K.
    hop_seconds, window_seconds : float
        Of the windows; see `utils.search.passages.cut_passages`.
    tag : callable
        See `TagSounds`; called only if there is something to tag.
    notes : mapping of Path to str
        See `utils.search.tagging.tag_files`.
    reading : callable
        The `progress` of `utils.search.sound_folder.scan_folder`.
    progress : callable
        Called with the seconds of sound to tag; returns a context manager whose ``update`` is
        called with seconds as they are done.
    note : callable
        Called with what the user should know before it is waited for.
    accept_truncated : bool
        Whether `tag` uses truncated sounds as far as they go. Those that were refused before are
        tagged now.
    cells : SoundCells, optional
        Keeps the cells, which `tag` gives too.

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
    kind = {"origin": {**origin, "format": _FORMAT}, "width": row_width(width, tags)}

    def read() -> PassageRows:
        held = read_passages(path, width=width, tags=tags)
        return _with_cells(held, cells) if cells else held

    with as_input_error(path):
        if not has_origin(path, **kind):
            second = {"origin": {**origin, "format": 2}, "width": row_width(width, tags)}
            if not (has_origin(path, dict(origin), width) or has_origin(path, **second)):
                raise InputError(
                    f"{path} was made with another PaSST, precision or settings of `search`, "
                    "or by a version that cut some sounds short. Name another folder with "
                    "--index, or move this one away: all sounds are tagged again."
                )
            note(f"{path} was made by an earlier version: all sounds are tagged again, once.")
            Journal(path, **kind).release()  # empties it
        before = read_list(index / _FILES, folder)
        derived, held = _derived(path), read()
    found, changes = scan_folder(folder, before, progress=reading)
    if accept_truncated:
        found = {name: _forgiven(file) for name, file in found.items()}
    # First one file of each new content; then, if some are unusable, their copies.
    for one_of_each in (True, False):
        if not _untagged(found, held):
            break
        with Journal(path, **kind) as journal:
            if cells:
                cells.grid.prepare()
            # Read again: another process may have finished before this one had the lock.
            held = read()
            names = _untagged(found, held)
            if one_of_each:
                names = list({found[name].source: name for name in reversed(names)}.values())[::-1]
            if names:
                files = {name: found[name] for name in names}
                found |= tag_files(
                    folder,
                    files,
                    journal,
                    begun=held.begun,
                    tags=tags,
                    hop_seconds=hop_seconds,
                    window_seconds=window_seconds,
                    tag=tag,
                    notes=notes,
                    accept_truncated=accept_truncated,
                    cells=cells,
                    progress=progress,
                )
        derived, held = _derived(path), read()
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


def _with_cells(held: PassageRows, cells: SoundCells) -> PassageRows:
    """Leave out contents whose cells are lost: they are tagged again."""
    complete = {
        source: rows
        for source, rows in held.complete.items()
        if cells.are_complete(source, held.passages[rows[-1]].end)
    }
    return held._replace(complete=complete)


def _untagged(found: Mapping[str, ListedFile], held: PassageRows) -> list[str]:
    """List the files whose contents have no rows."""
    return [
        name
        for name, file in found.items()
        if file.source and not file.reason and file.source not in held.complete
    ]


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
        last = held.passages[rows[-1]]
        sounds.append(LibrarySound(tuple(of_content), last.end, source, last.notes))
        for row in rows:
            sound_of_row[row] = number
    sound_of_row = np.array(sound_of_row, dtype=np.int64)
    return Library(
        folder=folder,
        sounds=sounds,
        table=held.means,
        peaks=held.peaks,
        rows=np.flatnonzero(sound_of_row >= 0),
        sound_of_row=sound_of_row,
        passages=held.passages,
        failed={name: file.reason for name, file in found.items() if file.reason},
        derived=derived,
    )
