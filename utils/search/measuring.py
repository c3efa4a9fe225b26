"""The loudness of sounds ─► the database.

It is measured after sounds are tagged, by decoding them once more, so that indexes of earlier
versions get it in the same way. That takes little beside tagging.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils.audio.loudness import Loudness
from utils.audio.sound import Sound
from utils.audio.sound_file import UnusableSound, open_sound
from utils.runtime.errors import UnreadableError
from utils.search.database import Database
from utils.search.file_table import ListedFile
from utils.search.sound_folder import changed_since

_KEPT_AFTER = 1.0  # seconds of measuring: so much is lost if it is stopped, or one sound
_BLOCK_NUMBERS = 2**18  # decoded at a time, all channels together; bounds the memory


def measure(database: Database, folder: Path, *, progress: Callable[[int], Any]) -> int:
    """Measure the loudness of tagged contents that are new; what is done is kept if this stops.

    What is truncated, and was tagged, is measured as far as it goes. What has no loudness, or
    cannot be decoded, is not tried again. Files that changed, or whose disk does not answer, are.

    Parameters
    ----------
    progress : callable
        Called with the number of contents, if there are any; returns a context manager whose
        ``update`` is called with 1 after each, and with 0 meanwhile.

    Returns
    -------
    int
        How many were measured, or have no loudness; none if the index is read-only.

    """
    pending = database.all(
        "SELECT content, size, mtime_ns, min(path || name) FROM files JOIN folders USING (folder) "
        "JOIN contents USING (content) WHERE reason IS NULL AND duration IS NOT NULL AND content "
        "IN (SELECT content FROM contents WHERE NOT measured) GROUP BY content"
    )
    if not pending or not database.is_writable:
        return 0
    found: dict[int, float | None] = {}
    since, done = time.monotonic(), 0
    with progress(len(pending)) as bar:
        for content, size, mtime_ns, name in pending:
            path = folder / name
            with contextlib.suppress(UnreadableError):
                loudness = _loudness(path, lambda: bar.update(0))
                if not changed_since(path, ListedFile(size, mtime_ns, None)):
                    found[content] = loudness
                    done += 1
            bar.update(1)
            if time.monotonic() - since > _KEPT_AFTER:
                _keep(database, found)
                found, since = {}, time.monotonic()
        _keep(database, found)
    return done


def _loudness(path: Path, going_on: Callable[[], Any]) -> float | None:
    try:
        with open_sound(path, accept_truncated=True) as sound:
            return _measured(sound, going_on)
    except UnusableSound:  # reported when it is tagged
        return None


def _measured(sound: Sound, going_on: Callable[[], Any]) -> float | None:
    loudness = Loudness.of(sound)
    frames = max(1, _BLOCK_NUMBERS // sound.channels)
    while len(samples := sound.read(frames)):
        loudness.add(samples)
        going_on()
    return loudness.finish()


def _keep(database: Database, found: dict[int, float | None]) -> None:
    with database.writing() as connection:
        connection.executemany(
            "UPDATE contents SET loudness = ?, measured = 1 WHERE content = ?",
            [(loudness, content) for content, loudness in found.items()],
        )
