"""Passes over tagged sounds: each is decoded once more to be measured, and what is done is kept.

They come after tagging, so that indexes of earlier versions get what they lack in the same way.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.audio.sound import Sound
from utils.audio.sound_file import UnusableSound, open_sound
from utils.runtime.errors import UnreadableError
from utils.search.database import Database
from utils.search.file_table import ListedFile
from utils.search.sound_folder import changed_since

_KEPT_AFTER = 1.0  # seconds of work: so much is lost if it is stopped, or one sound
_BLOCK_NUMBERS = 2**18  # decoded at a time, all channels together; bounds the memory

T = TypeVar("T", covariant=True)


class Measurer(Protocol[T]):
    """Takes the samples of a sound, (N, C) at a time, and tells what it has found."""

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take samples."""

    def finish(self) -> T:
        """Return what was found."""


class Pending(NamedTuple):
    """A content, and a file that has it."""

    content: int
    size: int
    mtime_ns: int
    name: str


def pending(database: Database, those: str) -> list[Pending]:
    """List the tagged contents of which this is true: ``IN (…)`` or ``NOT IN (…)``, in SQL."""
    found = database.all(
        "SELECT content, size, mtime_ns, min(path || name) FROM files JOIN folders USING (folder) "
        "JOIN contents USING (content) WHERE reason IS NULL AND duration IS NOT NULL AND content "
        f"{those} GROUP BY content"
    )
    return [Pending(*row) for row in found]


def measure_each(
    folder: Path,
    sounds: Sequence[Pending],
    measurer: Callable[[Sound], Measurer[T]],
    *,
    accept_truncated: bool,
    take: Callable[[int, T | None], Any],
    keep: Callable[[], Any],
    progress: Callable[[int], Any],
) -> int:
    """Decode sounds one after the other; what is taken is kept every second, if this stops.

    Files that changed, or whose disk does not answer, are left for the next time.

    Parameters
    ----------
    folder : Path
        What the names of `sounds` are relative to.
    measurer : callable
        Begins with a sound.
    accept_truncated : bool
        Use truncated sounds as far as they go.
    take : callable
        Called with a content, and what was found of it; None if it cannot be decoded.
    keep : callable
        Puts on the disk what was taken since it was called.
    progress : callable
        Called with the number of sounds; returns a context manager whose ``update`` is called with
        1 after each, and with 0 meanwhile.

    Returns
    -------
    int
        How many were taken.

    """
    since, done = time.monotonic(), 0
    with progress(len(sounds)) as bar:
        for content, size, mtime_ns, name in sounds:
            path = folder / name
            with contextlib.suppress(UnreadableError):
                found = _measured(path, measurer, accept_truncated, lambda: bar.update(0))
                if not changed_since(path, ListedFile(size, mtime_ns, None)):
                    take(content, found)
                    done += 1
            bar.update(1)
            if time.monotonic() - since > _KEPT_AFTER:
                keep()
                since = time.monotonic()
        keep()
    return done


def _measured(
    path: Path,
    measurer: Callable[[Sound], Measurer[T]],
    accept_truncated: bool,
    going_on: Callable[[], Any],
) -> T | None:
    try:
        with open_sound(path, accept_truncated=accept_truncated) as sound:
            measuring = measurer(sound)
            frames = max(1, _BLOCK_NUMBERS // sound.channels)
            while len(samples := sound.read(frames)):
                measuring.add(samples)
                going_on()
            return measuring.finish()
    except UnusableSound:  # reported when it is tagged
        return None
