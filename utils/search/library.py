"""A folder of sounds of any formats, tagged passage by passage, for searching in it.

An index folder keeps what is computed: ``library.sqlite`` (`utils.search.database`) says which
content each file of the folder has, and what is known of it; ``passages/`` has one row of numbers
per passage of each content that was ever tagged, and ``grid/`` a file of cells for each of them
(`utils.search.sound_cells`). So after sounds are added, changed, renamed or deleted, only new
contents are tagged, each once. Passages are kept as they come, so that a long sound is resumed
where its tagging was interrupted.

Shapes: P passages in the library, R rows of numbers, D per window, K of them logits.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.search.database import Database, places
from utils.search.describing import describe
from utils.search.file_table import (
    ListedFile,
    forgive_truncation,
    record,
    untagged,
    unusable,
)
from utils.search.index_folder import DATABASE, open_index
from utils.search.passage_rows import PassageRows
from utils.search.sound_cells import SoundCells
from utils.search.sound_folder import Changes, scan_folder
from utils.search.tagging import TagSounds, tag_files


class LibrarySound(NamedTuple):
    """A content of the library."""

    paths: tuple[str, ...]  # all files with this content, relative to the folder, sorted
    duration: float  # in seconds
    source: str  # SHA-256 of the content
    notes: str = ""  # what is odd about it
    ucs: str | None = None  # the CatID that it says it has
    loudness: float | None = None  # in LUFS


class Place(NamedTuple):
    """Where a passage is in its sound, in seconds, and whether that has others."""

    start: float
    end: float
    is_part: bool


_USABLE = "reason IS NULL AND duration IS NOT NULL"
_NOT_USABLE = (
    "SELECT content FROM contents WHERE duration IS NULL OR NOT EXISTS "
    "(SELECT 1 FROM files WHERE files.content = contents.content AND reason IS NULL)"
)
_CONTENTS = "SELECT content FROM passages WHERE row < ? ORDER BY row"


@dataclass(frozen=True, eq=False)
class Library:
    """The sounds of a folder and their passages, as they were when this was made.

    A sound has a number that never becomes another's, even after updates.

    Attributes
    ----------
    folder : Path
        Where the sounds are.
    database : Database
    table : ndarray, shape (R, D), float32
        The means of all passages over their windows, memory-mapped.
    peaks : ndarray, shape (R, K), float16
        Their largest logits in any window, memory-mapped.
    sound_of_row : ndarray, shape (R,), int64
        Number of the sound; -1 for rows of contents that are gone.
    derived : Path
        Folder for what is computed from the rows; a new folder whenever existing rows change.

    """

    folder: Path
    database: Database
    table: NDArray[np.float32]
    peaks: NDArray[np.float16]
    sound_of_row: NDArray[np.int64]
    derived: Path

    @classmethod
    def open(cls, folder: Path, database: Database, rows: PassageRows) -> "Library":
        """Read what is known now."""
        table, peaks = rows.read()
        content = np.full(len(table), -1)
        if database.one("SELECT count(*) FROM passages") == len(table):
            found = (number for (number,) in database.stream(_CONTENTS, len(table)))
            content[:] = np.fromiter(found, np.int64, len(table))
        else:  # rows are missing, or some were added
            for row, number in database.stream("SELECT row, content FROM passages"):
                if row < len(content):
                    content[row] = number
        gone = np.array([number for (number,) in database.stream(_NOT_USABLE)], np.int64)
        there = np.ones(1 + max(gone.max(initial=0), content.max(initial=0)), bool)
        there[gone] = False
        sound_of_row = np.where((content >= 0) & there[content], content, -1)
        return cls(folder, database, table, peaks, sound_of_row, rows.derived)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows that are passages of sounds in the folder, shape (P,), in increasing order."""
        return np.flatnonzero(self.sound_of_row >= 0)

    @cached_property
    def silent(self) -> NDArray[np.int64]:
        """The rows of digital silence."""
        found = self.database.all("SELECT row FROM passages WHERE silent ORDER BY row")
        silent = np.array([row for (row,) in found], np.int64)
        return silent[silent < len(self.table)]

    def sounds(self, numbers: Iterable[int] | None = None) -> dict[int, LibrarySound]:
        """Return sounds by number, by default all; those that are gone by now are left out."""
        if numbers is None:
            return dict(self._read_sounds("", ()))
        numbers = list(numbers)
        return dict(self._read_sounds(f"AND content IN {places(numbers)}", numbers))

    def sound_with(self, source: str) -> int | None:
        """Return the number of the sound with this SHA-256, if there is one."""
        found = self._read_sounds("AND source = ?", (bytes.fromhex(source),))
        return next((number for number, _ in found), None)

    def passages(self, rows: Iterable[int]) -> list[Place]:
        """Return where the passages of rows are."""
        rows = [int(row) for row in rows]
        found = self.database.all(
            'SELECT row, start, "end", duration FROM passages JOIN contents USING (content) '
            f"WHERE row IN {places(rows)}",
            *rows,
        )
        by_row = {row: Place(a, b, a > 0 or b < duration) for row, a, b, duration in found}
        return [by_row[row] for row in rows]

    def rows_of(self, sound: int) -> dict[float, int]:
        """Return the rows of a sound by the start of their passages in seconds."""
        found = self.database.all(
            "SELECT start, row FROM passages WHERE content = ? ORDER BY number", sound
        )
        return {start: row for start, row in found if row < len(self.table)}

    def probable(self, tag: int, probability: float, *, above: bool = True) -> NDArray[np.int64]:
        """List the rows whose peaks have a tag, by its number, at above this, or else at least.

        Parameters
        ----------
        probability : float
            At least `utils.search.database.LEAST_PROBABILITY`: less is not kept.

        """
        query = f"SELECT row FROM tags WHERE tag = ? AND probability {'>' if above else '>='} ?"
        rows = (row for (row,) in self.database.stream(query, tag, probability))
        return np.fromiter(rows, np.int64)

    @property
    def failed(self) -> dict[str, str]:
        """The files that cannot be used, and why."""
        return unusable(self.database)

    @property
    def noted(self) -> dict[str, str]:
        """What is odd about sounds, by their first path."""
        sounds = dict(self._read_sounds("AND notes != ''", ()))
        return {sound.paths[0]: sound.notes for sound in sounds.values()}

    def count(self) -> tuple[int, int]:
        """Count the usable files and the different contents among them."""
        query = (
            "SELECT count(*), count(DISTINCT content) FROM files JOIN contents USING (content) "
            f"WHERE {_USABLE}"
        )
        return self.database.all(query)[0]

    def _read_sounds(
        self, condition: str, values: Iterable[Any]
    ) -> Iterator[tuple[int, LibrarySound]]:
        found = self.database.stream(
            "SELECT content, path || name, duration, source, notes, ucs, loudness FROM files "
            "JOIN folders USING (folder) JOIN contents USING (content) "
            f"WHERE {_USABLE} {condition} ORDER BY content, path, name",
            *values,
        )
        for content, rows in itertools.groupby(found, key=itemgetter(0)):
            named = list(rows)
            _, _, duration, source, *rest = named[0]
            paths = tuple(path for _, path, *_ in named)
            yield content, LibrarySound(paths, duration, source.hex(), *rest)


