"""A recording with queries: what the sources of a moment set make."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.datasets.moment_lists import MomentQuery, as_row

SAMPLE_RATE = 32_000  # Hz, that of PaSST


@dataclass(frozen=True)
class Query:
    """A text, the windows (start, end) in seconds that it describes, and their level in dB."""

    text: str
    windows: list[tuple[float, float]]
    fg_db: float


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples at 32 kHz, shape (N,), and what can be asked about them."""

    samples: NDArray[np.float32]
    queries: list[Query]

    def rows(self, vid: str) -> Iterator[str]:
        """Write the queries as rows of a list in the form of line/lighthouse."""
        seconds = round(len(self.samples) / SAMPLE_RATE, 2)
        for number, query in enumerate(self.queries, start=1):
            qid, windows = f"{vid}_{number}", tuple(query.windows)
            row = as_row(MomentQuery(qid, query.text, vid, seconds, windows))
            yield json.dumps(row | {"fg_dB": query.fg_db})


def window(start: int, samples: int) -> tuple[float, float]:
    """Return start and end of a sound, given in samples, in seconds to the hundredth."""
    return round(start / SAMPLE_RATE, 2), round((start + samples) / SAMPLE_RATE, 2)
