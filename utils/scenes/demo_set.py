"""The embedded demo set: synthetic clips with captions, in Clotho's layout and with its oddities.

A clip is a function of the seed, its split and its index alone, so that any number of processes,
in any order, writes the same bytes. What a run needs to be continued or recognised is on disk:
`MARKER` while it is unfinished, `MANIFEST` once it is complete, and a comment in every wav.
"""

import csv
import hashlib
import json
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from utils import sound_events
from utils.datasets import DEMO_MANIFEST as MANIFEST
from utils.datasets import SPLITS
from utils.errors import InputError
from utils.files import atomic_write, read_json
from utils.scenes.captions import CAPTIONS, describe_scene
from utils.scenes.names import NUMBERS, clip_name
from utils.scenes.scene import Scene, render_scene, sample_scene
from utils.sound_events import EVENT_KINDS

LINE_ENDS = {"development": "\r\n", "validation": "\r\n", "evaluation": "\n"}  # as in Clotho v2.1
MARKER = "demo_set.unfinished.json"
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")  # what `atomic_write` leaves when it is killed
STATEMENT = "Synthetic sound, computed by the demo set generator; no recording was used"
DEFAULT_CLIPS = (240, 60, 60)
DEFAULT_SEED = 2022

EVENTS_PER_CLIP = (1, 2, 2, 3, 2, 1, 2, 2, 3, 2)  # and again from the start
USUAL_RATE = 44100
OTHER_RATES = {5: 22050, 9: 32000, 13: 48000}  # by index modulo RATE_EVERY
RATE_EVERY = 16
STEREO_EVERY, STEREO_AT = 5, 2
DEEP_EVERY, DEEP_AT = 7, 3  # 24-bit instead of 16-bit
PENDING_PER_JOB = 4


@dataclass(frozen=True)
class Parameters:
    """What determines every byte of a demo set."""

    seed: int
    clips: tuple[int, int, int]
    generator_sha256: str

    def comment(self, split: str, index: int) -> str:
        """Provenance of one clip, stored in its wav."""
        return f"{STATEMENT}. {self.generator_sha256} seed {self.seed} {split} {index}"

    def made(self, comment: str, split: str) -> bool:
        """Whether a clip with this comment belongs to `split` of this set."""
        index = comment.rpartition(" ")[2]
        known = index.isdecimal() and int(index) < self.clips[SPLITS.index(split)]
        return known and comment == self.comment(split, int(index))


@dataclass(frozen=True)
class DemoSetReport:
    """What `write_demo_set` did.

    Attributes
    ----------
    written, kept : int
        Clips rendered now, and clips of an interrupted run that were there already.
    up_to_date : bool
        The set was complete and nothing was done.
    """

    written: int
    kept: int
    up_to_date: bool


