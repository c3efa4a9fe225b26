"""The embedded demo sets: synthetic clips with captions, in the layout of a real data set.

A clip depends only on the seed, its split and its index, so that any number of processes, in any
order, writes the same bytes. The disk holds what is needed to resume or recognise a set: `MARKER`
while it is unfinished, `MANIFEST` once it is complete, and a comment in every wav.
"""

import csv
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets.splits import DEMO_MANIFEST as MANIFEST
from utils.demo.scenes.captions import describe_scene
from utils.demo.scenes.layouts import AUDIOCAPS, CLOTHO, HARD, LAYOUTS, Layout
from utils.demo.scenes.names import NUMBERS
from utils.demo.scenes.scene import Scene, render_scene, sample_scene
from utils.demo.sound_events import EVENT_KINDS
from utils.demo.sound_store import (
    TEMPORARY,
    DemoSetReport,
    comment_of,
    problems_of_arguments,
    refuse_foreign,
    write_sound,
)
from utils.files.reading import read_json
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError
from utils.runtime.pools import worker_pool

GENERATOR_VERSION = "1"  # to be raised with every change of the sounds, captions or names
MARKER = "demo_set.unfinished.json"
STATEMENT = "Synthetic sound, computed by the demo set generator; no recording was used"
DEFAULT_CLIPS = {
    CLOTHO.name: (240, 60, 60),
    AUDIOCAPS.name: (300, 20, 40),
    HARD.name: (480, 100, 200),
}
DEFAULT_SEED = 2022

EVENTS_PER_CLIP = (1, 2, 2, 3, 2, 1, 2, 2, 3, 2)  # and again from the start
USUAL_RATE = 44100
OTHER_RATES = {5: 22050, 9: 32000, 13: 48000}  # by index modulo RATE_EVERY
RATE_EVERY = 16
STEREO_EVERY, STEREO_AT = 5, 2
DEEP_EVERY, DEEP_AT = 7, 3  # 24-bit instead of 16-bit


@dataclass(frozen=True)
class Parameters:
    """What determines every byte of a demo set."""

    seed: int
    clips: tuple[int, int, int]
    generator_version: str
    layout: str = CLOTHO.name

    @property
    def shape(self) -> Layout:
        """The layout of that name."""
        return LAYOUTS[self.layout]

    def sounding(self, split: str) -> int:
        """Count the clips of a split that have a file."""
        clips = self.clips[self.shape.splits.index(split)]
        return sum(not self.shape.is_gone(index) for index in range(clips))

    def comment(self, split: str, index: int) -> str:
        """Provenance of one clip, stored in its wav."""
        version = f"version {self.generator_version}"
        return f"{STATEMENT}. {version} seed {self.seed} {split} {index}"

    def made(self, comment: str, split: str) -> bool:
        """Whether a clip with this comment belongs to `split` of this set."""
        index = comment.rpartition(" ")[2]
        known = index.isdecimal() and int(index) < self.clips[self.shape.splits.index(split)]
        return known and comment == self.comment(split, int(index))


def planned_kinds(seed: int, stream: int, index: int) -> tuple[str, ...]:
    """Name the kinds that clip `index` of the split with this stream is built around.

    All kinds occur in shuffled order before any occurs again, so that even 60 clips hold each
    twice.
    """
    names = sorted(EVENT_KINDS)
    block, place = divmod(index, len(EVENTS_PER_CLIP))
    first = block * sum(EVENTS_PER_CLIP) + sum(EVENTS_PER_CLIP[:place])
    kinds = []
    for position in range(first, first + EVENTS_PER_CLIP[place]):
        lap, at = divmod(position, len(names))
        # the last 1 keeps this stream apart from the clips': [seed, stream, clip]
        order = np.random.default_rng([seed, stream, lap, 1]).permutation(len(names))
        kinds.append(names[order[at]])
    return tuple(dict.fromkeys(kinds))


