"""What is measured of builds: script 07 from its start to an answer, and queries.

Each stage prepares what is searched, and gives steps, which are taken in each round.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from utils.benchmark.builds import Build, Sample
from utils.benchmark.made_up_library import MadeUpLibrary
from utils.benchmark.page_cache import drop_pages
from utils.datasets import audioset
from utils.features.sentences import TextEncoder
from utils.settings.config import Config

_SOUNDS, _RATE = 22, 32_000  # of the small folder
_CHANGED = 10  # files of a library, before each update
_TEXTS = (
    "rain falls on a roof", "a dog barks in the distance", "people talk", "an engine idles",
    "birds sing", "a door closes", "music and applause", "wind and thunder", "a child laughs",
    "water runs", "someone walks on gravel", "a siren passes", "a cat", "glass breaks",
    "a train with its horn", "rain",
)  # fmt: skip
_LIBRARY, _SMALL_LIBRARY = 1_000_000, 300  # sounds

Measured = dict[tuple[str, str], Sample]  # by what is measured, and its unit


class Step(NamedTuple):
    """A part of a round: `before` is done once, then each build is measured in turn."""

    measure: Callable[[Build], Measured]
    before: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Plan:
    """What all builds are measured with.

    Attributes
    ----------
    builds : sequence of Build
    config : Config
        Of this checkout.
    model : Path
        A model that all of them read.
    config_file : Path or None
        By default each build has its own.
    overrides : sequence of str
        ``key=value`` settings.
    sounds : int or None
        Of the library.
    small : bool
        Whether sizes are tiny.
    report : callable
        Called with each step of a long stage.

    """

    builds: Sequence[Build]
    config: Config
    model: Path
    config_file: Path | None
    overrides: Sequence[str]
    sounds: int | None
    small: bool
    report: Callable[[str], Any] = lambda text: None

    @property
    def settings(self) -> list[str | Path]:
        """The settings on a command line."""
        file = ["--config", self.config_file] if self.config_file else []
        return [*file, *(part for setting in self.overrides for part in ("--set", setting))]

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """Make a temporary folder on the disk of the outputs."""
        self.config.output_path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=self.config.output_path) as name:
            yield Path(name).resolve()


class _Searched:
    """A folder of sounds, and an index of it for each build."""

    def __init__(self, plan: Plan, folder: Path, indexes: Path) -> None:
        self.folder = folder
        self._plan, self._indexes = plan, indexes

    def index(self, build: Build) -> Path:
        return self._indexes / build.name

    def search(self, build: Build, *, known: bool = True) -> tuple[Sample, str]:
        where = ("--audio", self.folder, "--index", self.index(build), "--model", self._plan.model)
        return build.search(*where, *self._plan.settings, _TEXTS[0], known=known)

    def drive(self, build: Build, task: str, **values: Any) -> Any:
        return build.drive(
            task,
            model=self._plan.model,
            folder=self.folder,
            config=self._plan.config_file,
            overrides=self._plan.overrides,
            index=self.index(build),
            **values,
        )

    def query(self, build: Build, texts: Sequence[str]) -> Sample:
        found = self.drive(build, "query", texts=texts)
        note = f"{found['recall']:.1%} of the ten best"
        return Sample(float(np.median(found["seconds"])), note=note)


@contextlib.contextmanager
def cold_start(plan: Plan) -> Iterator[list[Step]]:
    """Measure script 07 from its start to its first answer in a few sounds."""
    with _few_sounds(plan) as searched:

        def warm(build: Build) -> Measured:
            return {("cold start", f"{_SOUNDS} sounds"): searched.search(build)[0]}

        def cold(build: Build) -> Measured:
            model = plan.config.sentence_model.path
            stayed = drop_pages(build.root, plan.model, model, searched.index(build))
            if stayed is None:
                return {}
            note = f"{stayed:.0%} stayed in memory, where other processes use it"
            sample = searched.search(build)[0]._replace(note=note)
            return {("cold start from the disk", f"{_SOUNDS} sounds"): sample}

        yield [Step(warm), Step(cold)]


@contextlib.contextmanager
def query(plan: Plan) -> Iterator[list[Step]]:
    """Measure queries in a few sounds, after the first one."""
    with _few_sounds(plan) as searched:
        yield [Step(lambda build: {("query", f"{_SOUNDS} sounds"): searched.query(build, _TEXTS)})]


@contextlib.contextmanager
def library(plan: Plan) -> Iterator[list[Step]]:
    """Measure a library of a million sounds: the first answer, an update, and queries."""
    count = plan.sounds or (_SMALL_LIBRARY if plan.small else _LIBRARY)
    with plan.folder() as folder, _few_sounds(plan) as few:
        names = audioset.read_labels()
        plan.report(f"writing {count} sounds")
        made_up = MadeUpLibrary(folder / "sounds", count, names, TextEncoder(plan.config)(names))
        searched = _Searched(plan, made_up.folder, folder / "indexes")
        ready: dict[Build, float] = {}
        for build in plan.builds:
            made_up.write_index(searched.index(build), **searched.drive(build, "kind"))
            plan.report(f"{build.name}: wrote an index")
        for build in plan.builds:
            ready[build] = searched.drive(build, "settle")["seconds"]
            plan.report(f"{build.name}: made it ready in {ready[build]:.0f} s")
        alone = {build: few.search(build)[0].mb for build in plan.builds}
        seeds = iter(range(1, 1_000_000))
        unit = f"{count:.0e} sounds"

        def first_answer(build: Build) -> Measured:
            sample, _ = searched.search(build)
            note = f"index made ready in {ready[build]:.0f} s"
            if sample.mb is not None:
                note = f"MB beyond those of {_SOUNDS} sounds, {alone[build]:.0f}; {note}"
                sample = sample._replace(mb=sample.mb - alone[build])
            return {("library, first answer", unit): sample._replace(note=note)}

        def update(build: Build) -> Measured:
            sample, _ = searched.search(build, known=False)
            return {(f"library, {_CHANGED} files changed", unit): sample._replace(mb=None)}

        def queries(build: Build) -> Measured:
            return {("library, query", unit): searched.query(build, _TEXTS)}

        yield [
            Step(first_answer),
            Step(update, before=lambda: made_up.change(_CHANGED, seed=next(seeds))),
            Step(queries),
        ]


@contextlib.contextmanager
def own(plan: Plan, stage: str) -> Iterator[list[Step]]:
    """Measure a stage that scripts/benchmark.py of each build has."""
    with plan.folder() as folder:

        def measure(build: Build) -> Measured:
            small = ["--small"] if plan.small else []
            settings = [*plan.settings, "--set", f"output_path={folder}"]
            build.run("scripts/benchmark.py", "--stages", stage, *small, *settings)
            rows = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
            return {
                (row["stage"], row["unit"]): Sample(row["ours"], row["ours_mb"]) for row in rows
            }

        yield [Step(measure)]


STAGES = {"cold_start": cold_start, "query": query, "library": library}


@contextlib.contextmanager
def _few_sounds(plan: Plan) -> Iterator[_Searched]:
    """Make a folder of a few sounds, and let each build index it."""
    with plan.folder() as folder:
        sounds, rng = folder / "sounds", np.random.default_rng(0)
        sounds.mkdir()
        for number in range(_SOUNDS):
            seconds = rng.integers(2, 11)
            noise = 0.1 * rng.standard_normal(seconds * _RATE)
            soundfile.write(sounds / f"noise {number}.wav", noise, _RATE)
        searched = _Searched(plan, sounds, folder / "indexes")
        for build in plan.builds:
            searched.search(build, known=False)
        yield searched