def source_hash() -> str:
    """SHA-256 over the sources of the generator, in order of their names."""
    digest = hashlib.sha256()
    for folder in (Path(sound_events.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            text = path.read_text(encoding="utf-8")  # universal newlines: a checkout may have CRLF
            digest.update(f"{folder.name}/{path.name}\n{text}".encode())
    return digest.hexdigest()


def planned_kinds(seed: int, split_index: int, index: int) -> tuple[str, ...]:
    """Names of the kinds that clip `index` of a split is built around.

    All kinds pass in shuffled order before any comes again, so that even 60 clips hold each twice.
    """
    names = sorted(EVENT_KINDS)
    block, place = divmod(index, len(EVENTS_PER_CLIP))
    first = block * sum(EVENTS_PER_CLIP) + sum(EVENTS_PER_CLIP[:place])
    kinds = []
    for position in range(first, first + EVENTS_PER_CLIP[place]):
        lap, at = divmod(position, len(names))
        # the last 1 keeps this stream apart from the clips': [seed, split, clip]
        order = np.random.default_rng([seed, split_index, lap, 1]).permutation(len(names))
        kinds.append(names[order[at]])
    return tuple(dict.fromkeys(kinds))


def clip_plan(
    seed: int, split_index: int, index: int
) -> tuple[Scene, list[str], str, np.random.Generator]:
    """Return scene, five captions, file name, and the generator that renders clip `index`."""
    clip_rng = np.random.default_rng([seed, split_index, index])
    scene_rng, caption_rng, render_rng = clip_rng.spawn(3)
    scene = sample_scene(scene_rng, include=planned_kinds(seed, split_index, index))
    captions = describe_scene(scene, caption_rng)
    return scene, captions, clip_name(scene, SPLITS[split_index], index), render_rng


def _comment_of(path: Path) -> str:
    """Comment stored in a wav; empty for a file that has none or is no wav."""
    try:
        with soundfile.SoundFile(path) as file:
            return file.comment
    except (soundfile.LibsndfileError, OSError):
        return ""


def _write_wav(path: Path, samples: np.ndarray, rate: int, subtype: str, comment: str) -> None:
    """Write `samples` (N,) or (N, 2) as a wav that appears only when it is whole."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with (
        atomic_write(path, "w+b") as stream,
        soundfile.SoundFile(stream, "w", rate, channels, subtype, format="WAV") as file,
    ):
        file.comment = comment
        file.write(samples)


def _make_clip(
    folder: Path, parameters: Parameters, split_index: int, index: int
) -> tuple[str, list[str], bool]:
    """Write one clip unless it is there; return name, captions, and whether it was written."""
    split = SPLITS[split_index]
    scene, captions, name, rng = clip_plan(parameters.seed, split_index, index)
    path = folder / split / name
    comment = parameters.comment(split, index)
    if path.exists():
        if _comment_of(path) == comment:
            return name, captions, False
        raise InputError(
            f"{path} is in the way of the demo set and is not of it: move it away, or choose "
            "another folder"
        )
    rate = OTHER_RATES.get(index % RATE_EVERY, USUAL_RATE)
    channels = 2 if index % STEREO_EVERY == STEREO_AT else 1
    subtype = "PCM_24" if index % DEEP_EVERY == DEEP_AT else "PCM_16"
    samples = render_scene(scene, rng, rate, channels=channels)
    _write_wav(path, samples, rate, subtype, comment)
    return name, captions, True


def _make_clips(
    folder: Path,
    parameters: Parameters,
    split_index: int,
    pool: ProcessPoolExecutor | None,
    jobs: int,
) -> Iterator[tuple[str, list[str], bool]]:
    """Make the clips of a split in order, never more than a few of them waiting in the pool."""
    indices: Iterable[int] = range(parameters.clips[split_index])
    if pool is None:
        for index in indices:
            yield _make_clip(folder, parameters, split_index, index)
        return
    indices = iter(indices)
    pending: deque[Future] = deque()
    while True:
        for index in islice(indices, PENDING_PER_JOB * jobs - len(pending)):
            pending.append(pool.submit(_make_clip, folder, parameters, split_index, index))
        if not pending:
            return
        yield pending.popleft().result()


def _read_parameters(path: Path) -> Parameters | None:
    """Parameters in a manifest or marker; None when there is none or it is not one of ours."""
    try:
        stored = read_json(path)
        clips = tuple(int(stored["clips"][split]) for split in SPLITS)
        return Parameters(int(stored["seed"]), clips, str(stored["generator_sha256"]))
    except (InputError, ValueError, KeyError, TypeError):
        return None


def _write_parameters(path: Path, parameters: Parameters) -> None:
    content = {"statement": f"{STATEMENT}.", **asdict(parameters)}
    content["clips"] = dict(zip(SPLITS, parameters.clips, strict=True))
    with atomic_write(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")


def _csv_path(folder: Path, split: str) -> Path:
    return folder / f"clotho_captions_{split}.csv"


def _is_complete(folder: Path, parameters: Parameters) -> bool:
    """Whether all CSVs, with the right number of rows, and all files that they name are there."""
    for split, clips in zip(SPLITS, parameters.clips, strict=True):
        path = _csv_path(folder, split)
        if not path.is_file():
            return False
        with path.open(newline="", encoding="utf-8") as file:
            names = [row["file_name"] for row in csv.DictReader(file)]
        there = {entry.name for entry in (folder / split).glob("*.wav")}
        if len(names) != clips or not there.issuperset(names):
            return False
    return True


def _remove_old(folder: Path, parameters: Parameters) -> None:
    """Remove the demo clips and CSVs of other parameters, and what a killed run left behind."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            path.unlink()
    for split in SPLITS:
        _csv_path(folder, split).unlink(missing_ok=True)
        for path in (folder / split).iterdir():
            comment = _comment_of(path) if path.suffix == ".wav" else ""
            of_another = comment.startswith(STATEMENT) and not parameters.made(comment, split)
            if of_another or TEMPORARY.fullmatch(path.name):
                path.unlink()


def _check_arguments(folder: Path, clips: tuple[int, int, int], seed: int, jobs: int) -> None:
    problems = []
    if len(clips) != len(SPLITS) or not all(1 <= count <= NUMBERS for count in clips):
        problems.append(f"clips must be three numbers from 1 to {NUMBERS}, got {tuple(clips)}")
    if seed < 0:
        problems.append(f"seed must not be negative, got {seed}")
    if jobs < 1:
        problems.append(f"jobs must be at least 1, got {jobs}")
    if folder.exists() and not folder.is_dir():
        problems.append(f"{folder} is not a folder: choose another")
    if problems:
        raise InputError("; ".join(problems))


def _refuse_foreign(folder: Path) -> None:
    """Raise unless `folder` is new, empty (hidden files aside) or holds a demo set of ours."""
    ours = any(_read_parameters(folder / name) for name in (MANIFEST, MARKER))
    if ours or not folder.exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign:
        shown = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise InputError(
            f"{folder} is not empty ({shown}) and has no {MANIFEST} of a demo set: nothing was "
            "written, so that no data of yours is lost; choose an empty folder for the demo set"
        )


def write_demo_set(
    folder: str | os.PathLike[str],
    *,
    clips: tuple[int, int, int] = DEFAULT_CLIPS,
    seed: int = DEFAULT_SEED,
    jobs: int = 1,
    progress: Callable[[int], AbstractContextManager] | None = None,
) -> DemoSetReport:
    """Write synthetic clips with five captions each, in the layout of Clotho v2.1.

    Writes ``{development,validation,evaluation}/*.wav``, then ``clotho_captions_{split}.csv``, and
    last `MANIFEST`. A complete set of the same parameters is left alone, an interrupted one is
    continued, one of other parameters is replaced.

    Parameters
    ----------
    folder : path
        Made when missing. Anything in it that is not of a demo set is never touched.
    clips : tuple of (int, int, int)
        Clips in development, validation and evaluation.
    seed : int
        Not negative.
    jobs : int
        Processes; the bytes written do not depend on it.
    progress : callable, optional
        Given the number of clips, returns a context whose ``update()`` is called after each one,
        such as a tqdm bar.

    Returns
    -------
    DemoSetReport

    Raises
    ------
    utils.errors.InputError
        When an argument is out of range, or the folder holds data that is not of a demo set.
    """
    folder = Path(folder)
    _check_arguments(folder, clips, seed, jobs)
    _refuse_foreign(folder)
    parameters = Parameters(seed, tuple(clips), source_hash())
    manifest, marker = folder / MANIFEST, folder / MARKER
    finished = _read_parameters(manifest) == parameters and not marker.exists()
    if finished and _is_complete(folder, parameters):
        return DemoSetReport(written=0, kept=sum(clips), up_to_date=True)

    _write_parameters(marker, parameters)
    manifest.unlink(missing_ok=True)
    for split in SPLITS:
        (folder / split).mkdir(exist_ok=True)
    _remove_old(folder, parameters)

    with ExitStack() as stack:
        pool = None
        if jobs > 1:
            # "spawn", because a fork of a process with threads may hang
            pool = ProcessPoolExecutor(
                jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
            )
            stack.callback(pool.shutdown, cancel_futures=True)
        bar = stack.enter_context(progress(sum(clips))) if progress else None
        written = _write_splits(folder, parameters, pool, jobs, bar)
    _write_parameters(manifest, parameters)
    marker.unlink()
    return DemoSetReport(written=written, kept=sum(clips) - written, up_to_date=False)


def _write_splits(
    folder: Path, parameters: Parameters, pool: ProcessPoolExecutor | None, jobs: int, bar: Any
) -> int:
    """Write all clips, and the CSVs once all clips are there; return how many clips were new."""
    written = 0
    header = ["file_name", *(f"caption_{i + 1}" for i in range(CAPTIONS))]
    with ExitStack() as stack:  # the CSVs appear under their names when the stack closes
        for split_index, split in enumerate(SPLITS):
            file = stack.enter_context(atomic_write(_csv_path(folder, split), "w"))
            rows = csv.writer(file, lineterminator=LINE_ENDS[split])
            rows.writerow(header)
            for name, captions, new in _make_clips(folder, parameters, split_index, pool, jobs):
                rows.writerow([name, *captions])
                written += new
                if bar is not None:
                    bar.update()
    return written
