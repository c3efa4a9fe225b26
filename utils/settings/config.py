"""YAML ─► validated settings. Every problem of a file is reported in one message.

The dataclasses below are the schema: the type of a field says what may stand there, its default
what holds where the file is silent. ``conf.yaml`` documents each key beside its value.
"""

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from utils.settings.schema import limited

PROJECT_ROOT = Path(__file__).resolve().parents[2]


DEFAULT_CONFIG = PROJECT_ROOT / "conf.yaml"


# Patterns of texts, and how to say in an error what they allow.
_DEVICE = (r"auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?", "auto, cpu, mps, cuda or cuda:N")


_SHA256 = (r"[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits in lower case")


_FOLDER_NAME = (
    r"(?=.{1,100}$)[.+-]*\w[\w.+-]*",
    "a folder name of at most 100 letters, digits and . + - _",
)


@dataclass(frozen=True)
class DataFiles:
    """What the scripts write for a data set, and training reads."""

    input_path: Path
    audio_logits: Path = limited(Path("audio_logits_passt.hdf5"), folder="input_path")
    audio_scene: Path = limited(Path("audio_scene_passt.hdf5"), folder="input_path")
    caption_embeddings: Path = limited(Path("sentence_embeddings_mpnet.hdf5"), folder="input_path")


@dataclass(frozen=True)
class TrainData(DataFiles):
    """Where Clotho, or a data set in its layout, is."""

    input_path: Path = Path("data/demo_set/processed")
    tag_embeddings: Path = limited(
        Path("audioset_527_{audioset_info}_embeddings_mpnet.hdf5"), folder="input_path"
    )
    dataset_path: Path = Path("data/demo_set")
    excluded_clips: Path | None = None


@dataclass(frozen=True)
class EvalData(DataFiles):
    """The official Task 6b evaluation subset: queries and clips without ground truth."""

    input_path: Path = Path("data/task6b/processed")
    audio_path: Path = Path("data/task6b/test")
    captions_file: Path = Path("data/task6b/retrieval_captions.csv")


@dataclass(frozen=True)
class AudioCaps(DataFiles):
    """Where AudioCaps is, to train on before Clotho."""

    input_path: Path = Path("data/demo_audiocaps/processed")
    dataset_path: Path = Path("data/demo_audiocaps")


@dataclass(frozen=True)
class Passt:
    """The audio tagger."""

    arch: Literal["demo", "passt_s_swa_p16_128_ap476", "passt_20sec", "passt_30sec"] = "demo"
    weights: Path | None = None
    batch_size: int | None = limited(None, low=1, high=10_000)


@dataclass(frozen=True)
class SentenceModel:
    """The sentence encoder."""

    path: Path = Path("data/all-mpnet-base-v2")
    name: str = "sentence-transformers/all-mpnet-base-v2"
    sha256: str = limited(
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        pattern=_SHA256,
    )
    batch_size: int = limited(64, low=1, high=100_000)


@dataclass(frozen=True)
class Model:
    """The dual encoder."""

    audio_features: Literal["logits", "scene", "both"] = "logits"
    audioset_info: Literal["tags", "sent_tags", "sent_notags", "none"] = "tags"
    ratio_embed1: float = limited(0.8, low=0.0, high=1.0)
    text_projection: bool = False


@dataclass(frozen=True)
class Training:
    """Loss, optimiser and schedule."""

    init_checkpoint: Path | None = None
    epochs: int = limited(30, low=1, high=1_000_000)
    batch_size: int = limited(32, low=2, high=1_000_000)
    criterion: Literal[
        "TripletRankingLoss", "MixupTripletRankingLoss", "HardTripletRankingLoss", "InfoNCE"
    ] = "TripletRankingLoss"
    margin: float = limited(0.4, low=0.0)
    mixup_rate: float = limited(0.5, low=0.0, high=1.0)
    mixup_beta: float = limited(0.4, above=0.0)
    temperature: float = limited(0.07, low=0.01)
    learnable_temperature: bool = False
    learning_rate: float = limited(1e-3, above=0.0)
    weight_decay: float = limited(0.0, low=0.0)
    scheduler_factor: float = limited(0.1, above=0.0, high=0.999)
    scheduler_patience: int = limited(5, low=0, high=1_000_000)
    scheduler_threshold: float = limited(0.01, low=0.0)
    device: str = limited("auto", pattern=_DEVICE)


@dataclass(frozen=True)
class Config:
    """All settings of a run, checked, with absolute paths."""

    experiment: str = limited("demo", pattern=_FOLDER_NAME)
    output_path: Path = Path("outputs")
    seed: int = limited(1, low=0, high=2**63 - 1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    wandb: bool = False
    wandb_project: str | None = None
    wandb_entity: str | None = None
    wandb_mode: Literal["online", "offline"] = "online"
    train_data: TrainData = field(default_factory=TrainData)
    eval_data: EvalData = field(default_factory=EvalData)
    audiocaps: AudioCaps = field(default_factory=AudioCaps)
    passt: Passt = field(default_factory=Passt)
    sentence_model: SentenceModel = field(default_factory=SentenceModel)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)

    @property
    def tag_embeddings(self) -> Path:
        """The file of the tag vectors; each kind of tag text has its own."""
        path = str(self.train_data.tag_embeddings)
        return Path(path.replace("{audioset_info}", self.model.audioset_info))


def to_plain(config: Config) -> dict[str, Any]:
    """Turn settings into nested dicts of built-in types, ready for ``yaml.safe_dump``."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def differing_settings(
    one: Config, other: Config, *, only: typing.Sequence[str] = (), but: typing.Sequence[str] = ()
) -> list[str]:
    """List the settings in which two configurations differ, as "key: value, not value".

    Parameters
    ----------
    one, other : Config
    only : sequence of str
        Keys or sections to compare; all if empty.
    but : sequence of str
        Keys or sections to leave out.

    """

    def within(key: str, names: typing.Sequence[str]) -> bool:
        return any(key == name or key.startswith(f"{name}.") for name in names)

    values = [dict(_leaves(to_plain(config))) for config in (one, other)]
    return [
        f"{key}: {value!r}, not {values[1][key]!r}"
        for key, value in values[0].items()
        if value != values[1][key] and (not only or within(key, only)) and not within(key, but)
    ]


def _leaves(values: dict[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
