"""Search a library of sounds by vectors, and say why each sound was found.

Shapes: R rows of the library's table, D dimension of the shared space, K AudioSet classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.files.raw_rows import append_missing, map_rows
from utils.runtime.errors import printable
from utils.search.embedder import Embedder
from utils.search.filters import Filter
from utils.search.library import Library
from utils.search.nearest.approximate import ApproximateSearch
from utils.search.nearest.exact import ExactSearch
from utils.search.tag_columns import TagColumns

_EMBEDDED_AT_ONCE = 16_384  # rows
_REASONS = 5  # tags that explain a hit
_LIKELY = 0.1  # least probability of a tag that is named


@dataclass(frozen=True)
class Reason:
    """A tag, the probability that a passage contains it, and what it adds to the score."""

    tag: str
    probability: float
    contribution: float


@dataclass(frozen=True, repr=False)
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
        In seconds: of the sound, and where its best passage is.
    is_part : bool
        Whether the passage is only a part of the sound.
    tags : list of Reason
        The most probable tags of the passage.
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

    @property
    def name(self) -> str:
        """The first of the paths, printable."""
        return printable(self.paths[0])

    @property
    def place(self) -> str:
        """Where the passage is, and how long the sound is: 0:20.0–0:40.0 of 1:03.5."""
        part = f"{clock(self.start)}–{clock(self.end)} of " if self.is_part else ""
        return part + clock(self.duration)

    @property
    def tag_list(self) -> str:
        """The tags with their probabilities: Dog 0.93, Bark 0.61."""
        return ", ".join(f"{tag.tag} {tag.probability:.2f}" for tag in self.tags)

    def __repr__(self) -> str:
        """Show what a reader of a list of hits wants to know."""
        return f"<{self.rank}. {self.score:.3f} {self.name} {self.place} {self.tag_list}>"


def clock(seconds: float) -> str:
    """Write a time as 0:07.5 or 1:02:03."""
    tenths = round(10 * seconds)
    if tenths >= 36_000:
        whole = tenths // 10
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


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
    path : Path
        Raw float32 numbers, of one model alone; only missing rows are added.
    embed : callable
        Rows of the table (B, ...) ─► embeddings (B, D).
    progress : callable
        See `utils.files.raw_rows.append_missing`.

    Returns
    -------
    ndarray, shape (R, D), float32
        Read-only, memory-mapped.

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
    """Finds passages of a library by their embeddings.

    Parameters
    ----------
    library : Library
        Its rows are AudioSet logits (K) and scene embeddings.
    embedder : Embedder
    nearest : ExactSearch or ApproximateSearch
        Over the embeddings of all R rows of the library.
    columns : TagColumns

    """

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        *,
        nearest: ExactSearch | ApproximateSearch,
        columns: TagColumns,
    ) -> None:
        self.library = library
        self.tags = embedder.tags
        self._embedder = embedder
        self._nearest = nearest
        self._columns = columns
        # If few rows are of sounds that are gone, it is faster to skip them among the results.
        self._mostly_there = 2 * len(library.rows) > len(library.table)

    def search(
        self, query: NDArray[np.float32], *, top: int = 10, filters: Sequence[Filter] = ()
    ) -> list[Hit]:
        """Find the best sounds for a query.

        Parameters
        ----------
        query : ndarray, shape (D,)
            The embedding of a text or a sound.
        top : int
            At most so many sounds.
        filters : sequence of Filter
            Passages must pass all.

        Returns
        -------
        list of Hit
            Best first. A sound of several passages appears once, with the best of them.

        """
        among = None if self._mostly_there and not filters else self._passing(filters)
        available = len(self.library.table) if among is None else len(among)
        best: dict[int, tuple[float, int]] = {}  # by sound: score and row of its best passage
        count = top
        # Long sounds have many passages, and some sounds are gone: ask for more passages until
        # there are enough sounds.
        while available:
            count = min(2 * count, available)
            best.clear()
            (scores,), (rows,) = self._nearest.search(query[None], count, among=among)
            for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
                sound = int(self.library.sound_of_row[row])
                if sound >= 0:  # not gone
                    best.setdefault(sound, (score, row))
            if len(best) >= top or count == available:
                break
        found = [(sound, score, row) for sound, (score, row) in best.items()]
        return self._explain(query, found[:top]) if found else []

    def _passing(self, filters: Sequence[Filter]) -> NDArray[np.int64]:
        rows = self.library.rows
        for wanted in filters:
            logits = self._columns[self.tags.index(wanted.tag)][rows]
            limit = torch.tensor(wanted.threshold, dtype=torch.float64).logit().item()
            rows = rows[logits > limit if wanted.above else logits < limit]
        return rows

    @torch.inference_mode()
    def _explain(
        self, query: NDArray[np.float32], found: Sequence[tuple[int, float, int]]
    ) -> list[Hit]:
        table = torch.from_numpy(self.library.table[[row for _, _, row in found]])
        logits = table[:, : len(self.tags)]
        asked = torch.from_numpy(query)
        network = self._embedder.network
        with_tags = network.tag_table is not None
        projection, tags, shares = network.explain_audio(
            self._embedder.features(table), logits if with_tags else None
        )
        by_projection = (projection @ asked).tolist()
        by_tags, added = [0.0] * len(found), torch.zeros_like(logits)
        if with_tags:
            by_tags, added = (tags @ asked).tolist(), shares * (network.tag_table @ asked)
        probabilities = logits.sigmoid()

        def named(hit: int, order: Tensor) -> list[Reason]:
            return [
                Reason(self.tags[tag], probabilities[hit, tag].item(), added[hit, tag].item())
                for tag in order[:_REASONS].tolist()
            ]

        def explained(i: int, sound: int, score: float, row: int) -> Hit:
            passage, content = self.library.passages[row], self.library.sounds[sound]
            likely = named(i, probabilities[i].argsort(descending=True))
            return Hit(
                rank=i + 1,
                score=score,
                sound=sound,
                paths=content.paths,
                duration=content.duration,
                start=passage.start,
                end=passage.end,
                is_part=passage.count > 1,
                tags=[tag for tag in likely if tag.probability >= _LIKELY],
                projection=by_projection[i],
                tag_branch=by_tags[i],
                reasons=named(i, added[i].argsort(descending=True)) if with_tags else [],
            )

        return [explained(i, *hit) for i, hit in enumerate(found)]
