"""The data sets that the settings name: Clotho, AudioCaps and the Task 6b evaluation subset.

Each has its splits, its sound files, the files that the scripts write for it, and the commands
that write them, to be named in errors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.datasets import audiocaps, clotho, splits, task6b
from utils.datasets.splits import QuerySplit
from utils.settings.config import Config, DataFiles
from utils.settings.needed_files import Needed

CLOTHO, AUDIOCAPS, TASK6B = "clotho", "audiocaps", "task6b"
_SECTIONS = {CLOTHO: "train_data", AUDIOCAPS: "audiocaps", TASK6B: "eval_data"}


@dataclass(frozen=True)
class Corpus:
    """One of the data sets.

    Attributes
    ----------
    subset : {'clotho', 'audiocaps', 'task6b'}
    folder : Path
        Where its sound files and captions are.
    files : DataFiles
        What the scripts write for it.
    audio_folders : dict of str to Path
        For each split the folder of its sound files.
    preprocess_script : str
        What writes its preprocessed captions.
    audio_script, caption_script : str
        What writes its vector files.

    """

    subset: str
    folder: Path
    files: DataFiles
    audio_folders: dict[str, Path]
    preprocess_script: str
    audio_script: str
    caption_script: str

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
        return splits.load_captions(self.files.input_path, split, made_by=self.preprocess_script)

    def captions_file(self, split: str) -> Path:
        """Return the path of the preprocessed captions of a split."""
        return splits.captions_file(self.files.input_path, split)

    def needed_captions(self, splits: Iterable[str]) -> list[Needed]:
        """List the files that `load` reads."""
        return [
            (
                f"{self.section}.input_path",
                self.captions_file(split),
                f"Run {self.preprocess_script}, which writes it.",
            )
            for split in splits
        ]

    def require_audio(self, split: str, names: Sequence[str]) -> list[Path]:
        """Find the sound files of clips, every one of them."""
        require = audiocaps.require_audio if self.subset == AUDIOCAPS else clotho.require_audio
        return require(self.audio_folders[split], names)


def corpus(config: Config, subset: str) -> Corpus:
    """Find one of the data sets by name: 'clotho', 'audiocaps' or 'task6b'."""
    if subset == TASK6B:
        return Corpus(
            subset,
            config.eval_data.audio_path,
            config.eval_data,
            {task6b.SPLIT: config.eval_data.audio_path},
            "scripts/02_preprocess_evaluation_set_task6b.py",
            "scripts/03_audio_features.py --subset task6b",
            "scripts/05_sentence_embeddings_evaluation_set_task6b.py",
        )
    if subset == AUDIOCAPS:
        folder = config.audiocaps.dataset_path
        return Corpus(
            subset,
            folder,
            config.audiocaps,
            {split: audiocaps.audio_folder(folder, split) for split in audiocaps.SPLITS},
            "scripts/01_preprocess.py --subset audiocaps",
            "scripts/03_audio_features.py --subset audiocaps",
            "scripts/04_sentence_embeddings.py --subset audiocaps",
        )
    return Corpus(
        subset,
        config.train_data.dataset_path,
        config.train_data,
        {split: config.train_data.dataset_path / split for split in splits.SPLITS},
        "scripts/01_preprocess.py",
        "scripts/03_audio_features.py",
        "scripts/04_sentence_embeddings.py",
    )
