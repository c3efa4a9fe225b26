"""The loudness of sounds ─► the database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils.audio.loudness import Loudness
from utils.search.database import Database
from utils.search.sound_passes import measure_each, pending


def measure(database: Database, folder: Path, *, progress: Callable[[int], Any]) -> int:
    """Measure the loudness of tagged contents that are new; what is done is kept if this stops.

    What is truncated, and was tagged, is measured as far as it goes. What has no loudness, or
    cannot be decoded, is not tried again. Files that changed, or whose disk does not answer, are.

    Parameters
    ----------
    progress : callable
        See `utils.search.sound_passes.measure_each`; called if there are any.

    Returns
    -------
    int
        How many were measured, or have no loudness; none if the index is read-only.

    """
    sounds = pending(database, "IN (SELECT content FROM contents WHERE NOT measured)")
    if not sounds or not database.is_writable:
        return 0
    found: dict[int, float | None] = {}

    def keep() -> None:
        with database.writing() as connection:
            connection.executemany(
                "UPDATE contents SET loudness = ?, measured = 1 WHERE content = ?",
                [(loudness, content) for content, loudness in found.items()],
            )
        found.clear()

    return measure_each(
        folder,
        sounds,
        Loudness.of,
        accept_truncated=True,
        take=found.__setitem__,
        keep=keep,
        progress=progress,
    )
