"""Search by query lines: by meaning and by words, within what a line allows.

Shapes: D dimension of the shared space, N candidates, S passages of a sample.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from sqlite3 import Connection
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.search.engine import Engine
from utils.search.filters import Filter
from utils.search.fusion import SAMPLE
from utils.search.hits import Hit
from utils.search.near_duplicates import Duplicates, fold
from utils.search.nearest.exact import exact_scores
from utils.search.nearest.groups import Match
from utils.search.passage_rows import as_probabilities
from utils.search.queries import InvalidQuery
from utils.search.query_plan import Found, QueryPart, QueryPlan
from utils.search.sorting import BEST_FIRST, Order, hits_in_order, in_order

By = Literal["both", "meaning", "words"]
_LEAST = 200  # passages that are taken by meaning, and ten for each hit that is asked for
_PER_HIT = 10
_SEED = 0

Vectors = Mapping[str, NDArray[np.float32]]  # by text, (D,) each


class _Best(NamedTuple):
    """The best passage of a sound, and the description that it was found by."""

    score: float
    row: int
    description: str


class LineSearch:
    """Finds the sounds that query lines ask for, in the library of an engine.

    `embed` embeds a text: (D,); it raises an `InvalidQuery` if no word of it is known.
    """

    def __init__(self, engine: Engine, embed: Callable[[str], NDArray[np.float32]]) -> None:
        self._engine, self._embed = engine, embed

    def search(
        self,
        plan: QueryPlan,
        *,
        top: int,
        filters: Sequence[Filter] = (),
        by: By = "both",
        sort: Order = BEST_FIRST,
        duplicates: Duplicates = "show",
    ) -> list[tuple[Hit, NDArray[np.float32] | None]]:
        """Find the best sounds.

        Parameters
        ----------
        plan : QueryPlan
        top : int
            At most so many sounds.
        filters : sequence of Filter
            Passages must pass all.
        by : str
            ``meaning`` or ``words`` alone, or ``both``.
        sort : Order
            Of the best sounds. If the line describes nothing, of all that pass: then the hits are
            the first of them.
        duplicates : str
            See `Engine.search`.

        Returns
        -------
        list of (Hit, ndarray or None)
            Sorted, and the embedding of the description that it was found by, if any.

        Raises
        ------
        InvalidQuery
            If no word of a text is known, and no name or metadata has its words.

        """
        vectors: dict[str, NDArray[np.float32]] = {}
        try:
            if by != "words":
                vectors = {text: self._embed(text) for text in plan.texts}
        except InvalidQuery:
            options = {"top": top, "filters": filters, "sort": sort, "duplicates": duplicates}
            found = [] if by == "meaning" else self.search(plan, by="words", **options)
            if not found:
                raise
            return found
        database = self._engine.library.database
        if self._is_plain(plan, by):
            (part,) = plan.parts
            vector = vectors[part.description]
            hits = self._engine.search(vector, top=top, filters=filters, duplicates=duplicates)
            return [(hit, vector) for hit in hits_in_order(database, hits, sort)]
        best: dict[int, _Best] = {}
        for part in plan.parts:
            for sound, found in self._part(part, vectors, top, filters, by).items():
                if sound not in best or found.score > best[sound].score:
                    best[sound] = found
        ranked = sorted(best, key=lambda sound: (-best[sound].score, sound))
        if not plan.describes:
            ranked = in_order(database, ranked, sort)
        if duplicates == "fold":
            groups = fold(database, ranked, top)
        else:
            groups = {sound: [] for sound in ranked[:top]}
        hits = []
        for sound in in_order(database, list(groups), sort) if plan.describes else groups:
            score, row, description = best[sound]
            vector = vectors.get(description)
            hits += [
                (self._with_words(hit, score), vector)
                for hit in self._engine.explain(vector, [Match(sound, score, row, np.array([row]))])
            ]
        named = self._engine.with_duplicates([hit for hit, _ in hits], groups)
        return [
            (replace(hit, rank=rank), vector)
            for rank, (hit, (_, vector)) in enumerate(zip(named, hits, strict=True), start=1)
        ]

    def _is_plain(self, plan: QueryPlan, by: By) -> bool:
        """Whether a line is a description alone, whose words are nowhere or do not matter."""
        if len(plan.parts) > 1 or by == "words":
            return False
        (part,) = plan.parts
        if not part.description or part.negated or part.conditions:
            return False
        return by == "meaning" or not part.found_by_words(self._connection).contents

    def _part(
        self, part: QueryPart, vectors: Vectors, top: int, filters: Sequence[Filter], by: By
    ) -> dict[int, _Best]:
        """Score the candidates of a part of a line: the best passage of each sound."""
        library = self._engine.library
        allowed = part.rows(self._connection)
        if allowed is not None or filters:
            passing = self._engine.passing(filters)
            allowed = passing if allowed is None else np.intersect1d(passing, allowed)
        found = None if by == "meaning" else part.found_by_words(self._connection)
        rows = self._candidates(part, vectors, found, allowed, top, by)
        if not len(rows):
            return {}
        sounds = library.sound_of_row[rows]
        if by == "words":
            scores = part.score_by_words(sounds, found)
        else:
            scores = part.score(
                sounds,
                found=found,
                likeness={text: self._likeness(rows, vectors[text]) for text in part.texts},
                sample={text: self._sample @ vectors[text] for text in part.texts},
                probabilities={
                    tag: as_probabilities(library.peaks[rows, tag]) for tag in part.tags
                },
            )
        order = np.lexsort((rows, -scores))
        best: dict[int, _Best] = {}
        for place in order:
            one = _Best(float(scores[place]), int(rows[place]), part.description)
            best.setdefault(int(sounds[place]), one)
        return best

    def _candidates(
        self,
        part: QueryPart,
        vectors: Vectors,
        found: Found | None,
        allowed: NDArray[np.int64] | None,
        top: int,
        by: By,
    ) -> NDArray[np.int64]:
        """List rows, in increasing order: those that are most alike, and those with the words."""
        engine, parts = self._engine, []
        if part.description and by != "words":
            vector = vectors[part.description]
            sounding = engine.sounding(vector)
            among = allowed if allowed is None else allowed[sounding[allowed] >= 0]
            count = max(_LEAST, _PER_HIT * top)
            alike = engine.nearest.search(vector[None], count, among=among)[1][0]
            parts.append(alike[sounding[alike] >= 0])
        elif allowed is not None and (by != "words" or not (part.words or part.codes)):
            parts.append(allowed)  # the line only filters
        if found and found.contents:
            there = np.isin(engine.library.sound_of_row, found.contents)
            if allowed is not None:
                there &= np.isin(np.arange(len(there)), allowed)
            parts.append(np.flatnonzero(there))
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def _likeness(
        self, rows: NDArray[np.int64], vector: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        of = np.zeros(len(rows), np.int64)
        return exact_scores(vector[None], of, np.asarray(self._engine.nearest.vectors), rows)

    @cached_property
    def _sample(self) -> NDArray[np.float32]:
        """Embeddings of passages that are chosen without regard to queries: (S, D)."""
        rows = self._engine.library.rows
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(_SEED).choice(rows, SAMPLE, replace=False))
        return np.array(self._engine.nearest.vectors[rows])

    @staticmethod
    def _with_words(hit: Hit, score: float) -> Hit:
        """Note what words add to a hit, and what is negated takes away."""
        return replace(hit, score=score, words=score - hit.projection - hit.tag_branch)

    @property
    def _connection(self) -> Connection:
        return self._engine.library.database.connection
