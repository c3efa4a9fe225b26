"""The folder of an index: opened, made, or converted from an earlier version's."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from utils.files import reading
from utils.files.journal import generation, has_origin, read_rows
from utils.files.locks import FolderLock, as_input_error
from utils.runtime.errors import InputError
from utils.search.database import Database
from utils.search.file_table import ListedFile, insert
from utils.search.passage_rows import PassageRows, insert_passages
from utils.search.passages import Passage, row_width, split_rows

DATABASE = "library.sqlite"
_ROWS = "passages"
# Of versions that had no database: a list of files, and a journal.
_LIST = "files.json"
_JOURNAL = ("keys.jsonl", "origin.json", "failed.jsonl", "notes.jsonl", "generation")
_CONVERTED = 2  # a format; before it, there were no peaks, and some sounds were cut short
_AT_ONCE = 10_000  # passages


def open_index(
    folder: Path,
    index: Path,
    *,
    origin: Mapping[str, Any],
    width: int,
    tags: int,
    note: Callable[[str], Any] = lambda text: None,
) -> tuple[Database, PassageRows]:
    """Open the index of a folder; it is made if missing, and converted if it is an earlier one's.

    See `utils.search.library.update_library`.
    """
    if index.resolve() == folder.resolve() or index.resolve() in folder.resolve().parents:
        raise InputError(f"--index {index} contains the sounds. Name a folder for the index alone.")
    if index.exists() and not index.is_dir():
        raise InputError(f"--index {index} is a file. Name a folder.")
    path, journal = index / DATABASE, index / _ROWS
    if not path.exists():
        with FolderLock(journal), as_input_error(index):
            if not path.exists():  # another process may have made it meanwhile
                _make(folder, index, origin=dict(origin), width=width, tags=tags, note=note)
    database = Database(path)
    if database.value("origin") != _plain({**origin, "width": width}):
        raise _made_otherwise(index)
    if database.value("folder") != str(folder):
        with database.writing() as connection:
            connection.execute("DELETE FROM files")
            connection.execute(
                "UPDATE library SET value = ? WHERE key = 'folder'", (json.dumps(str(folder)),)
            )
    rows = PassageRows(journal, database, width=width, tags=tags)
    rows.forget_lost()
    return database, rows


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are when they have been noted in a database."""
    return json.loads(json.dumps(values))


def _make(
    folder: Path,
    index: Path,
    *,
    origin: dict[str, Any],
    width: int,
    tags: int,
    note: Callable[[str], Any],
) -> None:
    journal, full = index / _ROWS, row_width(width, tags)
    values = {
        "origin": {**origin, "width": width},
        "folder": str(folder),
        "token": secrets.token_hex(8),  # of the numbers of sounds
    }
    earlier = journal / "origin.json"
    fill = None
    if earlier.exists():
        if has_origin(journal, {**origin, "format": _CONVERTED}, full):
            note(f"{index} was made by an earlier version: it is converted, once.")
            peaks = split_rows(read_rows(journal, full)[1], width=width, tags=tags)[1]
            values["generation"] = generation(journal)
            passages = list(_read_passages(journal, full))
            files = _read_list(index / _LIST, folder)

            def fill(connection: Connection) -> None:
                insert(connection, files)
                _insert_all(connection, passages, peaks)

        elif has_origin(journal, origin, width):
            note(f"{index} was made by an earlier version: all sounds are tagged again, once.")
        else:
            raise _made_otherwise(index)
    values.setdefault("generation", secrets.token_hex(8))
    Database.create(index / DATABASE, fill=fill, **values)
    for old in (index / _LIST, *(journal / name for name in _JOURNAL)):
        old.unlink(missing_ok=True)


def _read_passages(journal: Path, width: int) -> Iterator[tuple[int, Passage, str]]:
    """Read rows, their passages and notes on their sounds, each passage once."""
    seen = set()
    keys, _ = read_rows(journal, width)
    try:
        for row, (source, number, is_last, start, end, *notes) in enumerate(map(json.loads, keys)):
            if (source, number) not in seen:
                seen.add((source, number))
                passage = Passage(source, number, is_last, start, end)
                yield row, passage, notes[0] if notes else ""
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{journal} does not contain passages ({error}). Move it away: the sounds will be "
            "tagged again."
        ) from None


def _insert_all(
    connection: Connection, passages: list[tuple[int, Passage, str]], peaks: Any
) -> None:
    sources = dict.fromkeys(bytes.fromhex(passage.source) for _, passage, _ in passages)
    connection.executemany(
        "INSERT OR IGNORE INTO contents (source) VALUES (?)", [(source,) for source in sources]
    )
    for first in range(0, len(passages), _AT_ONCE):
        some = passages[first : first + _AT_ONCE]
        rows = [row for row, *_ in some]
        insert_passages(connection, [passage for _, passage, _ in some], peaks[rows], rows=rows)
    connection.executemany(
        "UPDATE contents SET duration = ?, notes = ? WHERE source = ? AND "
        "(SELECT count(*) FROM passages WHERE passages.content = contents.content) = ?",
        [
            (passage.end, notes, bytes.fromhex(passage.source), passage.number + 1)
            for _, passage, notes in passages
            if passage.is_last
        ],
    )


def _read_list(path: Path, folder: Path) -> dict[str, ListedFile]:
    """Read an earlier version's list of files; empty if it is missing, or of another folder."""
    if not path.exists():
        return {}
    content = reading.read_json(path)
    try:
        listed = {name: ListedFile(*entry) for name, entry in content["files"].items()}
        return listed if content["folder"] == str(folder) else {}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of sounds that this program wrote ({error}). Name another "
            "folder with --index, or move that file away."
        ) from None


def _made_otherwise(index: Path) -> InputError:
    return InputError(
        f"{index} was made with another PaSST, precision or settings of `search`, or by a version "
        "that cut some sounds short. Name another folder with --index, or move this one away: all "
        "sounds are tagged again."
    )
