"""The database of an index: what is known of the files of a folder, in one SQLite file.

Vectors stand beside it in files that are mapped into memory (`utils.search.passage_rows`). Several
threads and processes may read while one writes. As SQLite's write-ahead log asks, all of them run
on one machine.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError
from utils.search.upgrading import FORMAT, UPGRADES, upgrade
from utils.search.words import folded_words, words_of

LEAST_PROBABILITY = 0.05  # of the tags that are kept
_PATIENCE = 60.0  # seconds that a process waits for another's write

_SCHEMA = """
CREATE TABLE library (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- What a sound file holds, once, whatever its names.
CREATE TABLE contents (
  content INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: pages and programs refer to it
  source BLOB NOT NULL UNIQUE,                -- SHA-256
  duration REAL,                              -- in seconds; NULL until all passages are kept
  cells INTEGER NOT NULL DEFAULT 0,           -- whether all cells are kept
  notes TEXT NOT NULL DEFAULT '',             -- what is odd about it
  described INTEGER NOT NULL DEFAULT 0,       -- whether what follows was read from a file
  rate INTEGER, channels INTEGER, format TEXT,
  date TEXT,                                  -- YYYY-MM-DD, or the first part of it
  description TEXT,
  ucs TEXT,                                   -- CatID
  loudness REAL,                              -- integrated, in LUFS; NULL if it has none
  measured INTEGER NOT NULL DEFAULT 0         -- whether that was measured
) STRICT;
CREATE INDEX untagged_contents ON contents (content) WHERE duration IS NULL OR NOT cells;
CREATE INDEX undescribed_contents ON contents (content) WHERE NOT described;
CREATE INDEX unmeasured_contents ON contents (content) WHERE NOT measured;

CREATE TABLE folders (
  folder INTEGER PRIMARY KEY,
  path BLOB NOT NULL UNIQUE                   -- relative: empty, or with a slash at its end
) STRICT;

CREATE TABLE files (
  file INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL REFERENCES folders,
  name BLOB NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  content INTEGER REFERENCES contents,        -- NULL: read it again
  reason TEXT,                                -- why it cannot be used
  UNIQUE (folder, name)
) STRICT;
CREATE INDEX files_of_contents ON files (content);
CREATE INDEX unusable_files ON files (file) WHERE reason IS NOT NULL;

CREATE TABLE passages (
  row INTEGER PRIMARY KEY,                    -- of the vectors
  content INTEGER NOT NULL REFERENCES contents,
  number INTEGER NOT NULL,                    -- in the sound, from 0
  start REAL NOT NULL,
  "end" REAL NOT NULL,                        -- in seconds
  silent INTEGER NOT NULL,
  UNIQUE (content, number)
) STRICT;
CREATE INDEX silent_passages ON passages (row) WHERE silent;

-- The probable tags of passages, by their largest probability in any window.
CREATE TABLE tags (
  tag INTEGER NOT NULL,
  row INTEGER NOT NULL,
  probability REAL NOT NULL,
  PRIMARY KEY (tag, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
  content INTEGER NOT NULL REFERENCES contents,
  field TEXT NOT NULL,
  value TEXT NOT NULL
) STRICT;
CREATE INDEX metadata_of_contents ON metadata (content);

CREATE TABLE collections (
  collection INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- Sounds and parts of sounds in collections, in the order in which they were added.
CREATE TABLE collected (
  item INTEGER PRIMARY KEY AUTOINCREMENT,
  collection INTEGER NOT NULL REFERENCES collections,
  content INTEGER NOT NULL REFERENCES contents,
  start REAL, "end" REAL,                     -- in seconds; NULL: all of the sound
  label TEXT NOT NULL,                        -- what was searched for
  score REAL,
  path BLOB NOT NULL                          -- of one of its files then
) STRICT;
CREATE UNIQUE INDEX collected_once
  ON collected (collection, content, ifnull(start, -1), ifnull("end", -1));
CREATE INDEX collected_contents ON collected (content);
CREATE TRIGGER collected_contents_stay BEFORE DELETE ON contents
WHEN EXISTS (SELECT 1 FROM collected WHERE content = old.content) BEGIN
  SELECT RAISE(ABORT, 'a content that is in a collection cannot be deleted');
END;

CREATE TABLE fingerprints (                   -- each in a part of a file: `near_duplicates`
  content INTEGER PRIMARY KEY,
  start INTEGER NOT NULL, count INTEGER NOT NULL,  -- steps of the file
  sounding INTEGER NOT NULL                   -- steps without the silence around them
) STRICT;
CREATE TABLE fingerprint_keys (
  key INTEGER NOT NULL,
  content INTEGER NOT NULL,
  PRIMARY KEY (key, content)
) STRICT, WITHOUT ROWID;

-- Pairs of the same sound in other forms: both (a, b) and (b, a).
CREATE TABLE near_duplicates (
  content INTEGER NOT NULL,
  other INTEGER NOT NULL,
  PRIMARY KEY (content, other)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5 (      -- rowid: files.file
  name, folder, metadata, tokenize = "unicode61 remove_diacritics 2"
);
CREATE TRIGGER words_of_files AFTER DELETE ON files BEGIN
  DELETE FROM words WHERE rowid = old.file;
END;
"""

# For a new file, which takes its name when it is complete.
_WITHOUT_LOG = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -250000;"


class Database:
    """An SQLite file, with one connection to read and one to write, for all threads.

    More would take descriptors, of which a server has few.

    Parameters
    ----------
    path : Path
        An existing file that `Database.create` made. One of an earlier format is upgraded.

    Raises
    ------
    InputError
        If it is not the database of an index, cannot be read, or is to be upgraded and cannot be
        written.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opening, self._writing = threading.Lock(), threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        written_as = self.value("format")
        if written_as in UPGRADES:
            self._upgrade(written_as)
        elif written_as != FORMAT:
            raise InputError(
                f"{path} is of format {written_as}, and this version reads {FORMAT}. Name another "
                "folder with --index, or move this one away: all sounds are tagged again."
            )

    def _upgrade(self, written_as: int) -> None:
        if not _is_writable(self.path):
            raise InputError(
                f"{self.path} is of format {written_as}, is upgraded to {FORMAT} when it is "
                "opened, and cannot be written. Open it once as a user who may write to it, or "
                "copy its folder and name the copy with --index."
            )
        with self.writing() as connection:
            upgrade(connection)

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        fill: Callable[[sqlite3.Connection], Any] | None = None,
        **values: Any,
    ) -> "Database":
        """Make a database in one step: note values for `value`, and let `fill` write the rest."""
        new = path.with_name(f"{path.name}.new")
        with _reported(path):
            for old in (new, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
                old.unlink(missing_ok=True)  # a log outlives a database that was deleted
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
                connection.executescript(_WITHOUT_LOG)
                add_functions(connection)
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
                noted = {**values, "format": FORMAT}
                connection.executemany(
                    "INSERT INTO library VALUES (?, ?)",
                    [(key, json.dumps(value)) for key, value in noted.items()],
                )
                if fill:
                    fill(connection)
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(path)
        return cls(path)

    def value(self, key: str) -> Any:
        """Return what is noted under a key; None if nothing is."""
        found = self.all("SELECT value FROM library WHERE key = ?", key)
        return json.loads(found[0][0]) if found else None

    def all(self, query: str, *values: Any) -> list[tuple]:
        """Return all rows of a query."""
        with _reported(self.path):
            return self.connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """Return the first number of a query's first row."""
        return self.all(query, *values)[0][0]

    def stream(self, query: str, *values: Any) -> Iterator[tuple]:
        """Yield the rows of a query as they are found."""
        with _reported(self.path):
            yield from self.connection.execute(query, values)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change the database in one step, which is on disk when the block has ended.

        What is changed can be read by the connection that the block gets, and by others afterwards.
        """
        with _reported(self.path), self._writing:
            self._writer = self._writer or _connect(self.path)
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    @property
    def is_writable(self) -> bool:
        """Whether it can be changed: its folder may be another user's, or of a read-only disk."""
        return _is_writable(self.path)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection to read."""
        with self._opening:
            self._reader = self._reader or _connect(self.path)
        return self._reader


def places(values: Sequence[Any]) -> str:
    """Write a placeholder for each value: (?, ?, ?)."""
    return f"({', '.join('?' * len(values))})"


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}. {_advice(error)}") from error


def _connect(path: Path) -> sqlite3.Connection:
    address = path.resolve().as_uri()
    writable = _is_writable(path)
    if writable:
        mode = "rw"
    elif _has_log(path):
        mode = "ro"
    else:
        mode = "ro&immutable=1"
    connection = sqlite3.connect(
        f"{address}?mode={mode}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,  # SQLite is built for several threads
    )
    add_functions(connection)
    connection.text_factory = os.fsdecode  # names of files, and so reasons, need not be UTF-8
    if writable:
        connection.execute("PRAGMA synchronous = FULL")  # after a crash, no vector is known by half
    return connection


def add_functions(connection: sqlite3.Connection) -> None:
    """Add what our SQL calls."""
    for function in (words_of, folded_words):
        connection.create_function(function.__name__, 1, function, deterministic=True)


def _is_writable(path: Path) -> bool:
    """Whether the log of a database can be written: its folder may be of a read-only disk."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _has_log(path: Path) -> bool:
    """Whether a process is writing, or was killed, so that what is new stands in its log."""
    parts = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    return any(part.exists() and part.stat().st_size for part in parts)


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return "Free some space and run the same command again."
    if name in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return "Another process is writing to it. Wait for it, or stop it."
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or "no such table" in str(error):
        return (
            "It is damaged. Restore it from a backup, or move its folder away: all sounds are "
            "tagged again, and collections are lost."
        )
    return "Check that its folder may be read and written and that the disk has room."
