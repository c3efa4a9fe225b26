"""Search a library of sounds by text or by example, and say why each sound was found.

The model comes as an argument. Shapes: P passages, R rows of the library's table, Q queries,
D dimension of the shared space, K AudioSet classes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.files.raw_rows import append_missing, map_rows
from utils.search.filters import Filter
from utils.search.library import Library
from utils.search.tag_columns import TagColumns

_EMBEDDED_AT_ONCE = 16_384  # rows


_REASONS = 5  # tags that an explanation names


_LIKELY = 0.1  # probability from which a tag is told of


class Nearest(Protocol):
    """Finds the vectors with the largest dot products."""

    def search(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores and rows, both (Q, k), best first."""


@dataclass(frozen=True)
class Reason:
    """What a tag adds to a score.

    Attributes
    ----------
    tag : str
    probability : float
        That it sounds in the passage.
    contribution : float

    """

    tag: str
    probability: float
    contribution: float


@dataclass(frozen=True)
class Hit:
    """A sound that was found.

    Attributes
    ----------
    rank : int
        From 1.
    score : float
        Of its best passage: projection + tags.
    sound : int
        Index in the library.
    paths : tuple of str
        All files with this content, relative to the library's folder.
    duration, start, end : float
        In seconds; of the sound, and where its best passage is.
    is_part : bool
        Whether the passage is only a part of the sound.
    tags : list of Reason
        The likeliest tags of the passage.
    projection, tag_branch : float
        What the two branches of the model add to the score.
    reasons : list of Reason
        The tags that add most to it.

    """

    rank: int
    score: float
    sound: int
    paths: tuple[str, ...]
    duration: float
    start: float
    end: float
    is_part: bool
    tags: list[Reason]
    projection: float
    tag_branch: float
    reasons: list[Reason]


def embed_library(
    library: Library,
    path: Path,
    embed: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    progress: Callable[[int], Any],
) -> NDArray[np.float32]:
    """Bring a file of embeddings, one per row of a library's table, up to date.

    Parameters
    ----------
    library : Library
    path : Path
        Raw float32 numbers, of one model alone; only rows that are new are added.
    embed : callable
        Rows of the table (B, ...) ─► embeddings (B, D).
    progress : callable
        See `utils.files.raw_rows.append_missing`.

    Returns
    -------
    ndarray, shape (R, D), float32
        Read-only, and read from the disk where it is looked at.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it.

    """
    rows = len(library.table)
    width = embed(library.table[:1]).shape[1]

    def embedded(first: int) -> Iterator[NDArray[np.float32]]:
        for start in range(first, rows, _EMBEDDED_AT_ONCE):
            yield embed(library.table[start : start + _EMBEDDED_AT_ONCE])

    append_missing(path, count=rows, width=width, compute=embedded, progress=progress)
    return map_rows(path, rows, width)


