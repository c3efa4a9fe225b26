"""Named collections of sounds and parts of sounds, in the database of an index.

They refer to contents, not to files: sounds stay collected when files are renamed or moved, and
come back when a file that was deleted does.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from utils.runtime.errors import InputError, counted, shown
from utils.search.database import Database
from utils.search.excerpts import Excerpt, Pick

_LISTED = 20  # names, in an error
LONGEST_NAME = 200  # characters


class Collection(NamedTuple):
    """A collection: its number, its name, and how many sounds and parts it has."""

    number: int
    name: str
    count: int


class Collections:
    """The collections of an index. Whatever is changed is on the disk when a method returns.

    Raises
    ------
    InputError
        By all methods: if there is no such collection, or a name is empty, too long or taken.

    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Collection]:
        """List them by name."""
        rows = self._database.all(
            "SELECT collection, name, count(item) FROM collections LEFT JOIN collected "
            "USING (collection) GROUP BY collection ORDER BY name COLLATE NOCASE, name"
        )
        return [Collection(*row) for row in rows]

    def get(self, number: int) -> Collection:
        """Return a collection by its number."""
        found = next((one for one in self.all() if one.number == number), None)
        if found is None:
            raise NoCollection(f"There is no collection number {number}. It may have been deleted.")
        return found

    def find(self, name: str) -> Collection:
        """Return a collection by its name."""
        known = self.all()
        name = _checked(name)
        found = next((one for one in known if one.name == name), None)
        if found is None:
            names = ", ".join(shown(one.name) for one in known[:_LISTED])
            others = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            there = f"There are {names}{others}." if known else "There are none yet."
            raise NoCollection(f"there is no collection {shown(name)}. {there}")
        return found

    def create(self, name: str) -> Collection:
        """Make an empty collection."""
        name = _checked(name)
        with self._database.writing() as connection:
            written = connection.execute(
                "INSERT OR IGNORE INTO collections (name) VALUES (CAST(? AS TEXT)) "
                "RETURNING collection",
                (os.fsencode(name),),
            ).fetchone()
        if written is None:
            raise _taken(name)
        return Collection(written[0], name, 0)

    def find_or_create(self, name: str) -> Collection:
        """Return a collection by its name; it is made if missing."""
        try:
            return self.create(name)
        except NameTaken:
            return self.find(name)

    def rename(self, number: int, name: str) -> Collection:
        """Give a collection another name."""
        before, name = self.get(number), _checked(name)
        with self._database.writing() as connection:
            written = connection.execute(
                "UPDATE OR IGNORE collections SET name = CAST(? AS TEXT) WHERE collection = ?",
                (os.fsencode(name), number),
            )
        if not written.rowcount:
            raise _taken(name)
        return before._replace(name=name)

    def delete(self, number: int) -> None:
        """Delete a collection; its sounds stay where they are."""
        self.get(number)
        with self._database.writing() as connection:
            connection.execute("DELETE FROM collected WHERE collection = ?", (number,))
            connection.execute("DELETE FROM collections WHERE collection = ?", (number,))

    def add(self, number: int, excerpts: Iterable[Excerpt]) -> int:
        """Add what is not in a collection yet; returns how many those were."""
        self.get(number)
        with self._database.writing() as connection:
            before = connection.total_changes
            connection.executemany(
                'INSERT OR IGNORE INTO collected (collection, content, start, "end", label, score, '
                "path) VALUES (?, ?, ?, ?, CAST(? AS TEXT), ?, ?)",
                [(number, *_row(excerpt)) for excerpt in excerpts],
            )
            return connection.total_changes - before

    def remove(self, number: int, items: Sequence[int]) -> int:
        """Take items out of a collection; returns how many of them it had."""
        self.get(number)
        with self._database.writing() as connection:
            before = connection.total_changes
            connection.executemany(
                "DELETE FROM collected WHERE collection = ? AND item = ?",
                [(number, item) for item in items],
            )
            return connection.total_changes - before

    def picks(self, number: int) -> dict[int, Pick]:
        """Return what a collection has by the numbers of the items, in the order of adding."""
        self.get(number)
        rows = self._database.all(
            'SELECT item, content, start, "end", label, score, path FROM collected '
            "WHERE collection = ? ORDER BY item",
            number,
        )
        return {item: Pick(*rest, os.fsdecode(path)) for item, *rest, path in rows}


class NoCollection(InputError):
    """There is no such collection."""


class NameTaken(InputError):
    """A collection of this name exists."""


def added_to(collection: Collection, added: int, given: int) -> str:
    """Say what was added."""
    there = f"; {given - added} of {given} were there" if added < given else ""
    return f"{counted(added, 'item')} added to the collection {shown(collection.name)}{there}"


def _checked(name: str) -> str:
    name = name.strip()
    if not name:
        raise InputError("The name of the collection is empty. Give it a name.")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"The name of the collection has {len(name)} characters, more than {LONGEST_NAME}. "
            "Shorten it."
        )
    return name


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is a collection {shown(name)} already. Choose another name.")


def _row(excerpt: Excerpt) -> tuple:
    place = (excerpt.start, excerpt.end) if excerpt.is_part else (None, None)
    label, path = os.fsencode(excerpt.label), os.fsencode(excerpt.known_as)
    return (excerpt.sound, *place, label, excerpt.score, path)
