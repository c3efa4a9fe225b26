"""The data sets that the settings name: Clotho, AudioCaps, the Task 6b subset, sets of moments.

Each has its splits, its sound files, and the files that the scripts write for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.datasets import audiocaps, clotho, moment_sets, splits, task6b
from utils.datasets.moment_lists import MomentQuery
from utils.datasets.moment_sets import CASTELLA, CLOTHO_MOMENT
from utils.datasets.sound_checks import list_wavs, report_others
from utils.datasets.splits import CaptionSplit, QuerySplit
from utils.runtime import terminal
from utils.runtime.errors import InputError, UnreadableError
from utils.settings.needed_files import Needed

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import Config, DataFiles

CLOTHO, AUDIOCAPS, TASK6B = "clotho", "audiocaps", "task6b"
MOMENT_SETS = (CASTELLA, CLOTHO_MOMENT)
_SECTIONS = {
    CLOTHO: "train_data",
    AUDIOCAPS: "audiocaps",
    TASK6B: "eval_data",
    **moment_sets.SECTIONS,
}

# What is written for a data set, by which script.
PREPROCESSED, AUDIO, SENTENCES, TAGS = "captions", "audio vectors", "text vectors", "tag vectors"
_SCRIPTS = {
    PREPROCESSED: "scripts/01_preprocess.py",
    AUDIO: "scripts/03_audio_features.py",
    SENTENCES: "scripts/04_sentence_embeddings.py",
    TAGS: "scripts/06_audioset_tag_embeddings.py",
}
_SCRIPTS_OF_TASK6B = {
    PREPROCESSED: "scripts/02_preprocess_evaluation_set_task6b.py",
    SENTENCES: "scripts/05_sentence_embeddings_evaluation_set_task6b.py",
}


@dataclass(frozen=True)
class Corpus:
    """One of the data sets."""

    subset: str  # CLOTHO, AUDIOCAPS, TASK6B, CASTELLA or CLOTHO_MOMENT
    folder: Path  # of its sound files and captions
    files: DataFiles  # what the scripts write for it
    audio_folders: dict[str, Path]  # of the sound files of each split

    @property
    def synthetic_note(self) -> str | None:
        """The sentence that says that its sounds are synthetic, if they are."""
        return splits.synthetic_note(self.folder)

    @property
    def section(self) -> str:
        """The section of the settings that is about it."""
        return _SECTIONS[self.subset]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of its splits."""
        return tuple(self.audio_folders)

    def load(self, split: str) -> QuerySplit:
        """Read the preprocessed captions of a split: a `CaptionSplit` where clips are known."""
        if self.subset == TASK6B:
            return task6b.load_queries(self.files.input_path)
        with self.advising(PREPROCESSED):
            return splits.load_captions(self.files.input_path, split)

    def load_moments(self, split: CaptionSplit) -> list[MomentQuery]:
        """Read the query behind each caption of a split of a moment set, in the same order."""
        with self.advising(PREPROCESSED):
            return moment_sets.load_moments(self.files.input_path, split)

    def captions_file(self, split: str) -> Path:
        """Return the path of the preprocessed captions of a split."""
        return splits.captions_file(self.files.input_path, split)

    def needed_captions(self, splits: Iterable[str]) -> list[Needed]:
        """List the files that `load` reads."""
        key, advice = f"{self.section}.input_path", self.advice(PREPROCESSED)
        return [(key, self.captions_file(split), advice) for split in splits]

    def require_audio(self, split: str, names: Sequence[str]) -> list[Path]:
        """Find the sound files of clips, every one of them."""
        folder = self.audio_folders[split]
        if self.subset in MOMENT_SETS:
            return moment_sets.require_audio(folder, names, self.subset)
        require = audiocaps.require_audio if self.subset == AUDIOCAPS else clotho.require_audio
        return require(folder, names)

    def report_others(self, summary: terminal.Summary, *, list_all: bool) -> None:
        """Print what is in the folders of its sound files beside those."""
        folders = self.audio_folders
        sounds_in = audiocaps.sounds_in if self.subset == AUDIOCAPS else list_wavs
        if self.subset in MOMENT_SETS:
            folders = {folder.name: folder for folder in folders.values()}  # splits may share one
            sounds_in = partial(moment_sets.sounds_in, subset=self.subset)
        report_others(summary, folders, sounds_in, list_all=list_all)

    def script(self, kind: str) -> str:
        """Return the command that writes PREPROCESSED, AUDIO, SENTENCES or TAGS."""
        if self.subset == TASK6B and kind in _SCRIPTS_OF_TASK6B:
            return _SCRIPTS_OF_TASK6B[kind]
        of_all = self.subset == CLOTHO or kind == TAGS
        return _SCRIPTS[kind] + ("" if of_all else f" --subset {self.subset}")

    def advice(self, kind: str) -> str:
        """Say which command writes a file of this kind."""
        return f"Run {self.script(kind)}, which writes it."

    @contextlib.contextmanager
    def advising(self, kind: str) -> Iterator[None]:
        """Add `advice` to an InputError about a file of this kind, unless it could not be read."""
        try:
            yield
        except UnreadableError:
            raise
        except InputError as error:
            raise InputError(f"{error} {self.advice(kind)}") from error.__cause__


def corpus(config: Config, subset: str) -> Corpus:
    """Find one of the data sets by name, such as 'clotho': see `Corpus.subset`."""
    files = getattr(config, _SECTIONS[subset])
    if subset == TASK6B:
        return Corpus(subset, files.audio_path, files, {task6b.SPLIT: files.audio_path})
    folder = files.dataset_path
    if subset == AUDIOCAPS:
        folders = {split: audiocaps.audio_folder(folder, split) for split in audiocaps.SPLITS}
    elif subset in MOMENT_SETS:
        folders = {split: moment_sets.audio_folder(folder, split) for split in moment_sets.SPLITS}
    else:
        folders = {split: folder / split for split in splits.SPLITS}
    return Corpus(subset, folder, files, folders)
