"""A moment set on disk: recordings, and lists of what can be asked about them.

A recording depends only on its source, the seed, its split and its index, so that any number of
processes, in any order, writes the same bytes. The comment in its file says what it is and holds
its queries, so that it need not be made again to write the lists.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from utils.demo.moments.recording import SAMPLE_RATE, Recording
from utils.demo.sound_store import (
    TEMPORARY,
    DemoSetReport,
    comment_of,
    problems_of_arguments,
    refuse_foreign,
    write_sound,
)
from utils.files.reading import read_json
from utils.files.writing import atomic_write, write_if_changed
from utils.runtime.errors import InputError
from utils.runtime.pools import worker_pool

LIST = "clotho_moment_{split}_release.jsonl"
AUDIO_FOLDER = "audio/{split}"
SUFFIX = ".flac"
MOST_RECORDINGS = 100_000  # in a split
_CHUNKS = 50  # that each process gets; the source travels with every chunk
DEFAULT_RECORDINGS = {"train": 120, "val": 8, "test": 20}


class Source(Protocol):
    """Where recordings come from.

    Attributes
    ----------
    statement : str
        What they are; the beginning of the comment in each file.
    version : str
        Changes with everything that they depend on, except for seed, split and index.
    manifest : str
        Name of the file that a complete set has in its folder.
    splits : tuple of str

    """

    statement: str
    version: str
    manifest: str
    splits: tuple[str, ...]

    def make(self, seed: int, split: str, index: int) -> Recording:
        """Make one recording."""


def write_moment_set(
    folder: str | os.PathLike[str],
    source: Source,
    *,
    recordings: Sequence[int] | None = None,
    seed: int,
    jobs: int = 1,
    progress: Callable[[int], AbstractContextManager] | None = None,
) -> DemoSetReport:
    """Write recordings with queries, in the layout of Clotho-Moment.

    It writes the recordings, then the lists, and the manifest last. A complete set of the same
    parameters is left alone, an interrupted one is resumed, one of other parameters is replaced.

    Parameters
    ----------
    folder : path
        Made if missing. Anything in it that is not part of a moment set is never touched.
    source : Source
    recordings : sequence of int, optional
        In each split of the source; its `DEFAULT_RECORDINGS` if None. One number is that of every
        split.
    seed : int
        Not negative.
    jobs : int
        Processes; the bytes written do not depend on it.
    progress : callable, optional
        Takes the number of recordings and returns a context whose ``update()`` is called after
        each, such as a tqdm bar.

    Raises
    ------
    InputError
        If an argument is out of range, or the folder holds data that is not part of a moment set.

    """
    counts = tuple(recordings or (DEFAULT_RECORDINGS[split] for split in source.splits))
    if len(counts) == 1:
        counts *= len(source.splits)
    plan = _Plan(Path(folder), source, counts, seed)
    plan.check(jobs)
    changed = plan.prepare()
    with ExitStack() as stack:
        pool = stack.enter_context(worker_pool(jobs)) if jobs > 1 and not plan.is_there() else None
        bar = stack.enter_context(progress(sum(counts))) if progress else None
        made = 0
        lists: dict[str, list[str]] = {split: [] for split in source.splits}
        chunk = 1 + sum(counts) // (_CHUNKS * jobs)
        given = pool.map(plan.provide, plan.all(), chunksize=chunk) if pool else None
        for split, rows, new in given or map(plan.provide, plan.all()):
            lists[split] += rows
            made += new
            if bar is not None:
                bar.update()
    for split, rows in lists.items():
        content = "".join(f"{row}\n" for row in rows).encode()
        changed |= write_if_changed(plan.list_file(split), content)
    return DemoSetReport(made, sum(counts) - made, up_to_date=not made and not changed)


@dataclass(frozen=True)
class _Plan:
    """Which recordings of a source a folder is to hold."""

    folder: Path
    source: Source
    recordings: tuple[int, ...]
    seed: int

    def check(self, jobs: int) -> None:
        """Raise if an argument is out of range, or if the folder holds something else."""
        splits = self.source.splits
        problems = []
        if len(self.recordings) != len(splits) or not all(
            1 <= count <= MOST_RECORDINGS for count in self.recordings
        ):
            problems.append(
                f"recordings must be {len(splits)} numbers from 1 to {MOST_RECORDINGS} "
                f"({', '.join(splits)}), got {self.recordings}"
            )
        if problems := [*problems, *problems_of_arguments(self.folder, self.seed, jobs)]:
            raise InputError("; ".join(problems))
        if not self.folder.exists() or self.stored().get("statement") == self.source.statement:
            return
        lacking = f"{self.source.manifest} of such a set"
        refuse_foreign(self.folder, lacking=lacking, choose="an empty folder")

    @property
    def parameters(self) -> dict[str, Any]:
        """What determines every byte of the set."""
        return {
            "statement": self.source.statement,
            "version": self.source.version,
            "seed": self.seed,
            "recordings": dict(zip(self.source.splits, self.recordings, strict=True)),
        }

    def stored(self) -> dict[str, Any]:
        """Read the parameters of the set in the folder; empty if it holds none of ours."""
        try:
            stored = read_json(self.folder / self.source.manifest)
        except InputError:
            return {}
        return stored if isinstance(stored, dict) else {}

    def prepare(self) -> bool:
        """Remove what belongs to other parameters; return whether they were other ones."""
        changed = self.stored() != self.parameters
        if changed:
            for split in self.source.splits:
                self.list_file(split).unlink(missing_ok=True)
            with atomic_write(self.folder / self.source.manifest, "w") as file:
                file.write(json.dumps(self.parameters, indent=2) + "\n")
        wanted = {self.path(*which): which for which in self.all()}
        for folder in (self.folder, *(self.folder / f"audio/{s}" for s in self.source.splits)):
            for path in folder.iterdir() if folder.is_dir() else ():
                if TEMPORARY.fullmatch(path.name) or self.is_old(path, wanted):
                    path.unlink()
        return changed

    def is_old(self, path: Path, wanted: dict[Path, tuple[str, int]]) -> bool:
        """Whether a file is a recording of such a set, but none of this one."""
        if path.suffix != SUFFIX:
            return False
        comment = comment_of(path)
        ours = comment.startswith(self.source.statement)
        return ours and (path not in wanted or self.rows_in(comment, *wanted[path]) is None)

    def all(self) -> Iterator[tuple[str, int]]:
        """All recordings, as split and index."""
        for split, count in zip(self.source.splits, self.recordings, strict=True):
            yield from ((split, index) for index in range(count))

    def list_file(self, split: str) -> Path:
        """The list of a split."""
        return self.folder / LIST.format(split=split)

    def path(self, split: str, index: int) -> Path:
        """The file of a recording."""
        return self.folder / "audio" / split / f"{split}_{index:05}{SUFFIX}"

    def identity(self, split: str, index: int) -> str:
        """What the comment of a recording begins with."""
        version = f"version {self.source.version} seed {self.seed}"
        return f"{self.source.statement}. {version} {split} {index}"

    def rows_in(self, comment: str, split: str, index: int) -> list[str] | None:
        """The rows of a recording in the list, by its comment; None if it is not its comment."""
        identity, *rows = comment.split("\n")
        return rows if identity == self.identity(split, index) else None

    def is_there(self) -> bool:
        """Whether every recording has a file."""
        return all(self.path(*which).exists() for which in self.all())

    def provide(self, which: tuple[str, int]) -> tuple[str, list[str], bool]:
        """Make a recording unless it is there; return split, rows, and whether it was made."""
        path = self.path(*which)
        if path.exists():
            rows = self.rows_in(comment_of(path), *which)
            if rows is None:
                raise InputError(
                    f"{path} is not part of the set, which would overwrite it: move it away, or "
                    "choose another folder"
                )
            return which[0], rows, False
        recording = self.source.make(self.seed, *which)
        rows = list(recording.rows(path.stem))
        comment = "\n".join([self.identity(*which), *rows])
        write_sound(path, recording.samples, SAMPLE_RATE, "PCM_16", comment)
        return which[0], rows, True
