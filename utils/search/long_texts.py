"""Texts that are longer than the sentence model reads: split, and their vectors averaged.

Shapes: N texts, D numbers of a sentence vector.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from utils.search.queries import require_words

if TYPE_CHECKING:  # takes seconds to import
    from models.sentence_encoder import Reading
    from utils.features.sentences import TextEncoder

# Where a text is split, best first: after a sentence, after a comma, between words.
_BREAKS = tuple(map(re.compile, (r"[.!?;:…]\s+", r",\s+", r"\s+")))


def embed_whole(texts: Sequence[str], encoder: "TextEncoder") -> NDArray[np.float32]:
    """Embed N texts of any length: unit sentence vectors, shape (N, D).

    The vectors of a long text's parts are averaged, weighted by their word pieces.

    Raises
    ------
    InvalidQuery
        If the sentence model reads no word of a text.

    """
    parts = _read_parts(texts, encoder)
    if not parts:
        return encoder([])
    # All at once: a vector depends, in its last bits, on its batch.
    vectors = encoder([part for of_text in parts for part, _ in of_text])
    ends = np.cumsum([len(of_text) for of_text in parts])
    return np.stack(
        [
            rows[0] if len(rows) == 1 else _average(rows, [part.pieces for _, part in of_text])
            for rows, of_text in zip(np.split(vectors, ends[:-1]), parts, strict=True)
        ]
    )


def split_to_fit(
    text: str, reading: "Reading", read: Callable[[list[str]], list["Reading"]]
) -> list[tuple[str, "Reading"]]:
    """Split a text into parts that the sentence model reads to their ends.

    It is halved, as near to the middle as a sentence ends, or else at a comma or between words,
    until all parts are short enough.

    Parameters
    ----------
    text : str
    reading : Reading
        Of the text.
    read : callable
        Reads texts.

    Returns
    -------
    list of (str, Reading)
        The text itself if it is short enough.

    """
    if reading.pieces <= reading.most or len(text) < 2:
        return [(text, reading)]
    at = _middle_break(text)
    halves = [text[:at].strip(), text[at:].strip()]
    return [
        part
        for half, of_half in zip(halves, read(halves), strict=True)
        for part in split_to_fit(half, of_half, read)
    ]


def _read_parts(texts: Sequence[str], encoder: "TextEncoder") -> list[list[tuple[str, "Reading"]]]:
    """Split N texts into the parts that are embedded, each with what is read of it."""
    readings = encoder.read(texts)
    split = [
        split_to_fit(text, reading, encoder.read)
        for text, reading in zip(texts, readings, strict=True)
    ]
    # A part without a known word would have the vector of another such text.
    parts = [[part for part in of_text if part[1].has_words] for of_text in split]
    require_words(
        texts,
        [
            reading._replace(has_words=bool(of_text))
            for reading, of_text in zip(readings, parts, strict=True)
        ],
    )
    return parts


def _average(rows: NDArray[np.float32], weights: Sequence[int]) -> NDArray[np.float32]:
    """Average unit vectors, (some, D) ─► a unit vector (D,)."""
    mean = np.average(rows, axis=0, weights=weights)
    return (mean / max(np.linalg.norm(mean), 1e-12)).astype(np.float32)


def _middle_break(text: str) -> int:
    """Find where to halve a text: in its middle half, or in the middle if nothing ends there."""
    middle, quarter = len(text) // 2, len(text) // 4
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, quarter, len(text) - quarter)]
        if ends:
            return min(ends, key=lambda end: abs(end - middle))
    return middle
