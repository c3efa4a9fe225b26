"""Which sounds of a library are the same in other forms: fingerprints, and pairs that they find.

``fingerprints/steps.bin`` beside the database has the fingerprints of all contents, one after
another (`utils.audio.fingerprint`); a table says where each is. Another is an inverted index of
their keys: a new fingerprint is compared with those that share one. So nothing is compared with
everything, and the pairs do not depend on the order in which sounds come.

Steps are written before the database knows of them, so that a kill at any moment loses at most
those in flight.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from utils.audio.fingerprint import (
    STEP,
    Fingerprinter,
    is_same,
    keys_of,
    may_be_cut,
    sounding_part,
)
from utils.files.locks import LockFile, as_input_error
from utils.search.database import Database, places
from utils.search.sound_passes import measure_each, pending

Duplicates = Literal["fold", "show"]  # near duplicates among hits: under the best one, or each
FOLDER = "fingerprints"
_MOST_COMPARED = 1000  # sounds that share most keys with a new one
_AT_ONCE = 10_000  # sounds that are looked up; SQLite takes 32 766

_LACKING = "NOT IN (SELECT content FROM fingerprints)"


def take_fingerprints(
    database: Database,
    index: Path,
    folder: Path,
    *,
    accept_truncated: bool = False,
    progress: Callable[[int], Any],
) -> int:
    """Take the fingerprints of tagged contents that lack one, and find their near duplicates.

    What is done is kept if this stops. What cannot be decoded is not tried again. Files that
    changed, or whose disk does not answer, are.

    Parameters
    ----------
    index : Path
        The folder of the index.
    folder : Path
        The sounds.
    accept_truncated : bool
        Whether truncated sounds are used as far as they go.
    progress : callable
        See `utils.search.sound_passes.measure_each`; called if there are any.

    Returns
    -------
    int
        How many were done: none if another process does this, or the index is read-only.

    Raises
    ------
    InputError
        If they cannot be written.

    """
    steps = index / FOLDER / "steps.bin"
    is_done = not _is_lost(database, steps) and not pending(database, _LACKING)
    if is_done or not database.is_writable:
        return 0
    lock = LockFile(index / FOLDER / "lock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(as_input_error(steps))
        if not lock.try_to_hold():
            return 0
        stack.callback(lock.release)
        file = stack.enter_context(steps.open("a+b"))
        if _is_lost(database, steps):
            _forget_lost(database, steps)
        # Asked again: another process may have finished before this one had the lock.
        sounds = pending(database, _LACKING)
        if not sounds:
            return 0
        taken = _Taken(database, steps, file)
        return measure_each(
            folder,
            sounds,
            lambda sound: Fingerprinter(sound.samplerate),
            accept_truncated=accept_truncated,
            take=taken.add,
            keep=taken.keep,
            progress=progress,
        )


def not_compared(database: Database) -> int:
    """Count the sounds that lack a fingerprint, so that their near duplicates are not known."""
    return len(pending(database, _LACKING))


def near(database: Database, sounds: Sequence[int] | None = None) -> dict[int, list[int]]:
    """Return the near duplicates of sounds that have any, by default of all.

    They may be without a file by now.
    """
    found: dict[int, list[int]] = defaultdict(list)
    query = "SELECT content, other FROM near_duplicates"
    if sounds is None:
        rows = database.all(query)
    else:
        rows = database.all(f"{query} WHERE content IN {places(sounds)}", *sounds)
    for content, other in rows:
        found[content].append(other)
    return found


def fold(database: Database, ranked: Sequence[int], top: int | None = None) -> dict[int, list[int]]:
    """Put sounds under the best one that they are near duplicates of.

    Parameters
    ----------
    ranked : sequence of int
        Sounds by number, best first.
    top : int
        At most so many groups; by default all.

    Returns
    -------
    dict of int to list of int
        The best sound of each group, in order, and its near duplicates in the library, which may be
        among `ranked` or not. Each sound is in one group.

    """
    groups: dict[int, list[int]] = {}
    folded: set[int] = set()
    for first in range(0, len(ranked), _AT_ONCE):
        some = ranked[first : first + _AT_ONCE]
        others = near(database, some)
        for sound in some:
            if sound in folded:
                continue
            under = [
                one for one in others.get(sound, ()) if one not in folded and one not in groups
            ]
            groups[sound] = under
            folded.update(under)
            if len(groups) == top:
                return groups
    return groups


class _Taken:
    """Fingerprints that are being kept, with their keys and near duplicates."""

    def __init__(self, database: Database, steps: Path, file: Any) -> None:
        self._database, self._path, self._file = database, steps, file
        self._added: list[tuple[int, NDArray]] = []

    def add(self, content: int, steps: NDArray | None) -> None:
        """Add a fingerprint, which is empty if the sound cannot be decoded."""
        self._added.append((content, np.empty(0, STEP) if steps is None else steps))

    def keep(self) -> None:
        """Write what was added; on disk when this returns."""
        start = self._database.one("SELECT ifnull(max(start + count), 0) FROM fingerprints")
        self._file.truncate(start * STEP.itemsize)
        for _, steps in self._added:
            self._file.write(steps.tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
        with self._database.writing() as connection:
            for content, steps in self._added:
                begin, end = sounding_part(steps)
                row = (content, start, len(steps), end - begin)
                connection.execute("INSERT INTO fingerprints VALUES (?, ?, ?, ?)", row)
                start += len(steps)
                self._pair(connection, content, steps, end - begin)
        self._added.clear()

    def _pair(self, connection: Connection, content: int, steps: NDArray, sounding: int) -> None:
        """Find the near duplicates of a content among those that were kept before it."""
        keys = keys_of(steps).tolist()
        slack = 2 * may_be_cut(sounding) + 2
        candidates = connection.execute(
            "SELECT content, start, count FROM fingerprint_keys JOIN fingerprints USING (content) "
            f"WHERE key IN {places(keys)} AND sounding BETWEEN ? AND ? "
            "GROUP BY content ORDER BY count(*) DESC LIMIT ?",
            (*keys, sounding - slack, sounding + slack, _MOST_COMPARED),
        ).fetchall()
        for other, start, count in candidates:
            if is_same(steps, _read(self._path, start, count)):
                pairs = [(content, other), (other, content)]
                connection.executemany("INSERT INTO near_duplicates VALUES (?, ?)", pairs)
        connection.executemany(
            "INSERT INTO fingerprint_keys VALUES (?, ?)", [(key, content) for key in keys]
        )


def _read(path: Path, start: int, count: int) -> NDArray:
    return np.fromfile(path, STEP, count=count, offset=start * STEP.itemsize)


def _is_lost(database: Database, steps: Path) -> bool:
    """Whether the file has lost steps that the database knows of."""
    known = database.one("SELECT ifnull(max(start + count), 0) FROM fingerprints")
    return known > 0 and (not steps.exists() or steps.stat().st_size < known * STEP.itemsize)


def _forget_lost(database: Database, steps: Path) -> None:
    """Forget fingerprints that the file has lost."""
    held = steps.stat().st_size // STEP.itemsize
    lost = "(SELECT content FROM fingerprints WHERE start + count > ?)"
    with database.writing() as connection:
        connection.execute(f"DELETE FROM fingerprint_keys WHERE content IN {lost}", (held,))
        connection.execute(
            f"DELETE FROM near_duplicates WHERE content IN {lost} OR other IN {lost}",
            (held, held),
        )
        connection.execute("DELETE FROM fingerprints WHERE start + count > ?", (held,))
