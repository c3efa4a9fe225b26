"""Vectors for other programs: of texts and of a library's passages, and searching by theirs.

Shapes: N texts or passages, D dimension of the shared space.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.runtime.errors import counted, shown
from utils.search.engine import Engine
from utils.search.library import Place
from utils.search.web.delivery import as_utf8
from utils.search.web.guard import Refusal
from utils.search.web.sound_numbers import expect_library, no_sound

MAX_ROWS = 20_000  # of an answer
MAX_SOUNDS = 10_000  # that are asked for at once
_UNIT = 1e-3  # by which the length of a unit vector may differ from 1


class PassageVectors(NamedTuple):
    """The vectors of passages, shape (N, D), with the sound of each, and where it is."""

    sounds: list[int]
    places: list[Place]
    vectors: NDArray[np.float32]


class Vectors:
    """The vectors of a library that updates may replace.

    Parameters
    ----------
    engine : callable
        Returns what searches the library.
    model : str
        What vectors are of.
    embed : callable
        N texts ─► unit vectors (N, D).

    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        *,
        model: str,
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> None:
        self._engine, self.model, self.of_texts = engine, model, embed

    def list_sounds(self, token: str, first: int, count: int) -> dict[str, Any]:
        """List the sounds whose numbers are at least `first`, and less than `count` more."""
        library = self._engine().library
        expect_library(library, token)
        last = int(library.sound_of_row.max(initial=-1))
        end = min(first + count, last + 1)
        listed = [
            {
                "sound": number,
                "paths": [as_utf8(path) for path in sound.paths],
                "duration": sound.duration,
                "notes": sound.notes,
            }
            for number, sound in sorted(library.sounds(range(first, end)).items())
        ]
        return {"library": token, "sounds": listed, "next": end if end <= last else None}

    def of_sounds(
        self, token: str, sounds: Sequence[int], starts: Sequence[tuple[int, float]] = ()
    ) -> PassageVectors:
        """Return the vectors of all passages of sounds, then of passages by sound and start.

        Raises
        ------
        Refusal
            409 if numbers are of another library, 404 if there is no such sound or passage, 413 if
            there are too many passages.

        """
        engine = self._engine()
        library = engine.library
        expect_library(library, token)
        known = library.sounds({*sounds, *(sound for sound, _ in starts)})
        found: list[tuple[int, int]] = []
        for sound, start in [*((sound, None) for sound in sounds), *starts]:
            if sound not in known:
                raise no_sound(sound)
            by_start = library.rows_of(sound)
            if start is not None and start not in by_start:
                raise Refusal(404, f"No passage of sound number {sound} starts at {start} s.")
            rows = by_start.values() if start is None else [by_start[start]]
            found += [(sound, row) for row in rows]
            if len(found) > MAX_ROWS:
                text = f"These sounds have more than {MAX_ROWS} passages. Ask for fewer."
                raise Refusal(413, text)
        rows = [row for _, row in found]
        vectors = np.array(engine.nearest.vectors[rows], np.float32)
        return PassageVectors([sound for sound, _ in found], library.passages(rows), vectors)

    def as_query(
        self, engine: Engine, vectors: Sequence[Sequence[float]], model: str | None
    ) -> NDArray[np.float32]:
        """Make unit vectors, shape (N, D), of numbers that are finite.

        Raises
        ------
        Refusal
            409 if they are of another model, 400 if they have another dimension or are zero.

        """
        if model != self.model:
            text = f"The vectors are of the model {shown(model)}; this is {self.model}."
            raise Refusal(409, f"{text} Embed the texts or sounds again.")
        return np.array(
            [_unit(vector, number, engine.dimension) for number, vector in enumerate(vectors)],
            np.float32,
        )


def _unit(vector: Sequence[float], number: int, dimension: int) -> NDArray[np.float64]:
    if len(vector) != dimension:
        text = f"Vector {number} has {len(vector)} numbers; those of this model have {dimension}."
        raise Refusal(400, text)
    values = np.array(vector, np.float64)
    largest = np.abs(values).max()
    if largest == 0:
        raise Refusal(400, f"Vector {number} is zero: it has no direction.")
    values /= largest  # whose squares are finite
    return values / np.linalg.norm(values)


def notes_on(vectors: Sequence[Sequence[float]]) -> list[str]:
    """Say if vectors are brought to the length 1."""
    with np.errstate(over="ignore"):
        changed = sum(abs(np.linalg.norm(vector) - 1) > _UNIT for vector in vectors)
    return [f"{changed} of {counted(len(vectors), 'vector')} brought to length 1"] * bool(changed)