def open_library(
    folder: Path, index: Path, *, origin: Mapping[str, Any], width: int, tags: int
) -> Library | None:
    """Open what an index knows of a folder, without looking at the folder.

    See `update_library`. The result is None if there is no index, or it has no sounds.
    """
    if not (index / DATABASE).exists():
        return None
    database, rows = open_index(folder, index, origin=origin, width=width, tags=tags)
    library = Library.open(folder, database, rows)
    return library if len(library.rows) else None


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
    looking: Callable[[int], Any] | None = None,
    describing: Callable[[int], Any] | None = None,
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
    looking, reading : callable
        See `utils.search.sound_folder.scan_folder`.
    describing : callable, optional
        The `progress` of `utils.search.describing.describe`; by default nothing is described.
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
    database, rows = open_index(folder, index, origin=origin, width=width, tags=tags, note=note)
    if accept_truncated:
        forgive_truncation(database)
    if cells and not cells.grid.path.exists():
        with database.writing() as connection:
            connection.execute("UPDATE contents SET cells = 0")
    changes = scan_folder(folder, database, progress=reading, looking=looking)
    if describing:
        describe(database, folder, progress=describing)
    # First one file of each new content; then, if some are unusable, their copies.
    for one_of_each in (True, False):
        if not untagged(database, cells=cells is not None):
            break
        with rows.writing():
            if cells:
                cells.grid.prepare()
            # Asked again: another process may have finished before this one had the lock.
            files = untagged(database, cells=cells is not None)
            if one_of_each:
                files = {name: files[name] for name in _first_of_each(files)}
            if files:
                failed = tag_files(
                    folder,
                    files,
                    rows,
                    tags=tags,
                    hop_seconds=hop_seconds,
                    window_seconds=window_seconds,
                    tag=tag,
                    notes=notes,
                    accept_truncated=accept_truncated,
                    cells=cells,
                    progress=progress,
                )
                record(database, failed)
    rows.remove_outdated()
    return Library.open(folder, database, rows), changes


def _first_of_each(files: Mapping[str, ListedFile]) -> list[str]:
    """List one file of each content."""
    return list({files[name].source: name for name in reversed(files)}.values())[::-1]
