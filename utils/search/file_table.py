"""The files of a folder in the database of its index. Names need not be UTF-8."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from sqlite3 import Connection
from typing import NamedTuple

from utils.audio.sound import is_truncation
from utils.datasets.ucs import parse_ucs_name
from utils.search.database import Database
from utils.search.words import split_name

# The words of a content's metadata.
_WORDS_OF_METADATA = (
    "SELECT group_concat(words_of(value), ' ') FROM metadata WHERE content = ? AND field != 'fault'"
)
_COLUMNS = "size, mtime_ns, source, reason"


class ListedFile(NamedTuple):
    """A file as it was scanned. If size or time differ now, it is read again."""

    size: int
    mtime_ns: int
    source: str | None  # SHA-256 of its content; None: read it again
    reason: str | None = None  # why it cannot be used


def files_in(database: Database, folder: str) -> dict[str, ListedFile]:
    """Return the files of a folder by name, without those of its sub-folders."""
    rows = database.all(
        f"SELECT name, {_COLUMNS} FROM files JOIN folders USING (folder) "
        "LEFT JOIN contents USING (content) WHERE path = ?",
        os.fsencode(folder),
    )
    return {os.fsdecode(name): _listed(*rest) for name, *rest in rows}


def folders(database: Database) -> list[str]:
    """List all folders that have files."""
    return [os.fsdecode(path) for (path,) in database.all("SELECT path FROM folders")]


def untagged(database: Database, *, cells: bool) -> dict[str, ListedFile]:
    """Return the usable files by path whose contents lack passages or, if wanted, cells."""
    lacking = "duration IS NULL OR NOT cells"  # as the index has it
    rows = database.all(
        f"SELECT path || name, {_COLUMNS} FROM files JOIN folders USING (folder) "
        f"JOIN contents USING (content) WHERE reason IS NULL AND (duration IS NULL OR ?) "
        f"AND content IN (SELECT content FROM contents WHERE {lacking}) ORDER BY path, name",
        cells,
    )
    return {path: _listed(*rest) for path, *rest in rows}


def unusable(database: Database) -> dict[str, str]:
    """Return why files cannot be used, by path."""
    rows = database.all(
        "SELECT path || name, reason FROM files JOIN folders USING (folder) "
        "WHERE reason IS NOT NULL ORDER BY path, name"
    )
    return dict(rows)


def record(database: Database, files: Mapping[str, ListedFile | None]) -> None:
    """Note files by path, or with None that they are gone; on disk when this returns."""
    if files:
        with database.writing() as connection:
            insert(connection, files)


def insert(connection: Connection, files: Mapping[str, ListedFile | None]) -> None:
    """Do what `record` does, as a part of a longer step."""
    numbers: dict[bytes, int] = {}  # of folders
    for path, file in files.items():
        top, slash, name = os.fsencode(path).rpartition(b"/")
        if top + slash not in numbers:
            numbers[top + slash] = _number_of(connection, top + slash)
        place = (numbers[top + slash], name)
        if file is None:
            connection.execute("DELETE FROM files WHERE folder = ? AND name = ?", place)
            continue
        content = None
        if file.source:
            source = bytes.fromhex(file.source)
            connection.execute("INSERT OR IGNORE INTO contents (source) VALUES (?)", (source,))
            query = "SELECT content FROM contents WHERE source = ?"
            (content,) = connection.execute(query, (source,)).fetchone()
        written = connection.execute(
            "INSERT INTO files (folder, name, size, mtime_ns, content, reason) "
            "VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT)) ON CONFLICT (folder, name) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, "
            "reason = excluded.reason RETURNING file",
            (*place, file.size, file.mtime_ns, content, file.reason and os.fsencode(file.reason)),
        )
        (number,) = written.fetchone()
        if ucs := parse_ucs_name(PurePath(path).stem):
            connection.execute(
                "UPDATE contents SET ucs = ? WHERE content = ?", (ucs.cat_id, content)
            )
        connection.execute(
            "INSERT OR REPLACE INTO words (rowid, name, folder, metadata) "
            f"VALUES (?, ?, ?, ({_WORDS_OF_METADATA}))",
            (number, _words(name), _words(top), content),
        )


def update_words(connection: Connection, content: int) -> None:
    """Index the words of a content's metadata, as a part of a longer step."""
    connection.execute(
        f"UPDATE words SET metadata = ({_WORDS_OF_METADATA}) "
        "WHERE rowid IN (SELECT file FROM files WHERE content = ?)",
        (content, content),
    )


def remove_folder(database: Database, folder: str) -> int:
    """Forget a folder with its files, without its sub-folders; returns how many files it had."""
    with database.writing() as connection:
        number = _number_of(connection, os.fsencode(folder))
        count = connection.execute("DELETE FROM files WHERE folder = ?", (number,)).rowcount
        connection.execute("DELETE FROM folders WHERE folder = ?", (number,))
    return count


def forgive_truncation(database: Database) -> None:
    """Forget that files cannot be used because they are truncated."""
    truncated = {path for path, reason in unusable(database).items() if is_truncation(reason)}
    with database.writing() as connection:
        connection.executemany(
            "UPDATE files SET reason = NULL WHERE name = ? AND "
            "folder = (SELECT folder FROM folders WHERE path = ?)",
            [_split(path) for path in truncated],
        )


def _words(name: bytes) -> str:
    return split_name(name.decode(errors="replace"))


def _split(path: str) -> tuple[bytes, bytes]:
    """Split a path into name and folder."""
    top, slash, name = os.fsencode(path).rpartition(b"/")
    return name, top + slash


def _number_of(connection: Connection, folder: bytes) -> int:
    connection.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (folder,))
    query = "SELECT folder FROM folders WHERE path = ?"
    return connection.execute(query, (folder,)).fetchone()[0]


def _listed(size: int, mtime_ns: int, source: bytes | None, reason: str | None) -> ListedFile:
    return ListedFile(size, mtime_ns, source and source.hex(), reason)