def clip_plan(
    seed: int, split_index: int, index: int, *, layout: Layout = CLOTHO
) -> tuple[Scene, list[str], str, np.random.Generator]:
    """Return scene, captions, file name, and the generator that renders clip `index` of a split."""
    stream = layout.first_stream + split_index
    clip_rng = np.random.default_rng([seed, stream, index])
    scene_rng, caption_rng, render_rng = clip_rng.spawn(3)
    scene = sample_scene(scene_rng, include=planned_kinds(seed, stream, index))
    captions = describe_scene(scene, caption_rng)[: layout.captions[split_index]]
    return scene, captions, layout.file_name(scene, split_index, index), render_rng


def _make_clip(
    folder: Path, parameters: Parameters, split_index: int, index: int
) -> tuple[str, list[str], bool]:
    """Write one clip unless it is there; return name, captions, and whether it was written."""
    layout = parameters.shape
    split = layout.splits[split_index]
    scene, captions, name, rng = clip_plan(parameters.seed, split_index, index, layout=layout)
    if layout.is_gone(index):
        return name, captions, False
    path = folder / layout.audio_folder.format(split=split) / name
    comment = parameters.comment(split, index)
    if path.exists():
        if comment_of(path) == comment:
            return name, captions, False
        raise InputError(
            f"{path} is not part of the demo set, which would overwrite it: move it away, or "
            "choose another folder"
        )
    rate = OTHER_RATES.get(index % RATE_EVERY, USUAL_RATE)
    channels = 2 if index % STEREO_EVERY == STEREO_AT else 1
    subtype = "PCM_24" if index % DEEP_EVERY == DEEP_AT else "PCM_16"
    samples = render_scene(scene, rng, rate, channels=channels, noise_db=layout.noise_db)
    write_sound(path, samples, rate, subtype, comment)
    return name, captions, True


def _read_parameters(path: Path) -> Parameters | None:
    """Read the parameters in a manifest or marker; None if it is missing or not one of ours."""
    try:
        stored = read_json(path)
        layout = LAYOUTS[stored.get("layout", CLOTHO.name)]
        clips = tuple(int(stored["clips"][split]) for split in layout.splits)
        # Sets of older versions hold a hash of the generator's sources instead.
        version = str(stored.get("generator_version"))
        return Parameters(int(stored["seed"]), clips, version, layout.name)
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_parameters(path: Path, parameters: Parameters) -> None:
    content = {"statement": f"{STATEMENT}.", **asdict(parameters)}
    content["clips"] = dict(zip(parameters.shape.splits, parameters.clips, strict=True))
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")


def _is_complete(folder: Path, parameters: Parameters) -> bool:
    """Whether all CSVs exist, and as many clips as there should be."""
    layout = parameters.shape
    for split in layout.splits:
        there = (
            parameters.made(comment_of(path), split)
            for path in (folder / layout.audio_folder.format(split=split)).glob("*.*")
        )
        if sum(there) < parameters.sounding(split):
            return False
        if not (folder / layout.captions_csv.format(split=split)).is_file():
            return False
    return True


