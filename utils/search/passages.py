"""The parts of sounds that a search finds, each with a row of the network's output.

A sound of at most 30 s is one passage, like a clip of Clotho; a longer one is cut into passages of
about 20 s. A journal (`utils.files.journal`) keeps the rows, under `Passage.key`.

Shapes: R rows in the journal, W windows of a sound, D numbers each.
"""

import itertools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.files.journal import read_rows
from utils.runtime.errors import InputError

# In windows, one every 2.5 s: 30 s are 13, and 20 s are 8.
_WINDOWS_OF_A_WHOLE = 13
_WINDOWS_OF_A_PASSAGE = 8


class Passage(NamedTuple):
    """A part of a sound that has a row of its own; a tuple, because there may be millions."""

    source: str  # SHA-256 of the content of the sound file
    number: int  # in the sound, from 0
    count: int  # of passages in the sound
    start: float  # in seconds
    end: float
    duration: float  # of the whole sound

    @property
    def key(self) -> str:
        """All of it as one text, under which the journal keeps the row."""
        return json.dumps(self)


class PassageRows(NamedTuple):
    """The passages in a journal."""

    passages: list[Passage]  # R
    table: NDArray[np.float32]  # (R, D), memory-mapped
    complete: dict[str, list[int]]  # by source: the rows of contents that have all their passages


def cut_passages(
    source: str, windows: NDArray[np.float32], duration: float, hop_seconds: float
) -> tuple[list[Passage], NDArray[np.float32]]:
    """Average the network's output over the windows of each passage of a sound.

    Parameters
    ----------
    windows : ndarray, shape (W, D)
        Of a long sound, one centred on every hop.
    duration : float
        Of the sound, in seconds.

    Returns
    -------
    passages : list of Passage
    rows : ndarray, shape (number of passages, D)

    """
    count = 1
    if len(windows) > _WINDOWS_OF_A_WHOLE:
        # The last passage is from half a passage to one and a half long.
        count = max(1, round(len(windows) / _WINDOWS_OF_A_PASSAGE))
    edges = [number * _WINDOWS_OF_A_PASSAGE for number in range(count)] + [len(windows)]
    times = [round(edge * hop_seconds, 3) for edge in edges[:-1]] + [round(duration, 3)]
    passages = [
        Passage(source, number, count, start, end, times[-1])
        for number, (start, end) in enumerate(itertools.pairwise(times))
    ]
    rows = [windows[a:b].mean(axis=0, dtype=np.float32) for a, b in itertools.pairwise(edges)]
    return passages, np.stack(rows)


def read_passages(journal: Path, width: int) -> PassageRows:
    """Read the passages of a journal of D = `width`, even while another process appends to it.

    Raises
    ------
    InputError
        If it contains something else.

    """
    keys, table = read_rows(journal, width)
    try:
        passages = [Passage(*fields) for fields in json.loads(f"[{','.join(keys)}]")]
        if len(passages) != len(keys):
            raise ValueError("a key is not a passage")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{journal} does not contain passages ({error}). Move it away: the sounds will be "
            "tagged again."
        ) from None
    rows: dict[str, list[int]] = {}
    for row, passage in enumerate(passages):
        if passage.number == 0:  # an earlier attempt may have been interrupted
            rows[passage.source] = [row]
        else:
            rows.setdefault(passage.source, []).append(row)
    complete = {
        source: of_sound
        for source, of_sound in rows.items()
        if len(of_sound) == passages[of_sound[0]].count
    }
    return PassageRows(passages, table, complete)
