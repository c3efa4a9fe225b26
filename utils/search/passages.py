"""The parts of sounds that a search finds, each with a row of the network's output.

A sound of at most 30 s is one passage, like a clip of Clotho; a longer one is cut into passages of
about 20 s. `utils.search.passage_rows` keeps the rows.

A row is the mean over the windows of its passage, then the largest logit of each tag in any one
window: the mean is what models are trained on, and the largest logits do not lose a short event in
a long passage. They are kept in 16 bits, two in the place of one number of the row, which changes a
probability by 0.0001 at most.

Shapes: W windows of a sound, D numbers each, K of them logits; R rows.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from utils.audio.windows import heard_weights
from utils.features.hearing import heard_mean

# In windows, one every 2.5 s: 30 s are 13, and 20 s are 8.
_WINDOWS_OF_A_WHOLE = 13
WINDOWS_OF_A_PASSAGE = 8


class Passage(NamedTuple):
    """A part of a sound that has a row of its own; a tuple, because there may be millions."""

    source: str  # SHA-256 of the content of the sound file
    number: int  # in the sound, from 0
    is_last: bool  # of the sound
    start: float  # in seconds
    end: float


def row_width(width: int, tags: int) -> int:
    """Return the numbers of a row: D = `width` means and K = `tags` peaks."""
    return width + (tags + 1) // 2


def cut_passages(
    source: str,
    batches: Iterable[NDArray[np.float32]],
    *,
    tags: int,
    duration: float,
    hop_seconds: float,
    window_seconds: float | None = None,
    first: int = 0,
) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
    """Cut a sound into passages while the network's output for its windows arrives.

    At most a passage and a half, and a batch, are in memory.

    Parameters
    ----------
    source : str
        See `Passage`.
    batches : iterable of ndarray, shape (some windows, D)
        Of a long sound, one window is centred on every hop.
    tags : int
        K.
    duration : float
        Of the sound, in seconds.
    hop_seconds, window_seconds : float
        Of the windows. With `window_seconds`, windows are weighed by their share of the sound (see
        `utils.features.hearing.heard_mean`); without, they count alike.
    first : int
        Number of the passage that the windows begin with, if those before it are done.

    Yields
    ------
    passages : list of Passage
        The next ones, as soon as they are complete.
    rows : ndarray, shape (number of passages, `row_width`)

    """
    number, held = first, []

    def cut(edges: list[int]) -> tuple[list[Passage], NDArray[np.float32]]:
        passages = [_passage(source, number + i, hop_seconds) for i in range(len(edges) - 1)]
        start = WINDOWS_OF_A_PASSAGE * number
        rows = [
            _row(np.stack(held[a:b]), tags, weights(range(start + a, start + b)))
            for a, b in itertools.pairwise(edges)
        ]
        return passages, np.stack(rows)

    def weights(numbers: range) -> NDArray[np.float32] | None:
        sizes = {"window": window_seconds, "hop": hop_seconds, "length": duration}
        return heard_weights(numbers, **sizes) if window_seconds else None

    for windows in batches:
        held += list(windows)
        # As many as are complete, however long the sound is.
        full = -((_WINDOWS_OF_A_WHOLE - len(held)) // WINDOWS_OF_A_PASSAGE)
        if full > 0:
            edges = [WINDOWS_OF_A_PASSAGE * i for i in range(full + 1)]
            yield cut(edges)
            number, held = number + full, held[edges[-1] :]
    # The last passage of a long sound is from half a passage to one and a half long.
    in_all = number + len(held) / WINDOWS_OF_A_PASSAGE
    split = [WINDOWS_OF_A_PASSAGE] if number and round(in_all) - number > 1 else []
    passages, rows = cut([0, *split, len(held)])
    passages[-1] = passages[-1]._replace(is_last=True, end=round(duration, 3))
    yield passages, rows


def split_rows(
    rows: NDArray[np.float32], *, width: int, tags: int
) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """View the means, shape (R, D), and the peaks, shape (R, K), of rows."""
    return rows[:, :width], rows[:, width:].view("<f2")[:, :tags]


def _passage(source: str, number: int, hop_seconds: float) -> Passage:
    seconds = WINDOWS_OF_A_PASSAGE * hop_seconds
    return Passage(
        source, number, False, round(number * seconds, 3), round((number + 1) * seconds, 3)
    )


def _row(
    windows: NDArray[np.float32], tags: int, weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Summarise the windows of a passage: (W, D) ─► (`row_width`,)."""
    peaks = np.zeros(tags + tags % 2, "<f2")
    peaks[:tags] = windows[:, :tags].max(axis=0)
    if weights is None:
        mean = windows.mean(axis=0, dtype=np.float32)
    else:
        mean = heard_mean(torch.from_numpy(windows), torch.from_numpy(weights)).numpy()
    return np.concatenate([mean, peaks.view("<f4")])