def _remove_old(folder: Path, parameters: Parameters) -> None:
    """Remove demo clips and CSVs of other parameters, and temporary files of killed runs."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            path.unlink()
    layout = parameters.shape
    for split in layout.splits:
        (folder / layout.captions_csv.format(split=split)).unlink(missing_ok=True)
        for path in (folder / layout.audio_folder.format(split=split)).iterdir():
            comment = comment_of(path) if path.suffix in (".wav", ".flac") else ""
            of_another = comment.startswith(STATEMENT) and not parameters.made(comment, split)
            if of_another or TEMPORARY.fullmatch(path.name):
                path.unlink()


def _check_arguments(folder: Path, clips: tuple[int, int, int], seed: int, jobs: int) -> None:
    problems = []
    if len(clips) != 3 or not all(1 <= count <= NUMBERS for count in clips):
        problems.append(f"clips must be three numbers from 1 to {NUMBERS}, got {tuple(clips)}")
    if problems := [*problems, *problems_of_arguments(folder, seed, jobs)]:
        raise InputError("; ".join(problems))


def _refuse_foreign(folder: Path, layout: Layout) -> None:
    """Raise unless `folder` is new, empty (hidden files aside) or holds a demo set of ours."""
    stored = (_read_parameters(folder / name) for name in (MANIFEST, MARKER))
    if not folder.exists() or any(of is not None and of.layout == layout.name for of in stored):
        return
    lacking = f"{MANIFEST} of a demo set in this layout"
    refuse_foreign(folder, lacking=lacking, choose="an empty folder for the demo set")


def write_demo_set(
    folder: str | os.PathLike[str],
    *,
    clips: tuple[int, int, int] | None = None,
    seed: int = DEFAULT_SEED,
    jobs: int = 1,
    layout: Layout = CLOTHO,
    progress: Callable[[int], AbstractContextManager] | None = None,
) -> DemoSetReport:
    """Write synthetic clips with captions, in the layout of Clotho v2.1 or of AudioCaps.

    It writes the clips, then the captions, and `MANIFEST` last. A complete set of the same
    parameters is left alone, an interrupted one is resumed, one of other parameters is replaced.

    Parameters
    ----------
    folder : path
        Made if missing. Anything in it that is not part of a demo set is never touched.
    clips : tuple of (int, int, int), optional
        Clips in each split; the layout's `DEFAULT_CLIPS` if None.
    seed : int
        Not negative.
    jobs : int
        Processes; the bytes written do not depend on it.
    layout : Layout
        Layouts have no clip in common.
    progress : callable, optional
        Takes the number of clips and returns a context whose ``update()`` is called after each,
        such as a tqdm bar.

    Raises
    ------
    InputError
        If an argument is out of range, or the folder holds data that is not part of a demo set.

    """
    folder = Path(folder)
    clips = DEFAULT_CLIPS[layout.name] if clips is None else clips
    _check_arguments(folder, clips, seed, jobs)
    _refuse_foreign(folder, layout)
    parameters = Parameters(seed, tuple(clips), GENERATOR_VERSION, layout.name)
    manifest, marker = folder / MANIFEST, folder / MARKER
    total = sum(map(parameters.sounding, layout.splits))
    finished = _read_parameters(manifest) == parameters and not marker.exists()
    if finished and _is_complete(folder, parameters):
        return DemoSetReport(written=0, kept=total, up_to_date=True)

    _write_parameters(marker, parameters)
    manifest.unlink(missing_ok=True)
    for split in layout.splits:
        (folder / layout.audio_folder.format(split=split)).mkdir(parents=True, exist_ok=True)
    _remove_old(folder, parameters)

    with ExitStack() as stack:
        pool = stack.enter_context(worker_pool(jobs)) if jobs > 1 else None
        bar = stack.enter_context(progress(sum(clips))) if progress else None
        written = _write_splits(folder, parameters, pool, bar)
    _write_parameters(manifest, parameters)
    marker.unlink()
    return DemoSetReport(written=written, kept=total - written, up_to_date=False)


def _write_splits(
    folder: Path, parameters: Parameters, pool: ProcessPoolExecutor | None, bar: Any
) -> int:
    """Write all clips, and then the CSVs; return how many clips were new."""
    layout = parameters.shape
    written = 0
    tables = []
    for split_index in range(len(layout.splits)):
        clips = []
        make = partial(_make_clip, folder, parameters, split_index)
        indices = range(parameters.clips[split_index])
        for name, captions, new in pool.map(make, indices) if pool else map(make, indices):
            clips.append((name, captions))
            written += new
            if bar is not None:
                bar.update()
        # the last 2 keeps this stream apart from those of clips and kinds
        stream = [parameters.seed, layout.first_stream + split_index, 0, 2]
        tables.append(layout.table(clips, np.random.default_rng(stream)))
    for split, line_end, table in zip(layout.splits, layout.line_ends, tables, strict=True):
        with atomic_write(folder / layout.captions_csv.format(split=split), "w") as file:
            csv.writer(file, lineterminator=line_end).writerows(table)
    return written
