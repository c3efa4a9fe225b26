"""A query line ─► what to embed, which passages may be hits, and how candidates are scored.

For each of the plan's parts, a search

1. embeds `QueryPart.texts`;
2. asks the database for `QueryPart.rows` and `QueryPart.found_by_words`;
3. takes as candidates, within these rows, the passages most like the description and all passages
   of the contents found by words;
4. scores them by `QueryPart.score`, and keeps of each content the best passage.

Of several parts, the best score of a content counts.

Shapes: N candidates, S passages of a sample.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.search.fusion import UNDESCRIBED, Usual, fuse
from utils.search.negation import named_tags, penalty, split_negation
from utils.search.queries import InvalidQuery
from utils.search.query_fields import Condition, condition_of, has_phrase, select_rows
from utils.search.query_line import Alternative, parse_line
from utils.search.words import find_contents, phrase_match, split_words, word_matches

_DIGITS_OF_A_CODE = 3  # without letters: "2 dogs" and "12 dogs" have none
_MARKS = ".,;:!?()[]'\""
_MOST_CONDITIONS = 500  # of an alternative; SQLite takes expressions of a depth of 1000

Numbers = NDArray[np.floating]


class Found(NamedTuple):
    """The contents that were found by words, and their evidence in nats."""

    words: dict[int, float]
    codes: dict[int, float]

    @property
    def contents(self) -> list[int]:
        """All of them."""
        return [*(self.words | self.codes)]


@dataclass(frozen=True)
class Negated:
    """A text that counts against a sound, and the tags that it names."""

    text: str
    tags: tuple[int, ...]


@dataclass(frozen=True)
class QueryPart:
    """One of the alternatives of a line.

    Attributes
    ----------
    description : str
        What hits are like; empty if they are only filtered.
    negated : tuple of Negated
    conditions : tuple of Condition
        All must hold.
    words, codes : tuple of str
        FTS5 expressions of the words to look for, any of which may match. Codes are those that
        say nothing of the sound, such as SC012, and quoted phrases.

    """

    description: str
    negated: tuple[Negated, ...]
    conditions: tuple[Condition, ...]
    words: tuple[str, ...]
    codes: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """What to embed: the description, if there is one, and the negated texts."""
        described = [self.description] if self.description else []
        return list(dict.fromkeys([*described, *(negated.text for negated in self.negated)]))

    @property
    def tags(self) -> list[int]:
        """The tags whose probabilities `score` needs, by their numbers."""
        return sorted({tag for negated in self.negated for tag in negated.tags})

    def rows(self, connection: Connection) -> NDArray[np.int64] | None:
        """List the rows of passages that may be hits, in their order; None if all may."""
        if not self.conditions:
            return None
        return np.array(select_rows(connection, self.conditions), np.int64)

    def found_by_words(self, connection: Connection) -> Found:
        """Rank the contents of files whose words are those of the line."""
        return Found(find_contents(connection, self.words), find_contents(connection, self.codes))

    def score(
        self,
        contents: Sequence[int] | NDArray[np.integer],
        *,
        found: Found | None,
        likeness: Mapping[str, Numbers],
        sample: Mapping[str, Numbers],
        probabilities: Mapping[int, Numbers],
    ) -> NDArray[np.float64]:
        """Score candidates.

        Parameters
        ----------
        contents : sequence of N int
            Of which content each candidate is a passage.
        found : Found, optional
            From `found_by_words`, whose passages are all among the candidates; None searches by
            meaning alone.
        likeness : mapping of str to ndarray, shape (N,)
            By text of `texts`: dot products of its embedding with those of the candidates.
        sample : mapping of str to ndarray, shape (S,)
            The same of `utils.search.fusion.SAMPLE` passages of the library, chosen at random and
            not by the query.
        probabilities : mapping of int to ndarray, shape (N,)
            By tag of `tags`: the largest probability in any window of a candidate.

        Returns
        -------
        ndarray, shape (N,)
            The likeness to the description, where nothing is negated or found by words.

        """
        meaning = likeness.get(self.description, np.zeros(len(contents)))
        usual = Usual.of(sample[self.description]) if self.description else UNDESCRIBED
        words, codes = (_per_candidate(of, contents) for of in found or Found({}, {}))
        scores = fuse(meaning, words, codes, usual=usual)
        described = usual.standardise(meaning)
        for negated in self.negated:
            shares = [probabilities[tag] for tag in negated.tags]
            scores -= usual.deviation * penalty(
                likeness[negated.text],
                np.max(shares, axis=0) if shares else np.zeros(len(contents)),
                usual=Usual.of(sample[negated.text]),
                described=described,
                correlation=self._correlation(sample, negated.text),
            )
        return scores

    def score_by_words(
        self, contents: Sequence[int] | NDArray[np.integer], found: Found
    ) -> NDArray[np.float64]:
        """Score candidates by words alone: (N,), 0 without the words, 1 at most, about."""
        evidence = _per_candidate(found.words, contents) + _per_candidate(found.codes, contents)
        none = np.zeros(len(contents))
        return fuse(none, none, evidence, usual=UNDESCRIBED)

    def _correlation(self, sample: Mapping[str, Numbers], text: str) -> float:
        if not self.description:
            return 0.0
        both = np.stack([sample[self.description], sample[text]]).astype(np.float64)
        return float(np.corrcoef(both)[0, 1]) if both.std(axis=1).all() else 0.0


@dataclass(frozen=True)
class QueryPlan:
    """What a query line asks for.

    Attributes
    ----------
    parts : tuple of QueryPart
        Its alternatives.
    notes : tuple of str
        How the line was understood, where that is not obvious.

    """

    parts: tuple[QueryPart, ...]
    notes: tuple[str, ...]

    @property
    def describes(self) -> bool:
        """Whether hits are like a description; else they only have what the line names."""
        return any(part.description for part in self.parts)

    @property
    def texts(self) -> list[str]:
        """What to embed, for all parts."""
        return list(dict.fromkeys(text for part in self.parts for text in part.texts))


def read_query(
    line: str, tags: Sequence[str], *, knows: Callable[[str], bool] = lambda word: True
) -> QueryPlan:
    """Read a query line; see `utils.search.query_line` and `utils.search.query_fields`.

    Parameters
    ----------
    line : str
    tags : sequence of str
        The names of all tags.
    knows : callable
        Whether the sentence model has a word as a whole, such as `Embedder.knows`.

    Raises
    ------
    InvalidQuery
        If the line is empty, not UTF-8, or has too many conditions.
    InvalidLine
        If it cannot be read; points at the place.

    Examples
    --------
    >>> plan = read_query('rain without dogs "roof" duration:<5', ["Dog", "Rain"])
    >>> plan.texts, plan.parts[0].tags
    (['rain', 'dogs'], [0])
    >>> plan.notes
    ('without: dogs',)

    """
    parts, notes = [], []
    for alternative in parse_line(line).alternatives:
        description, without = split_negation(alternative.description)
        if without:
            notes.append(f"without: {', '.join(without)}")
        parts.append(_part(alternative, description, without, line=line, tags=tags, knows=knows))
    return QueryPlan(tuple(parts), tuple(notes))


def _part(
    alternative: Alternative,
    description: str,
    without: Sequence[str],
    *,
    line: str,
    tags: Sequence[str],
    knows: Callable[[str], bool],
) -> QueryPart:
    fields = [condition_of(term, line=line, tags=tags) for term in alternative.fields]
    phrases = [(phrase.text, phrase.negated) for phrase in alternative.phrases]
    words = [(word, True) for word in alternative.without]
    needed = [
        has_phrase(text).negated() if negated else has_phrase(text)
        for text, negated in [*phrases, *words]
    ]
    if (count := len(needed) + len(fields)) > _MOST_CONDITIONS:
        raise InvalidQuery(
            f"the query has {count} fields, phrases and words with a dash, more than "
            f"{_MOST_CONDITIONS}. Leave some out."
        )
    codes = _codes(description, knows)
    # Phrases are in all hits; here they order these: a name comes before a page of notes.
    exact = [phrase_match(text) for text, negated in phrases if not negated]
    negated = dict.fromkeys([*without, *(_spoken(word) for word in alternative.without)])
    return QueryPart(
        description=description,
        negated=tuple(Negated(text, tuple(named_tags(text, tags))) for text in negated),
        conditions=(*needed, *fields),
        words=tuple(word_matches(" ".join(w for w in description.split() if w not in codes))),
        codes=(*exact, *word_matches(" ".join(codes))),
    )


def _per_candidate(
    evidence: Mapping[int, float], contents: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.float64]:
    return np.array([evidence.get(int(content), 0.0) for content in contents], np.float64)


def _codes(description: str, knows: Callable[[str], bool]) -> list[str]:
    """List the words that are to be looked up, whatever the description means: SC012, 48213.

    If the sentence model knows none of the words, as in "Zildjian", all of them are.
    """
    words = [word for word in description.split() if split_words(word)]
    if not any(knows(word.strip(_MARKS)) for word in words):
        return words
    return [word for word in words if _is_code(word)]


def _is_code(word: str) -> bool:
    letters, digits = any(map(str.isalpha, word)), sum(map(str.isdigit, word))
    return digits >= _DIGITS_OF_A_CODE or (letters and digits > 0)


def _spoken(word: str) -> str:
    """Write a word for the sentence model: car_horn ─► car horn."""
    return " ".join(split_words(word))
