"""Collections and exports for the page, without HTTP. Any of it may be called from threads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from utils.search.collections import Collection, Collections, NameTaken, NoCollection
from utils.search.excerpts import Excerpt, Pick, look_up
from utils.search.exports.exporting import ENDINGS, Exported, render
from utils.search.library import Library
from utils.search.web.delivery import as_utf8
from utils.search.web.guard import Refusal
from utils.search.web.sound_numbers import expect_library, token_of

MAX_PICKS = 10_000  # of a request


class Desk:
    """The collections of a library that updates may replace; `library` returns it.

    All methods raise a Refusal: 404 if there is no such collection or sound, 409 if a name is taken
    or picks are of another library, else 400.
    """

    def __init__(self, library: Callable[[], Library]) -> None:
        self._library = library

    def all(self) -> list[dict[str, Any]]:
        """List the collections."""
        return [_plain(one) for one in self._collections.all()]

    def create(self, name: str) -> dict[str, Any]:
        """Make a collection."""
        with _refused():
            return _plain(self._collections.create(name))

    def rename(self, number: int, name: str) -> dict[str, Any]:
        """Rename a collection."""
        with _refused():
            return _plain(self._collections.rename(number, name))

    def delete(self, number: int) -> None:
        """Delete a collection."""
        with _refused():
            self._collections.delete(number)

    def add(self, number: int, picks: Sequence[Pick], library: str | None) -> int:
        """Add picks of a library to a collection; returns how many it did not have."""
        with _refused():
            return self._collections.add(number, self._excerpts(picks, library))

    def remove(self, number: int, items: Sequence[int]) -> int:
        """Remove items from a collection; returns how many it had."""
        with _refused():
            return self._collections.remove(number, items)

    def show(self, number: int) -> dict[str, Any]:
        """Return a collection with its items, in the form of hits."""
        library, collections = self._library(), self._collections
        with _refused():
            collection, picks = collections.get(number), collections.picks(number)
            excerpts = look_up(library, list(picks.values()))
        items = [
            _as_hit(rank, item, excerpt)
            for rank, (item, excerpt) in enumerate(zip(picks, excerpts, strict=True), start=1)
        ]
        return {**_plain(collection), "library": token_of(library), "items": items}

    def export(
        self,
        kind: str,
        *,
        picks: Sequence[Pick],
        library: str | None,
        collection: int | None,
        whole: bool,
        fps: str,
        absolute: bool,
    ) -> tuple[bytes, str, Exported]:
        """Export picks, or all of a collection; returns the file and its name.

        Parameters
        ----------
        absolute : bool
            Whether paths are absolute; else they are relative to the library's folder.

        """
        known = self._library()
        title = "sounds"
        with _refused():
            if collection is not None:
                title = self._collections.get(collection).name
                chosen = list(self._collections.picks(collection).values())
                excerpts = look_up(known, chosen, whole=whole)
            else:
                excerpts = self._excerpts(picks, library, whole=whole)

            def place(name: str) -> str:
                return str(known.folder / name) if absolute else name

            content, exported = render(kind, excerpts, place=place, title=title, fps=fps)
        name = title.replace("/", "_").replace("\0", "_")
        return content, f"{name}{ENDINGS[kind]}", exported

    @property
    def _collections(self) -> Collections:
        return Collections(self._library().database)

    def _excerpts(
        self, picks: Sequence[Pick], library: str | None, *, whole: bool = False
    ) -> list[Excerpt]:
        known = self._library()
        expect_library(known, library)
        if not picks:
            raise Refusal(400, "No sounds are given. Tick some.")
        return look_up(known, picks, whole=whole)


@contextmanager
def _refused() -> Iterator[None]:
    """Give errors the HTTP status of their kind."""
    try:
        yield
    except NoCollection as error:
        raise Refusal(404, str(error)) from None
    except NameTaken as error:
        raise Refusal(409, str(error)) from None


def _plain(collection: Collection) -> dict[str, Any]:
    number, name, count = collection
    return {"collection": number, "name": as_utf8(name), "count": count}


def _as_hit(rank: int, item: int, excerpt: Excerpt) -> dict[str, Any]:
    paths = excerpt.paths or (excerpt.known_as,)
    return {
        "item": item,
        "rank": rank,
        "score": excerpt.score,
        "sound": excerpt.sound,
        "paths": [as_utf8(path) for path in paths],
        "duration": excerpt.duration,
        "start": excerpt.start,
        "end": excerpt.end,
        "is_part": excerpt.is_part,
        "loudness": excerpt.loudness,
        "label": as_utf8(excerpt.label),
        "missing": excerpt.is_missing,
    }
