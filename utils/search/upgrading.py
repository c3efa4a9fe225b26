"""Databases of earlier versions ─► the format of this one, in place."""

import json
from sqlite3 import Connection

FORMAT = 5  # of an index; before 4, there was no database
# Statements that make the next format of each. The schema has the same tables, with what is added
# to existing ones at their ends, and the indexes in the same words.
UPGRADES = {
    4: (
        "ALTER TABLE contents ADD COLUMN loudness REAL",
        "ALTER TABLE contents ADD COLUMN measured INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX unmeasured_contents ON contents (content) WHERE NOT measured",
        "CREATE TABLE fingerprints (content INTEGER PRIMARY KEY, start INTEGER NOT NULL, "
        "count INTEGER NOT NULL, sounding INTEGER NOT NULL) STRICT",
        "CREATE TABLE fingerprint_keys (key INTEGER NOT NULL, content INTEGER NOT NULL, "
        "PRIMARY KEY (key, content)) STRICT, WITHOUT ROWID",
        "CREATE TABLE near_duplicates (content INTEGER NOT NULL, other INTEGER NOT NULL, "
        "PRIMARY KEY (content, other)) STRICT, WITHOUT ROWID",
    ),
}


def format_of(connection: Connection) -> int | None:
    """Return the format that a database says it has."""
    found = connection.execute("SELECT value FROM library WHERE key = 'format'").fetchone()
    return json.loads(found[0]) if found else None


def upgrade(connection: Connection) -> None:
    """Bring a database to this version's format, as a part of a step that fails or succeeds."""
    while (written_as := format_of(connection)) in UPGRADES:
        for statement in UPGRADES[written_as]:
            connection.execute(statement)
        connection.execute(
            "UPDATE library SET value = ? WHERE key = 'format'", (json.dumps(written_as + 1),)
        )
