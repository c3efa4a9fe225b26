import os
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.crashes import in_child
from utils.runtime.errors import InputError
from utils.search import upgrading
from utils.search.database import Database


def content_of(path):
    """The schema of a database, and its rows."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        columns = {
            name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in tables
        }
        others = "SELECT name, sql FROM sqlite_master WHERE type != 'table' ORDER BY name"
        values = connection.execute("SELECT * FROM library ORDER BY key").fetchall()
        contents = connection.execute("SELECT * FROM contents").fetchall()
        return columns, connection.execute(others).fetchall(), values, contents


@pytest.fixture
def new(tmp_path):
    """What a database of this version holds, with one content."""

    def fill(connection):
        connection.execute("INSERT INTO contents (source, date) VALUES (x'00', '2021')")

    path = tmp_path / "library.sqlite"
    Database.create(path, token="t", fill=fill).close()
    return content_of(path)


@pytest.fixture
def old(new, tmp_path):
    """The same of format 4."""
    path = tmp_path / "library.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP INDEX unmeasured_contents")
        for column in ("loudness", "measured"):
            connection.execute(f"ALTER TABLE contents DROP COLUMN {column}")
        for table in ("fingerprints", "fingerprint_keys", "near_duplicates"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE library SET value = '4' WHERE key = 'format'")
    return path


def test_a_database_of_format_4_becomes_what_a_new_one_is(old, new):
    assert content_of(old) != new
    database = Database(old)
    assert database.value("token") == "t"
    database.close()
    assert content_of(old) == new
    Database(old).close()
    assert content_of(old) == new


def test_an_upgrade_that_fails_changes_nothing(old, new, monkeypatch):
    before = content_of(old)
    with monkeypatch.context() as patch:
        patch.setitem(upgrading.UPGRADES, 4, (*upgrading.UPGRADES[4], "SELECT gone"))
        with pytest.raises(InputError, match="no such column: gone"):
            Database(old)
    assert content_of(old) == before
    Database(old).close()
    assert content_of(old) == new


def test_an_upgrade_that_is_killed_begins_again(old, new):
    before = content_of(old)

    def dying(statements):
        yield from statements
        os.kill(os.getpid(), signal.SIGKILL)

    def upgrade():
        upgrading.UPGRADES[4] = dying(upgrading.UPGRADES[4])
        Database(old)

    assert in_child(upgrade) == -signal.SIGKILL
    assert content_of(old) == before
    Database(old).close()
    assert content_of(old) == new


def test_a_database_that_cannot_be_written_is_not_upgraded(old, monkeypatch):
    before = old.read_bytes()
    monkeypatch.setattr("utils.search.database._is_writable", lambda path: False)
    with pytest.raises(InputError, match=r"is of format 4, is upgraded to 5 .* cannot be written"):
        Database(old)
    assert old.read_bytes() == before
