"""Databases of earlier versions ─► the format of this one, in place."""

import json
from sqlite3 import Connection

FORMAT = 5  # of an index; before 4, there was no database
# Statements that make the next format of each. What they add stands in the same words in the
# schema, at the ends of its tables.
UPGRADES = {
    4: (
        "ALTER TABLE contents ADD COLUMN loudness REAL",
        "ALTER TABLE contents ADD COLUMN measured INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX unmeasured_contents ON contents (content) WHERE NOT measured",
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
