"""Search a library of sounds by vectors, and say why each sound was found.

Shapes: R rows of the library's table, D dimension of the shared space, K AudioSet classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CLASSES
from utils.datasets.ucs import read_categories, suggest_ucs
from utils.search.database import LEAST_PROBABILITY
from utils.search.embedder import Embedder
from utils.search.filters import Filter
from utils.search.hits import Hit, Reason, Ucs
from utils.search.library import Library, LibrarySound, Place
from utils.search.near_duplicates import Duplicates, fold
from utils.search.nearest.approximate import ApproximateSearch
from utils.search.nearest.exact import ExactSearch
from utils.search.nearest.groups import Match, best_groups
from utils.search.passage_rows import as_probabilities

_SILENCE = "Silence"  # a tag
_REASONS = 5  # tags that explain a hit
_LIKELY = 0.1  # least probability of a tag that is named


class Engine:
    """Finds passages of a library by their embeddings.

    Parameters
    ----------
    library : Library
        Its rows are AudioSet logits (K) and scene embeddings.
    embedder : Embedder
    nearest : ExactSearch or ApproximateSearch
        Over the embeddings of all R rows of the library.

    Notes
    -----
    The network says nothing about digital silence, so that it could be found for anything: sounds
    that have no other passage to find come last, unless the query asks for silence.

    """

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        *,
        nearest: ExactSearch | ApproximateSearch,
    ) -> None:
        self.library = library
        self.tags = embedder.tags
        self._embedder = embedder
        self.nearest = nearest
        self._silent = library.silent
        self._sounding = library.sound_of_row.copy()  # -1 for silent rows, too
        self._sounding[self._silent] = -1
        # If few rows are of sounds that are gone, it is faster to skip them among the results.
        self._mostly_there = 2 * len(library.rows) > len(library.table)

    def search(
        self,
        query: NDArray[np.float32],
        *,
        top: int = 10,
        filters: Sequence[Filter] = (),
        itself: int | None = None,
        duplicates: Duplicates = "show",
    ) -> list[Hit]:
        """Find the best sounds for a query.

        Parameters
        ----------
        query : ndarray, shape (D,) or (Q, D)
            The embedding of a text, or those of the passages of an example.
        top : int
            At most so many sounds.
        filters : sequence of Filter
            Passages must pass all.
        itself : int, optional
            The sound of the library that the example is: first among equal scores.
        duplicates : str
            ``fold`` puts near duplicates under the best of them.

        Returns
        -------
        list of Hit
            Best first. A sound of several passages appears once, with the best of them.

        """
        if duplicates == "show":
            return self.explain(query, self._find(query, top, filters, itself))
        count = top
        while True:
            found = {match.group: match for match in self._find(query, count, filters, itself)}
            groups = fold(self.library.database, list(found), top)
            if len(groups) == top or len(found) < count:
                hits = self.explain(query, [found[sound] for sound in groups])
                return self.with_duplicates(hits, groups)
            count *= 2

    def with_duplicates(self, hits: list[Hit], groups: Mapping[int, Sequence[int]]) -> list[Hit]:
        """Name the files of near duplicates, which `fold` has put under sounds."""
        sounds = self.library.sounds(other for hit in hits for other in groups[hit.sound])
        return [
            replace(hit, duplicates=tuple(sorted(_files(sounds, groups[hit.sound]))))
            for hit in hits
        ]

    def _find(
        self,
        query: NDArray[np.float32],
        top: int,
        filters: Sequence[Filter],
        itself: int | None,
    ) -> list[Match]:
        passing = None if self._mostly_there and not filters else self.passing(filters)

        def find(passing: NDArray[np.int64] | None, sounds: NDArray[np.int64]) -> list[Match]:
            among = None if passing is None else passing[sounds[passing] >= 0]
            if query.ndim == 1:
                return self._by_text(query[None], top, among, sounds)
            return best_groups(self.nearest, query, sounds, top, among=among, itself=itself)

        sounds = self.sounding(query)
        if itself is not None and not (sounds == itself).any():  # like silence
            sounds = np.where(self.library.sound_of_row == itself, itself, sounds)
        found = find(passing, sounds)
        if len(found) < top and len(self._silent):
            silent = self._silent if passing is None else np.intersect1d(passing, self._silent)
            seen = {match.group for match in found}
            last = find(silent, self.library.sound_of_row)
            found += [match for match in last if match.group not in seen][: top - len(found)]
        return found

    @property
    def dimension(self) -> int:
        """How many numbers a vector has: D."""
        return self.nearest.vectors.shape[1]

    def vectors_of(self, sound: int, start: float | None = None) -> NDArray[np.float32]:
        """Return the embeddings of a sound's passages, shape (Q, D), to search by.

        With `start` only the passage that starts there, if there is one. Silent passages are left
        out, unless all are.
        """
        by_start = self.library.rows_of(sound)
        if start in by_start:
            return np.array(self.nearest.vectors[[by_start[start]]])
        rows = np.array([*by_start.values()], np.int64)
        sounding = rows[self._sounding[rows] >= 0]
        return np.array(self.nearest.vectors[sounding if len(sounding) else rows])

    def asks_for_silence(self, query: NDArray[np.float32]) -> bool:
        """Whether "Silence" is the tag that a text, shape (D,), is most like."""
        return (
            _SILENCE in self.tags and self.tags[int((self._tag_texts @ query).argmax())] == _SILENCE
        )

    def sounding(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the sound of each row, -1 for silence too, unless the query asks for it."""
        return self.library.sound_of_row if self._wants_silent(query) else self._sounding

    def _wants_silent(self, query: NDArray[np.float32]) -> bool:
        """Whether silent passages may be found before others."""
        return query.ndim == 1 and len(self._silent) > 0 and self.asks_for_silence(query)

    @cached_property
    def _tag_texts(self) -> NDArray[np.float32]:
        return self._embedder.embed_tags()

    def _by_text(
        self,
        query: NDArray[np.float32],
        top: int,
        among: NDArray[np.int64] | None,
        sounds: NDArray[np.int64],
    ) -> list[Match]:
        available = len(self.library.table) if among is None else len(among)
        best: dict[int, Match] = {}  # by sound
        count = top
        # Long sounds have many passages, and some sounds are gone: ask for more passages until
        # there are enough sounds.
        while available:
            count = min(2 * count, available)
            best.clear()
            (scores,), (rows,) = self.nearest.search(query, count, among=among)
            for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
                sound = int(sounds[row])
                if sound >= 0:  # not gone
                    best.setdefault(sound, Match(sound, score, row, np.array([row])))
            if len(best) >= top or count == available:
                break
        return list(best.values())[:top]

    def passing(self, filters: Sequence[Filter]) -> NDArray[np.int64]:
        """List the rows whose peaks pass, so that a short bark in a long rain is a bark."""
        rows = self.library.rows
        for wanted in filters:
            tag = self.tags.index(wanted.tag)
            if wanted.threshold >= LEAST_PROBABILITY:
                probable = self.library.probable(tag, wanted.threshold, above=wanted.above)
                rows = rows[np.isin(rows, probable, invert=not wanted.above)]
            else:  # reads what the database leaves out
                found = as_probabilities(self.library.peaks[rows, tag])
                limit = wanted.threshold
                rows = rows[found > limit if wanted.above else found < limit]
        return rows

    def explain(self, query: NDArray[np.float32] | None, found: Sequence[Match]) -> list[Hit]:
        """Say why sounds were found; those that are gone by now are left out.

        Parameters
        ----------
        query : ndarray, shape (D,) or (Q, D), optional
            None if nothing was described.

        """
        if not found:
            return []
        if query is None:
            query = np.zeros(self.dimension, np.float32)
        queries = np.atleast_2d(query)
        # Of an example, each hit may have thousands of rows.
        at_once = len(found) if len(queries) == 1 else 1
        parts = [
            part
            for first in range(0, len(found), at_once)
            for part in self._parts(queries, found[first : first + at_once])
        ]
        peaks = self.library.peaks[[match.row for match in found]].astype(np.float32)
        probabilities = torch.from_numpy(peaks).sigmoid()
        sounds = self.library.sounds(match.group for match in found)
        places = self.library.passages(match.row for match in found)
        there = [
            (place, sounds[hit[0].group], *hit)
            for place, *hit in zip(places, found, parts, probabilities, strict=True)
            if hit[0].group in sounds  # not gone by now
        ]
        return [self._hit(rank, *hit) for rank, hit in enumerate(there, start=1)]

    @torch.inference_mode()
    def _parts(
        self, queries: NDArray[np.float32], found: Sequence[Match]
    ) -> list[tuple[float, float, Tensor | None]]:
        """Split scores into projection, tag branch, and what each tag adds, shape (K,)."""
        rows, asked, hits = [], [], []
        for hit, match in enumerate(found):
            distinct, which = np.unique(match.rows, return_inverse=True)
            rows.append(distinct)
            asked.append(np.zeros((len(distinct), queries.shape[1]), np.float32))
            np.add.at(asked[-1], which, queries / len(queries))
            hits += len(distinct) * [hit]
        table = torch.from_numpy(self.library.table[np.concatenate(rows)])
        logits = table[:, : len(self.tags)]
        wanted, of = torch.from_numpy(np.concatenate(asked)), torch.tensor(hits)
        network = self._embedder.network
        with_tags = network.tag_table is not None
        projection, tags = network.explain_scores(
            self._embedder.features(table), logits if with_tags else None, wanted
        )

        def summed(values: Tensor) -> Tensor:
            return values.new_zeros(len(found), *values.shape[1:]).index_add(0, of, values)

        by_projection = summed(projection).tolist()
        if tags is None:
            return [(share, 0.0, None) for share in by_projection]
        added = summed(tags)
        return list(zip(by_projection, added.sum(dim=1).tolist(), added, strict=True))

    def _hit(
        self,
        rank: int,
        passage: Place,
        sound: LibrarySound,
        match: Match,
        parts: tuple[float, float, Tensor | None],
        probabilities: Tensor,
    ) -> Hit:
        projection, tag_branch, added = parts

        def named(values: Tensor) -> list[Reason]:
            return [
                Reason(
                    self.tags[tag],
                    probabilities[tag].item(),
                    0.0 if added is None else added[tag].item(),
                )
                for tag in values.argsort(descending=True)[:_REASONS].tolist()
            ]

        return Hit(
            rank=rank,
            score=match.score,
            sound=match.group,
            paths=sound.paths,
            duration=sound.duration,
            start=passage.start,
            end=passage.end,
            is_part=passage.is_part,
            tags=[tag for tag in named(probabilities) if tag.probability >= _LIKELY],
            projection=projection,
            tag_branch=tag_branch,
            reasons=[] if added is None else named(added),
            notes=sound.notes,
            ucs=_category(sound.ucs, probabilities),
            loudness=sound.loudness,
        )


def _files(sounds: Mapping[int, LibrarySound], numbers: Iterable[int]) -> Iterator[str]:
    """Yield the files of sounds, but of those that are gone."""
    for number in numbers:
        if number in sounds:
            yield from sounds[number].paths


def _category(cat_id: str | None, probabilities: Tensor) -> Ucs | None:
    """Return the category that a sound says it has, or else the one that its tags suggest."""
    if cat_id in (known := read_categories()):
        return Ucs(*known[cat_id], 1.0)
    return Ucs(*suggest_ucs(probabilities)) if len(probabilities) == CLASSES else None
