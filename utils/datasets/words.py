"""Captions ─► cleaned captions, words, and the vocabulary of a data set."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DASHES = re.compile("[-\u2010-\u2015\u2212]")
_INNER_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")


@dataclass(frozen=True)
class Vocabulary:
    """The words of a data set."""

    vocabulary: set[str]  # of all splits
    word_bags: dict[str, list[str]]  # of each split, in order and with repetitions
    split_infos: dict[str, dict[str, int]]  # num_clips, num_captions and num_words of each split


def clean(text: str) -> str:
    """Reduce a caption to its words, in the case in which they are written.

    Dashes become spaces, runs of whitespace one space. Punctuation and symbols are removed, except
    an apostrophe inside a word.

    Examples
    --------
    >>> clean("A well-known bird's song: 'cuckoo'!")
    "A well known bird's song cuckoo"

    """
    pieces = _INNER_APOSTROPHE.split(_DASHES.sub(" ", text))
    return " ".join("'".join(map(_without_punctuation, pieces)).split())


def tokens(text: str) -> list[str]:
    """Split a caption into its words, in lower case, without punctuation.

    Examples
    --------
    >>> tokens("Rain falls, and it's loud.")
    ['rain', 'falls', 'and', "it's", 'loud']

    """
    return clean(text).lower().split()


def vocabulary(
    caption_tokens: Mapping[str, Sequence[Sequence[str]]], num_clips: Mapping[str, int]
) -> Vocabulary:
    """Gather the words of a data set and count them.

    `caption_tokens` are the tokens of each caption of each split; `num_clips` are by split.
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
    return Vocabulary(set().union(*word_bags.values()), word_bags, split_infos)


def _without_punctuation(text: str) -> str:
    # Unicode categories: P* is punctuation, S* symbols, among which are $ + < = > ^ ` | ~.
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PS")
