"""Libraries for tests of what searches in them, without tagging."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from utils.search.database import Database
from utils.search.file_table import ListedFile, insert
from utils.search.library import Library
from utils.search.passage_rows import insert_passages
from utils.search.passages import Passage


def source_of(sound: int) -> str:
    """The SHA-256 that stands for the content of a sound."""
    return f"{sound:064x}"


def make_library(
    path: Path,
    sounds: list[tuple[str, ...]],
    table: np.ndarray,
    peaks: np.ndarray,
    *,
    folder: Path | None = None,
    seconds: float | list[float] = 20.0,
    passages: list[int] | None = None,
    gone: int = 0,
    silent: Sequence[int] = (),
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Library:
    """A library of sounds by the paths of each, numbered from 0.

    `seconds` are those of a passage or, for each, of the sound; `gone` rows come before those of
    the sounds; `silent` are rows.
    """
    passages = passages or [1] * len(sounds)
    described = [Passage(source_of(len(sounds)), i, False, i, i + 1) for i in range(gone)]
    durations = []
    for sound, count in enumerate(passages):
        each = seconds[sound] / count if isinstance(seconds, list) else seconds
        described += [
            Passage(source_of(sound), i, i == count - 1, each * i, each * (i + 1))
            for i in range(count)
        ]
        durations.append(each * count)
    files = {
        name: ListedFile(1, 1, source_of(sound))
        for sound, names in enumerate(sounds)
        for name in names
    }

    def fill(connection):
        contents = [
            (i, bytes.fromhex(source_of(i)), 1, duration)
            for i, duration in enumerate([*durations, 1.0])
        ]
        connection.executemany(
            "INSERT INTO contents (content, source, cells, duration) VALUES (?, ?, ?, ?)", contents
        )
        insert(connection, files)
        insert(connection, {name: ListedFile(1, 1, None, why) for name, why in failed.items()})
        insert_passages(connection, described, peaks, rows=range(len(described)))
        connection.executemany(
            "UPDATE passages SET silent = 1 WHERE row = ?", [(row,) for row in silent]
        )

    database = Database.create(path, token="t", generation="g", fill=fill)
    of_row = np.repeat(np.arange(len(sounds)), passages)
    return Library(
        folder=(folder or path.parent).resolve(),
        database=database,
        table=table,
        peaks=peaks,
        sound_of_row=np.concatenate([np.full(gone, -1), of_row]),
        derived=path.parent,
    )
