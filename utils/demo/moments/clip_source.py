"""Recordings of clips in Clotho's layout over backgrounds, as Clotho-Moment was made."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from utils.audio.sniffing import is_sound
from utils.audio.sound_file import UnusableSound, fingerprint, mono_blocks, open_sound
from utils.datasets import clotho
from utils.demo.moments.recipe import (
    BACKGROUND_DB,
    FOREGROUND_DB,
    GAP_SECONDS,
    Placed,
    Samples,
    audible,
    looped,
    mix,
)
from utils.demo.moments.recording import SAMPLE_RATE, Query, Recording, window
from utils.runtime.errors import InputError

RECORDING_SECONDS = 60
BLOCK_SECONDS, BELOW_DB = 1.0, 5.0  # what is cut off at both ends of a clip
SPLITS = {"development": "train", "validation": "val", "evaluation": "test"}  # Clotho's to ours


@dataclass(frozen=True)
class Clip:
    """A sound and its captions."""

    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Background:
    """A piece of a sound: where it starts, in samples of the file, and the rate of the file."""

    path: Path
    start: int
    rate: int


@dataclass(frozen=True)
class ClipSource:
    """Makes recordings of 60 s from clips and backgrounds, by split.

    Attributes
    ----------
    clips : dict of str to tuple of Clip
    backgrounds : dict of str to tuple of Background
        A recording has one of these as its background, whose sound is looped if it is shorter.
    version : str
        Changes with the contents of the files.
    missing : int
        Clips that have captions and no wav.

    """

    clips: dict[str, tuple[Clip, ...]]
    backgrounds: dict[str, tuple[Background, ...]]
    version: str
    missing: int = 0
    statement: str = "Clips mixed into backgrounds by scripts/00_make_demo_data.py"
    manifest: str = "moment_set.json"

    @classmethod
    def open(cls, clips_folder: Path, backgrounds_folder: Path) -> "ClipSource":
        """Find clips, captions and backgrounds.

        Splits of which there are no captions, or no wav, are left out. No two splits share a
        background file, unless there are fewer files than splits.

        Raises
        ------
        InputError
            If there are no captions, no wavs or no backgrounds, or if a file of them is wrong.

        """
        clips, missing = _find_clips(clips_folder)
        files = _find_sounds(backgrounds_folder)
        shared = len(files) < len(clips)
        backgrounds = {
            split: tuple(
                piece
                for path in (files if shared else files[place :: len(clips)])
                for piece in _pieces(path)
            )
            for place, split in enumerate(clips)
        }
        return cls(clips, backgrounds, _version(clips, files), missing)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have clips."""
        return tuple(self.clips)

    def make(self, seed: int, split: str, index: int) -> Recording:
        """Make recording `index` of a split.

        Raises
        ------
        UnusableSound
            If a file cannot be decoded or is silent.

        """
        rng = np.random.default_rng([seed, list(SPLITS.values()).index(split), index])
        pieces = self.backgrounds[split]
        background = _read_background(pieces[_dealt(seed, index, len(pieces))])
        clips = self.clips[split]
        placed, queries = [], []
        at = 0
        for which in rng.permutation(len(clips)).tolist():
            at += round(rng.exponential(GAP_SECONDS) * SAMPLE_RATE)
            if at >= len(background):
                break
            sound = _read_clip(clips[which].path)
            if at + len(sound) > len(background):
                break
            db = float(rng.uniform(*FOREGROUND_DB))
            captions = clips[which].captions
            text = captions[rng.integers(len(captions))]
            placed.append(Placed(at, sound, db))
            queries.append(Query(text, [window(at, len(sound))], round(db, 2)))
            at += len(sound)
        return Recording(mix(background, float(rng.uniform(*BACKGROUND_DB)), placed), queries)


def _dealt(seed: int, index: int, count: int) -> int:
    """Deal all of `count` cards in random order before any again; return card `index`."""
    lap, place = divmod(index, count)
    return int(np.random.default_rng([seed, lap]).permutation(count)[place])


def _find_clips(folder: Path) -> tuple[dict[str, tuple[Clip, ...]], int]:
    """Return the clips of each split that has any, and the number of clips without a wav."""
    tables = {
        split: clotho.read_captions_csv(path, blank_captions=True)
        for split in SPLITS
        if (path := clotho.captions_csv(folder, split)).exists()
    }
    if not tables:
        raise InputError(
            f"{folder} has no captions: it needs {clotho.captions_csv(folder, 'evaluation').name}, "
            "or that of another split, and a folder of wavs for each."
        )
    found = {
        split: clotho.find_audio(folder / split, table)
        for split, table in tables.items()
        if (folder / split).is_dir()
    }
    clips = {
        SPLITS[split]: tuple(Clip(path, tuple(tables[split][n])) for n, path in wavs.items())
        for split, wavs in found.items()
        if wavs
    }
    if not clips:
        raise InputError(
            f"{folder} has captions, and no wav that they name: put the wavs into "
            f"{', '.join(str(folder / split) for split in tables)}."
        )
    return clips, sum(map(len, tables.values())) - sum(map(len, clips.values()))


def _find_sounds(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: --backgrounds needs a folder of sounds.")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    sounds = [path for path in files if is_sound(path)]
    if not sounds:
        raise InputError(
            f"{folder} has no sounds: --backgrounds needs a folder of sounds, such as recordings "
            "of streets, in any form that FFmpeg decodes."
        )
    return sounds


def _pieces(path: Path) -> Iterator[Background]:
    """Cut a background into pieces of 60 s, without the rest; a shorter one is one piece."""
    with open_sound(path) as sound:
        frames = sound.count() if sound.frames is None else sound.frames
        size = RECORDING_SECONDS * sound.samplerate
        if not frames:
            raise UnusableSound(path, "holds no samples")
        for number in range(max(1, frames // size)):
            yield Background(path, number * size, sound.samplerate)


def _version(clips: dict[str, tuple[Clip, ...]], backgrounds: list[Path]) -> str:
    """Hash everything that the recordings depend on."""
    parts = [(clip.path, *clip.captions) for of_split in clips.values() for clip in of_split]
    parts += [(path,) for path in backgrounds]
    lines = (repr((path.name, fingerprint(path), *texts)) for path, *texts in parts)
    return "1-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read_background(piece: Background) -> Samples:
    """Read a piece of a background, mixed down, at 32 kHz, of exactly 60 s."""
    with open_sound(piece.path) as sound:
        sound.seek(piece.start)
        samples = sound.read(RECORDING_SECONDS * piece.rate).mean(axis=1)
    samples = soxr.resample(samples, piece.rate, SAMPLE_RATE)
    _require_sound(piece.path, samples)
    return looped(samples, RECORDING_SECONDS * SAMPLE_RATE, SAMPLE_RATE)


def _read_clip(path: Path) -> Samples:
    """Read a clip, mixed down, at 32 kHz, cut to what is heard."""
    samples = np.concatenate(list(mono_blocks(path, sample_rate=SAMPLE_RATE)))
    _require_sound(path, samples)
    return audible(samples, SAMPLE_RATE, block_seconds=BLOCK_SECONDS, below_db=BELOW_DB)


def _require_sound(path: Path, samples: Samples) -> None:
    if not np.isfinite(samples).all():
        raise UnusableSound(path, "holds NaN or infinite samples")
    if not samples.any():
        raise UnusableSound(path, "is silent")
