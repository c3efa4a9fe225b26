"""What the page can ask for, without HTTP. All of it may be called from several threads."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.architectures import CELL_SECONDS
from utils.audio import spectrogram
from utils.audio.sound_file import open_sound
from utils.datasets.sound_checks import FAILED_FILES
from utils.runtime.errors import counted
from utils.search.engine import Engine
from utils.search.filters import Filter
from utils.search.hits import Hit, with_moments
from utils.search.inventory import Inventory
from utils.search.line_search import By, LineSearch
from utils.search.moments import MomentFinder, Moments
from utils.search.near_duplicates import Duplicates
from utils.search.searcher import Progress, Searcher
from utils.search.sorting import BEST_FIRST, Order, hits_in_order, note_on
from utils.search.updates import Updates
from utils.search.web.cache import LruCache
from utils.search.web.clips import MAX_BYTES, MAX_SECONDS, Clips
from utils.search.web.delivery import as_utf8, open_below, version_of
from utils.search.web.desk import MAX_PICKS, Desk
from utils.search.web.guard import Refusal
from utils.search.web.sound_numbers import expect_sound, token_of
from utils.search.web.vectors import Vectors, notes_on

MAX_TOP = 200
MAX_QUERY = 4000  # characters; more than the sentence model reads, and short enough for an address
MAX_FILTER = 500  # characters
MAX_FILTERS = 20
MAX_MOMENTS = 10  # of a sound
_CACHED = 32_000_000  # bytes of pictures
_TEXTS = 100_000  # numbers of embedded texts
_LISTED = 50  # files that cannot be used


class _State(NamedTuple):
    engine: Engine
    lines: LineSearch
    token: str  # distinguishes the numbers of its sounds from another library's
    inventory: Inventory
    finder: MomentFinder | None

    @classmethod
    def of(cls, searcher: Searcher, embed: Callable[[str], NDArray[np.float32]]) -> "_State":
        token = token_of(searcher.engine.library)
        return cls(
            searcher.engine,
            LineSearch(searcher.engine, embed),
            token,
            searcher.inventory,
            searcher.moment_finder,
        )


class Service:
    """A searcher for the users of a page; `safe_mono` is as for `Delivery`.

    If the searcher has not looked through its folder, that begins now, and answers say so.
    `updated` is called after each update.
    """

    def __init__(self, searcher: Searcher, *, updated: Callable[[], Any] = lambda: None) -> None:
        self._searcher = searcher
        self._updated = updated
        self._version = 0  # of what can be found
        self._state = _State.of(searcher, self._embedded)
        self.safe_mono = searcher.config.search.mono == "safe"
        self._texts = LruCache(_TEXTS)
        self._pictures = LruCache(_CACHED)
        self.desk = Desk(lambda: self._state.engine.library)
        self.vectors = Vectors(
            lambda: self._state.engine, model=searcher.model_id, embed=searcher.embed_text
        )
        self.clips = Clips(lambda path: searcher.embed_example(path)[0])
        self.updates = Updates(self._update)
        if not searcher.is_current:
            self.updates.start()

    @property
    def tags(self) -> list[str]:
        """Display names of all tags."""
        return self._state.engine.tags

    def about(self) -> dict[str, Any]:
        """Describe the library, the tags and the limits."""
        engine, _, token, inventory, finder = self._state
        failed = [*itertools.islice(inventory.failed.items(), _LISTED)]
        return {
            "library": token,
            "model": self.vectors.model,
            "dimension": engine.dimension,
            "version": self._version,
            "folder": as_utf8(engine.library.folder.name),
            "place": as_utf8(str(engine.library.folder)),
            **inventory.counts(),
            "failed": [{"name": as_utf8(name), "reason": reason} for name, reason in failed],
            "failed_count": len(inventory.failed),
            "failed_list": FAILED_FILES,
            "tags": self.tags,
            "moments": finder is not None,
            "note": self._searcher.demo_note,
            "limits": {
                "query": MAX_QUERY,
                "top": MAX_TOP,
                "filters": MAX_FILTERS,
                "picks": MAX_PICKS,
                "clip_bytes": MAX_BYTES,
                "clip_seconds": MAX_SECONDS,
            },
        }

    def search(
        self,
        *,
        text: str | None = None,
        clip: str | None = None,
        like: int | None = None,
        start: float | None = None,
        library: str | None = None,
        vectors: Sequence[Sequence[float]] = (),
        as_text: bool = False,
        model: str | None = None,
        filters: Sequence[Filter] = (),
        by: By = "both",
        sort: Order = BEST_FIRST,
        duplicates: Duplicates = "fold",
        top: int,
        moments: int = 0,
    ) -> dict[str, Any]:
        """Search by exactly one of a query line, a clip, a sound of the library, or vectors.

        Parameters
        ----------
        clip : str, optional
            The name under which a clip is kept.
        like : int, optional
            Index of a sound; not among the hits.
        start : float, optional
            Which passage of that sound, by its start in seconds; by default all of them.
        library : str, optional
            Token of the state of the library that `like` belongs to.
        vectors : sequence of sequences of float
            Finite numbers.
        as_text : bool
            Whether there is one vector, as of a text.
        model : str, optional
            The model that the vectors are of.
        moments : int
            At most so many moments in each hit of a text, or of a vector as of one.
        sort : Order
            See `LineSearch.search`.
        duplicates : str
            See `Searcher.search`.

        Returns
        -------
        dict
            The hits, the sound that was searched by, if any, and what of a text does not count.

        """
        state = self._state  # an update may replace it meanwhile
        ranked = True
        answer: dict[str, Any] = {"library": state.token, "notes": []}
        if not self._searcher.is_current and self.updates.note:
            answer["notes"].append(f"{self.updates.note}: there may be more to find")
        options = {"top": top, "filters": filters, "duplicates": duplicates}
        if text is not None:
            plan = self._searcher.read_query(text)
            ranked = plan.describes
            found = state.lines.search(plan, by=by, sort=sort, **options)
            hits = [with_moments(state.finder, hit, vector, moments) for hit, vector in found]
            answer["notes"] += self._searcher.notes_on(text)
        elif vectors:
            query = self.vectors.as_query(state.engine, vectors, model)
            answer["notes"] += notes_on(vectors)
            query, count = (query[0], moments) if as_text else (query, 0)
            hits = [
                with_moments(state.finder, hit, query, count)
                for hit in state.engine.search(query, **options)
            ]
            hits = hits_in_order(state.engine.library.database, hits, sort)
        else:
            if clip is not None:
                vector = self.clips.vectors(clip)
            else:
                sound = expect_sound(state.engine.library, library, like)
                vector = state.engine.vectors_of(like, start)
                answer["like"] = {"name": as_utf8(sound.paths[0]), "duration": sound.duration}
            options["top"] += like is not None
            hits = state.engine.search(vector, itself=like, **options)
            hits = [hit for hit in hits if hit.sound != like][:top]
            hits = hits_in_order(state.engine.library.database, hits, sort)
        answer["notes"] += note_on(sort, found=len(hits), top=top, ranked=ranked)
        answer["hits"] = [_plain(hit, rank) for rank, hit in enumerate(hits, start=1)]
        return answer

    def moments(
        self, *, text: str, library: str, sound: int, at: float, count: int
    ) -> dict[str, Any]:
        """Find where a text is heard in a sound; raises as `open_sound`.

        Parameters
        ----------
        at : float
            Seconds: of a long sound, the part around this place is looked at.
        count : int
            At most so many moments.

        Returns
        -------
        dict
            The best moments, and the curve of likeness: where it begins, its step, its values.

        """
        state = self._state
        expect_sound(state.engine.library, library, sound)
        if state.finder is None:
            raise Refusal(404, "Moments are off: search.moments is False.")
        described = [part.description for part in self._searcher.read_query(text).parts]
        if not any(described):
            return {**dataclasses.asdict(Moments()), "step": CELL_SECONDS}
        vector = self._embedded(next(filter(None, described)))
        found = state.finder.find(vector, sound, at=at, count=count)
        return {**dataclasses.asdict(found), "step": CELL_SECONDS}

    def open_sound(self, library: str, sound: int) -> tuple[BinaryIO, str]:
        """Open the first file of a sound that can be opened; returns it with its name.

        Raises
        ------
        Refusal
            409 if the library has changed, 404 if it has no such sound, 410 if the file is gone.

        """
        state = self._state
        folder = state.engine.library.folder
        *twins, last = expect_sound(state.engine.library, library, sound).paths
        for name in twins:
            try:
                return open_below(folder, name), name
            except Refusal:
                continue  # with a duplicate
        return open_below(folder, last), last

    def picture(self, library: str, sound: int) -> bytes:
        """Draw the spectrogram of a sound as a PNG; raises as `open_sound`, and UnusableSound."""
        file, name = self.open_sound(library, sound)

        def compute() -> bytes:
            path = Path(as_utf8(name))
            with open_sound(path, source=file, accept_truncated=True) as sound:
                return spectrogram.draw(sound)

        with file:
            return self._pictures.get((name, version_of(file)), compute)

    def _embedded(self, text: str) -> NDArray[np.float32]:
        return self._texts.get(text, lambda: self._searcher.embed_text([text])[0])

    def _update(self, progress: Progress) -> str:
        before = self._state.inventory.sounds
        self._searcher.update(progress)
        self._state = _State.of(self._searcher, self._embedded)
        self._updated()
        measured = self._searcher.measure(progress)
        changes, sounds = self._searcher.changes, self._state.inventory.sounds
        changed = changes.added or changes.gone or sounds != before
        self._version += bool(changed or measured)
        if not changed:
            return f"Measured {counted(measured, 'sound')}." if measured else "Nothing has changed."
        return f"{counted(sounds, 'sound')} now: {changes}."


def _plain(hit: Hit, rank: int) -> dict[str, Any]:
    values = dataclasses.asdict(hit)
    named = {
        "paths": [as_utf8(path) for path in hit.paths],
        "duplicates": [as_utf8(path) for path in hit.duplicates],
    }
    return {**values, "rank": rank, **named}
