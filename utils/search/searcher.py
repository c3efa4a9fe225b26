"""Search a folder of sounds: a trained model, the networks before it, and an index."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from utils.audio.sound_file import check_sound_file
from utils.checkpoints.trained_model import TrainedModel
from utils.datasets.sound_checks import write_failed
from utils.features.fine_grid import GridFolder
from utils.features.hearing import HeardSound
from utils.files.reading import sha256
from utils.files.tensors import digest_of
from utils.moments.network_file import load_moment_net
from utils.runtime.errors import InputError
from utils.search.embedder import Embedder, read_model
from utils.search.embedding_file import embed_library
from utils.search.engine import Engine
from utils.search.filters import parse_filter
from utils.search.hits import Hit, with_moments
from utils.search.inventory import Inventory
from utils.search.library import Library, open_library, update_library
from utils.search.line_search import By, LineSearch
from utils.search.measuring import measure
from utils.search.moments import MomentFinder
from utils.search.near_duplicates import Duplicates, take_fingerprints
from utils.search.nearest.approximate import nearest
from utils.search.query_plan import QueryPlan, read_query
from utils.search.sorting import hits_in_order, parse_order
from utils.search.sound_cells import SoundCells
from utils.search.sound_folder import Changes
from utils.search.untrained import note_on_demo
from utils.settings.config import Config, Search

_ORIGIN = ("model", "weights_sha256", "precision")  # what rows of an index depend on, see `_origin`
_LONGEST_NAME = 60  # of a folder, in the name of its index

# Called with a total, what is done, and its unit, as `utils.runtime.terminal.progress`; returns a
# context manager whose ``update`` is called with numbers of what is done.
Progress = Callable[[int, str, str], Any]


def quiet(total: int, description: str, unit: str) -> tqdm:
    """Show no progress."""
    return tqdm(disable=True)


def silent(text: str) -> None:
    """Print no note."""


class Searcher(Embedder):
    """Searches a folder of sounds by text or by example.

    Parameters
    ----------
    model : TrainedModel
    folder : Path
        The sounds.
    index : Path, optional
        Where to keep what is computed about them; by default a folder of their own below
        ``<output_path>/indexes``.
    progress : callable
        See `Progress`.
    note : callable
        Called with a text that the user should know before a long wait.
    accept_truncated : bool
        Use truncated sounds as far as they go. They stay in the index, and are noted.
    known_first : bool
        Search what an earlier index has until `update` is called, without looking at the folder.
        Nothing is measured.

    Attributes
    ----------
    folder, index : Path
    engine : Engine
    moment_finder : MomentFinder or None
        None if ``search.moments`` is False.
    library : Library
    is_current : bool
        Whether the folder was looked through.
    changes : Changes
        What the last update found.
    inventory : Inventory
        What became of each file of the folder.
    demo_note : str
        What to use for real sounds, if the tagger was trained on the demo's alone; else empty.
    failed_files : Path or None
        Where the files are listed that cannot be used, if there are any.

    Raises
    ------
    InputError
        If the folder is missing or contains no sounds, or the index cannot be used.

    Examples
    --------
    >>> searcher = Searcher.open("my_model", "my_sounds")
    >>> searcher.search("rain on a tin roof", top=3)
    [<1. ...>, <2. ...>, <3. ...>]
    >>> barking = searcher.search("barking", filters=["Dog > 0.3", "Speech < 0.1"])
    >>> best, *_ = searcher.search(Path("like_this.wav"))

    """

    def __init__(
        self,
        model: TrainedModel,
        folder: Path,
        *,
        index: Path | None,
        progress: Progress,
        note: Callable[[str], Any] = silent,
        accept_truncated: bool = False,
        known_first: bool = False,
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}. Give the folder of your sounds with --audio.")
        super().__init__(model, accept_truncated=accept_truncated)
        self.demo_note = note_on_demo(model)
        self.folder = folder.resolve()
        self._origin = _origin(self.tagger.made_by, self.config.search)
        self._notes: dict[Path, str] = {}  # what is odd about sounds that were tagged
        self.index = index or _index_folder(self.config, self.folder, self._origin)
        # Distinguishes the embeddings of this model from another's.
        weights = self.network.state_dict().values()
        self._digest = digest_of([torch.tensor(self.network.ratio), *weights])[:16]
        network = self.config.moments.network
        self._moment_net = load_moment_net(network) if network else None
        self.embed_text(self.tags[:1])  # fails here, not after hours of tagging
        self.is_current = False
        if not (known_first and self._open_known(progress)):
            self.update(progress, note)
            self.measure(progress)

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        folder: str | Path | None = None,
        *,
        config: str | Path | Config | None = None,
        overrides: Sequence[str] = (),
        index: str | Path | None = None,
        progress: Progress = quiet,
        note: Callable[[str], Any] = silent,
        accept_truncated: bool = False,
        known_first: bool = False,
    ) -> Self:
        """Open a trained model, and bring the index of a folder up to date.

        The first time, all sounds are tagged; later, only what is new or changed.

        Parameters
        ----------
        model, config, overrides
            See `utils.search.embedder.Embedder.open`.
        folder : str or Path, optional
            By default ``train_data.dataset_path`` of the settings.
        index, progress, note, accept_truncated, known_first
            See `Searcher`.

        """
        trained, settings = read_model(model, config, overrides)
        folder = Path(folder or settings.train_data.dataset_path)
        return cls(
            trained,
            folder,
            index=Path(index) if index else None,
            progress=progress,
            note=note,
            accept_truncated=accept_truncated,
            known_first=known_first,
        )

    def search(
        self,
        query: str | Path | NDArray[np.float32],
        *,
        top: int = 10,
        filters: Sequence[str] = (),
        moments: int = 1,
        by: By = "both",
        sort: str = "score",
        duplicates: Duplicates = "fold",
    ) -> list[Hit]:
        """Find the best sounds for a query.

        Parameters
        ----------
        query : str, Path, or ndarray of shape (D,) or (Q, D)
            A query line, the path of a sound file, or the embedding of a text or of the Q passages
            of a sound. By example, the score is how much of the example a sound has: see
            `utils.search.nearest.groups`.
        top : int
            At most so many sounds.
        filters : sequence of str
            See `utils.search.filters.parse_filter`.
        by : str
            ``meaning``, ``words`` (of names and metadata) or ``both``, for a line.
        moments : int
            At most so many moments in each hit, if the query is a text: see
            `utils.search.moments`.
        sort : str
            See `utils.search.sorting.parse_order`. The best sounds are sorted; of a line without a
            description, such as ``folder:foley``, all that pass, so that the first are the hits.
        duplicates : str
            ``fold`` near duplicates under the best of them, or ``show`` each as a hit.

        Returns
        -------
        list of Hit
            Best first, or sorted.

        Raises
        ------
        InputError
            If the text is empty or no word of it is read, the file cannot be used, or a filter or
            `sort` is invalid.

        """
        parsed, order = [parse_filter(text, self.tags) for text in filters], parse_order(sort)
        options: dict[str, Any] = {"top": top, "filters": parsed, "duplicates": duplicates}
        if isinstance(query, str):
            plan = self.read_query(query)
            found = self._line_search.search(plan, by=by, sort=order, **options)
        elif isinstance(query, np.ndarray) and query.ndim == 1:
            hits = self.engine.search(query, **options)
            hits = hits_in_order(self.library.database, hits, order)
            found = [(hit, query) for hit in hits]
        else:
            itself = None
            if isinstance(query, Path):
                query, itself = self.embed_example(query)
            hits = self.engine.search(query, itself=itself, **options)
            return hits_in_order(self.library.database, hits, order)
        return [with_moments(self.moment_finder, hit, vector, moments) for hit, vector in found]

    def read_query(self, line: str) -> QueryPlan:
        """Read a query line: see `utils.search.query_line` and `utils.search.query_fields`.

        Raises
        ------
        InputError
            If it cannot be read; points at the place.

        """
        return read_query(line, self.tags, knows=self.knows)

    def notes_on(self, text: str) -> list[str]:
        """Say how a query line was understood, and what of it does not count."""
        plan = self.read_query(text)
        on_part = super().notes_on  # of a text that is embedded
        return [*plan.notes, *(note for part in plan.texts for note in on_part(part))]

    def embed_example(self, file: Path) -> tuple[NDArray[np.float32], int | None]:
        """Embed each passage of a sound file: unit vectors, shape (Q, D).

        If the library has a file of this content, nothing is tagged; then its sound is returned
        too.

        Raises
        ------
        UnusableSound
            If the file cannot be used.

        """
        check_sound_file(file, root=file.parent)
        engine = self.engine
        known = engine.library.sound_with(sha256(file))
        if known is None:
            return self.embed_passages(file), None
        return engine.vectors_of(known), known

    def update(self, progress: Progress = quiet, note: Callable[[str], Any] = silent) -> None:
        """Look for changes in the folder, tag what is new, and search the result from now on.

        It may run in a thread beside searches. `measure` comes next.
        """
        cells = self._cells()
        library, changes = update_library(
            self.folder,
            self.index,
            **{**self.cutting, **self._kind},
            tag=partial(self.tag, ended=self._note, cells=cells is not None),
            cells=cells,
            notes=self._notes,
            looking=partial(progress, description="looking", unit="files"),
            reading=partial(progress, description="reading", unit="files"),
            describing=partial(progress, description="reading metadata", unit="sounds"),
            progress=partial(progress, description="tagging", unit="s of sound"),
            note=note,
            accept_truncated=self.accept_truncated,
        )
        self._use(library, changes, progress)
        self.is_current = True
        self.failed_files = write_failed(self.index, "search", self.inventory.failed)

    def measure(self, progress: Progress = quiet) -> int:
        """Measure the loudness of sounds that lack it, and take their fingerprints.

        Hits have their loudness and their near duplicates from then on. It may run in a thread
        beside searches.

        Returns
        -------
        int
            How many sounds were measured.

        """
        measured = measure(
            self.library.database,
            self.folder,
            progress=partial(progress, description="measuring loudness", unit="sounds"),
        )
        compared = take_fingerprints(
            self.library.database,
            self.index,
            self.folder,
            accept_truncated=self.accept_truncated,
            progress=partial(progress, description="looking for near duplicates", unit="sounds"),
        )
        return max(measured, compared)

    def _open_known(self, progress: Progress) -> bool:
        """Search what the index has; returns False if it has no sounds, or is to be converted."""
        library = open_library(self.folder, self.index, **self._kind)
        if library is None:
            return False
        self._use(library, Changes(), progress)
        self.failed_files = None
        return True

    def _use(self, library: Library, changes: Changes, progress: Progress) -> None:
        embeddings = embed_library(
            library,
            library.derived / f"embeddings-{self._digest}.f32",
            self.embed_rows,
            progress=partial(progress, description="embedding", unit="passages"),
        )
        engine = Engine(
            library,
            self,
            nearest=nearest(
                embeddings,
                path=library.derived / f"nearest-{self._digest}.faiss",
                sample=self.embed_tags,  # queries that an approximate index is tuned with
                progress=partial(progress, description="indexing", unit="steps"),
            ),
        )
        cells = self._cells()
        self.moment_finder = cells and MomentFinder(
            library,
            cells.grid,
            embed=self.embed_rows,
            asks_for_silence=engine.asks_for_silence,
            net=self._moment_net,
        )
        self.library, self.changes, self.engine = library, changes, engine
        self._line_search = LineSearch(engine, lambda text: self.embed_text([text])[0])
        self.inventory = Inventory.of(library, changes)

    @cached_property
    def model_id(self) -> str:
        """Distinguishes the vectors of this model, with its networks, from those of others."""
        networks = [self.tagger.made_by["weights_sha256"], self.config.sentence_model.sha256]
        return hashlib.sha256("".join([self._digest, *networks]).encode()).hexdigest()[:16]

    @property
    def _kind(self) -> dict[str, Any]:
        """What the rows of the index are."""
        width = sum(self.tagger.widths)
        return {"origin": self._origin, "width": width, "tags": self.cutting["tags"]}

    def _cells(self) -> SoundCells | None:
        if not self.config.search.moments:
            return None
        width, seconds = sum(self.tagger.widths), self.tagger.made_by["window_seconds"]
        grid = GridFolder(self.index / "grid", origin=self.tagger.made_by, width=width)
        return SoundCells(grid, window_seconds=seconds)

    def _note(self, sound: HeardSound) -> None:
        self._notes[sound.path] = "; ".join(sound.notes)


def _origin(made_by: Mapping[str, Any], search: Search) -> dict[str, Any]:
    """Describe what the rows of an index depend on: the network, and unusual settings."""
    usual = asdict(Search())
    unusual = {name: value for name, value in asdict(search).items() if value != usual[name]}
    return {**{name: made_by[name] for name in _ORIGIN}, **unusual}


def _index_folder(config: Config, folder: Path, origin: Mapping[str, Any]) -> Path:
    place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    network = f"{origin['model']}-{origin['weights_sha256'][:8]}-{origin['precision']}"
    for name in sorted(origin.keys() - set(_ORIGIN)):
        network += f"-{name}-{origin[name]}".lower()
    return config.output_path / "indexes" / f"{folder.name[:_LONGEST_NAME]}-{place}" / network
