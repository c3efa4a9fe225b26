"""Queries in words: which can be searched for, and what of them is not read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.runtime.errors import InputError, shown

if TYPE_CHECKING:  # takes seconds to import
    from models.sentence_encoder import Reading


class InvalidQuery(InputError):
    """A text that cannot be searched for."""


def check_query(text: str) -> None:
    """Refuse a text that no sentence model can read.

    Raises
    ------
    InvalidQuery
        If it is empty or not UTF-8.

    """
    if not text.strip():
        raise InvalidQuery("the query is empty: describe a sound.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidQuery(f"the query {text!a} is not UTF-8. Fix its encoding.") from None


def require_words(texts: Sequence[str], readings: Sequence["Reading"]) -> None:
    """Refuse texts whose embeddings would be those of other texts without a known word.

    Raises
    ------
    InvalidQuery
        If the sentence model reads no word of a text.

    """
    for text, reading in zip(texts, readings, strict=True):
        if not reading.has_words:
            raise InvalidQuery(
                f"the sentence model reads no word of {shown(text)}. Describe a sound in English."
            )


def notes_on(reading: "Reading", parts: int = 1) -> list[str]:
    """Say which words of a query do not count, and if it was read in parts."""
    notes = []
    if reading.unread:
        unread = ", ".join(map(shown, reading.unread))
        notes.append(f"not read by the sentence model, and left out: {unread}")
    if parts > 1:
        notes.append(
            f"long: {reading.pieces} word pieces, read in {parts} parts of at most "
            f"{reading.most}; the parts are averaged"
        )
    return notes
