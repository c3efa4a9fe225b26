"""The rows of passages in a file, and what the database of an index says of each.

Rows are appended before the database knows of them, so that a kill at any moment loses at most
those in flight: whoever writes next cuts them off.

Shapes: R rows, D means and K peaks in each (`utils.search.passages`).
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

from models.architectures import CLASSES, SILENCE
from utils.features.hearing import find_silence
from utils.files.locks import FolderLock, as_input_error
from utils.files.raw_rows import map_rows
from utils.search.database import LEAST_PROBABILITY, Database
from utils.search.passages import Passage, row_width, split_rows

_ROWS = "rows.f32"
_DERIVED = "computed from generation "


class PassageRows:
    """The rows of an index.

    Parameters
    ----------
    path : Path
        Their folder.
    database : Database
    width, tags : int
        D and K.

    """

    def __init__(self, path: Path, database: Database, *, width: int, tags: int) -> None:
        self.path = path
        self._database, self._width, self._tags = database, width, tags

    @property
    def derived(self) -> Path:
        """Folder for what is computed from the rows; a new one whenever existing rows change."""
        return self.path / f"{_DERIVED}{self._database.value('generation')}"

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        """Map the means, shape (R, D), and the peaks, shape (R, K), into memory."""
        rows = map_rows(self.path / _ROWS, self._count(), self._row_width)
        return split_rows(rows, width=self._width, tags=self._tags)

    def held(self, source: str) -> int:
        """Count the passages of a content, from the first on, that are kept."""
        query = "SELECT count(*) FROM passages JOIN contents USING (content) WHERE source = ?"
        return self._database.one(query, bytes.fromhex(source))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let no other process append while the block runs; an InputError if one does."""
        with FolderLock(self.path), as_input_error(self.path):
            with (self.path / _ROWS).open("ab") as file:
                held = file.tell() // (4 * self._row_width)
                if held < (count := self._count()):
                    self._forget(held)
                file.truncate(4 * self._row_width * min(held, count))
            yield

    def forget_lost(self) -> None:
        """Forget rows that the file has lost; their sounds are to be tagged again."""
        size = 4 * self._row_width * self._count()
        path = self.path / _ROWS
        if size and (not path.exists() or path.stat().st_size < size):
            with self.writing():
                pass

    def append(self, passages: Sequence[Passage], rows: NDArray[np.float32]) -> None:
        """Keep passages of one content that are not kept yet; on disk when this returns.

        Parameters
        ----------
        rows : ndarray, shape (len(passages), `row_width`)

        """
        if not passages:
            return
        first = self._count()
        with as_input_error(self.path), (self.path / _ROWS).open("r+b") as file:
            file.seek(4 * self._row_width * first)
            file.write(np.asarray(rows, dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        with self._database.writing() as connection:
            numbers = range(first, first + len(passages))
            insert_passages(connection, passages, self._peaks(rows), rows=numbers)

    def finish(self, source: str, *, duration: float, notes: str, cells: bool) -> None:
        """Note that all passages of a content are kept, and whether all of its cells are."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE contents SET duration = ?, notes = CAST(? AS TEXT), cells = ? "
                "WHERE source = ?",
                (duration, os.fsencode(notes), cells, bytes.fromhex(source)),
            )

    def remove_outdated(self) -> None:
        """Delete what was computed from rows that are gone."""
        for other in self.path.glob(f"{_DERIVED}*"):
            if other != self.derived:
                shutil.rmtree(other, ignore_errors=True)

    @property
    def _row_width(self) -> int:
        return row_width(self._width, self._tags)

    def _count(self) -> int:
        return self._database.one("SELECT ifnull(max(row) + 1, 0) FROM passages")

    def _peaks(self, rows: NDArray[np.float32]) -> NDArray[np.float16]:
        return split_rows(np.asarray(rows, "<f4"), width=self._width, tags=self._tags)[1]

    def _forget(self, count: int) -> None:
        with self._database.writing() as connection:
            lost = "SELECT content FROM passages WHERE row >= ?"
            connection.execute(
                f"UPDATE contents SET duration = NULL WHERE content IN ({lost})", (count,)
            )
            connection.execute("DELETE FROM tags WHERE row >= ?", (count,))
            connection.execute("DELETE FROM passages WHERE row >= ?", (count,))
            renew(connection)


def insert_passages(
    connection: Connection,
    passages: Sequence[Passage],
    peaks: NDArray[np.float16],
    *,
    rows: Sequence[int],
) -> None:
    """Describe rows in a database that has their contents.

    Parameters
    ----------
    peaks : ndarray, shape (len(passages), K)
    rows : sequence of int
        The number of each row.

    """
    silent = np.zeros(len(peaks), bool)
    if peaks.shape[1] == CLASSES:
        silent[find_silence(peaks, peaks[:, SILENCE])] = True
    connection.executemany(
        'INSERT INTO passages (row, content, number, start, "end", silent) '
        "VALUES (?, (SELECT content FROM contents WHERE source = ?), ?, ?, ?, ?)",
        [
            (row, bytes.fromhex(one.source), one.number, one.start, one.end, is_silent)
            for row, one, is_silent in zip(rows, passages, silent.tolist(), strict=True)
        ],
    )
    probabilities = as_probabilities(peaks)
    tags, places = np.nonzero(probabilities.T >= LEAST_PROBABILITY)  # in the order of the table
    kept = probabilities[places, tags]
    connection.executemany(
        "INSERT INTO tags (tag, row, probability) VALUES (?, ?, ?)",
        zip(tags.tolist(), np.asarray(rows)[places].tolist(), kept.tolist(), strict=True),
    )


def as_probabilities(logits: NDArray[np.float16]) -> NDArray[np.float64]:
    """Apply the logistic function to the logits of tags."""
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def renew(connection: Connection) -> None:
    """Change the generation of the rows: new ones may now be where others were."""
    connection.execute(
        "UPDATE library SET value = ? WHERE key = 'generation'", (f'"{secrets.token_hex(8)}"',)
    )