class Engine:
    """A library, a model, and what finds the one's passages by the other's embeddings.

    Parameters
    ----------
    library : Library
        Its rows are AudioSet logits (K) and scene embeddings.
    model : nn.Module
        With ``encode_text``, ``explain_audio`` and ``tag_table``, as
        `models.dual_encoder.DualEncoder`.
    encode_text : callable
        Texts (Q) ─► sentence vectors (Q, D).
    features_of : callable
        Rows (B, ...) ─► what the audio branch projects (B, F).
    nearest : Nearest
        Over the embeddings of all R rows of the library.
    columns : TagColumns
        Tag number ─► its logits in all rows (R,).
    tags : sequence of K str
        Display names.

    """

    def __init__(
        self,
        library: Library,
        *,
        model: Any,
        encode_text: Callable[[Sequence[str]], NDArray[np.float32]],
        features_of: Callable[[Tensor], Tensor],
        nearest: Nearest,
        columns: TagColumns,
        tags: Sequence[str],
    ) -> None:
        self.library = library
        self.tags = list(tags)
        self._model = model
        self._encode_text = encode_text
        self._features_of = features_of
        self._nearest = nearest
        self._columns = columns
        # Few that are gone are quicker passed over where they are found.
        self._mostly_there = 2 * len(library.rows) > len(library.table)

    @torch.inference_mode()
    def embed_texts(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Embed queries: texts (Q) ─► unit vectors (Q, D)."""
        return self._model.encode_text(torch.from_numpy(self._encode_text(queries))).numpy()

    def search(
        self, queries: NDArray[np.float32], *, top: int = 10, filters: Sequence[Filter] = ()
    ) -> list[list[Hit]]:
        """Find the best sounds for each query.

        Parameters
        ----------
        queries : ndarray, shape (Q, D)
            From `embed_texts`, or the embedding of a sound.
        top : int
            Sounds for each query; fewer where there are not as many.
        filters : sequence of Filter
            Passages must pass all.

        Returns
        -------
        list of list of Hit
            Best first. A sound of several passages stands once, with the best of them.

        """
        among = None if self._mostly_there and not filters else self._passing(filters)
        if among is not None and not len(among):
            return [[] for _ in queries]
        return [self._search_one(query, top, among) for query in queries]

    def _search_one(
        self, query: NDArray[np.float32], top: int, among: NDArray[np.int64] | None
    ) -> list[Hit]:
        available = len(self.library.table) if among is None else len(among)
        count = top
        while True:
            # Long sounds have many passages, and some sounds are gone: more passages are asked for
            # until there are enough sounds.
            count = min(2 * count, available)
            scores, rows = self._nearest.search(query[None], count, among=among)
            best: dict[int, tuple[float, int]] = {}  # by sound; the first is its best
            for score, row in zip(scores[0], rows[0], strict=True):
                sound = int(self.library.sound_of_row[row])
                if sound >= 0:  # it is still there
                    best.setdefault(sound, (float(score), int(row)))
            if len(best) >= top or count == available:
                break
        chosen = list(best.items())[:top]
        return self._explain(query, [(sound, score, row) for sound, (score, row) in chosen])

    def _passing(self, filters: Sequence[Filter]) -> NDArray[np.int64]:
        rows = self.library.rows
        for wanted in filters:
            logits = self._columns[self.tags.index(wanted.tag)][rows]
            limit = (
                math.inf
                if wanted.threshold == 1
                else math.log(max(wanted.threshold, 1e-30) / (1 - wanted.threshold))
            )
            rows = rows[logits > limit if wanted.above else logits < limit]
        return rows

    @torch.inference_mode()
    def _explain(
        self, query: NDArray[np.float32], found: Sequence[tuple[int, float, int]]
    ) -> list[Hit]:
        table = torch.from_numpy(self.library.table[[row for _, _, row in found]])
        logits = table[:, : len(self.tags)]
        asked = torch.from_numpy(query)
        with_tags = self._model.tag_table is not None
        projection, tags, shares = self._model.explain_audio(
            self._features_of(table), logits if with_tags else None
        )
        by_projection = (projection @ asked).tolist()
        by_tags = (tags @ asked).tolist() if with_tags else [0.0] * len(found)
        added = shares * (self._model.tag_table @ asked) if with_tags else torch.zeros_like(logits)
        probabilities = logits.sigmoid()

        def name(hit: int, order: Tensor) -> list[Reason]:
            return [
                Reason(self.tags[tag], probabilities[hit, tag].item(), added[hit, tag].item())
                for tag in order[:_REASONS].tolist()
            ]

        hits = []
        for i, (sound, score, row) in enumerate(found):
            passage, content = self.library.passages[row], self.library.sounds[sound]
            likely = probabilities[i].argsort(descending=True)[:_REASONS]
            hits.append(
                Hit(
                    rank=i + 1,
                    score=score,
                    sound=sound,
                    paths=content.paths,
                    duration=content.duration,
                    start=passage.start,
                    end=passage.end,
                    is_part=passage.count > 1,
                    tags=[tag for tag in name(i, likely) if tag.probability >= _LIKELY],
                    projection=by_projection[i],
                    tag_branch=by_tags[i],
                    reasons=name(i, added[i].argsort(descending=True)) if with_tags else [],
                )
            )
        return hits
