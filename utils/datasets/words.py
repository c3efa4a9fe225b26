"""Captions ─► cleaned captions, words, and the vocabulary of a data set."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_DASHES = re.compile("[-‐‑‒–—―−]")
_INNER_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")


def clean(text: str) -> str:
    """Reduce a caption to its words, as they are written.

    Dashes become spaces, runs of whitespace one space; punctuation and symbols are removed, except
    an apostrophe inside a word. Case is kept.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Words with one space between them; empty if there are none.

    """
    pieces = _INNER_APOSTROPHE.split(_DASHES.sub(" ", text))
    return " ".join("'".join(_without_punctuation(piece) for piece in pieces).split())


def tokens(text: str) -> list[str]:
    """Split a caption into its words, in lower case, without punctuation."""
    return clean(text).lower().split()


def vocabulary(
    caption_tokens: Mapping[str, Sequence[Sequence[str]]], num_clips: Mapping[str, int]
) -> dict[str, Any]:
    """Gather the words of a data set and count them.

    Parameters
    ----------
    caption_tokens : mapping of str to sequence of sequence of str
        For each split the tokens of each of its captions.
    num_clips : mapping of str to int
        For each split the number of its clips.

    Returns
    -------
    dict
        ``vocabulary``: the set of words of all splits; ``word_bags``: for each split the list of
        its words, in order and with repetitions; ``split_infos``: for each split a dict of
        ``num_clips``, ``num_captions`` and ``num_words``.

    """
    word_bags = {
        split: [word for words in captions for word in words]
        for split, captions in caption_tokens.items()
    }
    split_infos = {
        split: {
            "num_clips": num_clips[split],
            "num_captions": len(captions),
            "num_words": len(word_bags[split]),
        }
        for split, captions in caption_tokens.items()
    }
    return {
        "vocabulary": set().union(*word_bags.values()),
        "word_bags": word_bags,
        "split_infos": split_infos,
    }


def _without_punctuation(text: str) -> str:
    # Unicode categories: P* is punctuation, S* symbols, among which are $ + < = > ^ ` | ~.
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PS")
