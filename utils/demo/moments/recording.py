"""A recording with queries: what the sources of a moment set make."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 32_000  # Hz, that of PaSST


@dataclass(frozen=True)
class Query:
    """A text, the windows [start, end] in seconds that it describes, and their level in dB."""

    text: str
    windows: list[list[float]]
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
            row = {
                "qid": f"{vid}_{number}",
                "query": query.text,
                "duration": int(seconds) if seconds == int(seconds) else seconds,
                "vid": vid,
                "relevant_windows": query.windows,
                "fg_dB": query.fg_db,
            }
            yield json.dumps(row)


def window(start: int, samples: int) -> list[float]:
    """Return the [start, end] of a sound, given in samples, in seconds to the hundredth."""
    return [round(start / SAMPLE_RATE, 2), round((start + samples) / SAMPLE_RATE, 2)]
