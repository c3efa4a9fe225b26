"""The settings of a run: what each key may hold, and its default; ``conf.yaml`` explains them."""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)
from pydantic.dataclasses import dataclass

from utils.runtime.paths import PROJECT_ROOT

DEFAULT_CONFIG = PROJECT_ROOT / "conf.yaml"
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes, on Linux

section = functools.partial(dataclass, frozen=True, config=ConfigDict(extra="forbid"))


def _number(value: Any) -> Any:
    """Read "1e-3" as a number, which YAML 1.1 takes for a text, and 1000.0 as an integer."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("should be a path")
    try:
        encoded = str(value).encode()
    except UnicodeEncodeError:
        raise ValueError("should be a path in Unicode") from None
    if len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME:
        raise ValueError(
            f"is too long: at most {_LONGEST_PATH} bytes, {_LONGEST_NAME} in each name"
        )
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that does not exist") from None


def _checked(accepts: Callable[[str], object], meaning: str) -> AfterValidator:
    """Refuse texts that `accepts` finds false; `meaning` describes the others in the error."""

    def check(value: str) -> str:
        if not accepts(value):
            raise ValueError(f"should be {meaning}")
        return value

    return AfterValidator(check)


Integer = Annotated[StrictInt, BeforeValidator(_number)]
Number = Annotated[StrictFloat, BeforeValidator(_number), Field(allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Text = Annotated[
    StrictStr,
    _checked(lambda text: text and text.isprintable(), "a text of printable characters"),
]
FolderName = Annotated[
    Text,
    _checked(
        re.compile(r"(?=.{1,100}$)[.+-]*\w[\w.+-]*").fullmatch,
        "a folder name of at most 100 letters, digits and . + - _",
    ),
]
Sha256 = Annotated[
    Text,
    _checked(
        re.compile(r"[0-9a-f]{64}").fullmatch, "a SHA-256 of 64 hexadecimal digits in lower case"
    ),
]
Device = Annotated[
    Text,
    _checked(
        re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?").fullmatch,
        "auto, cpu, mps, cuda or cuda:N",
    ),
]


@section
class DataFiles:
    """What the scripts write for a data set, and training reads."""

    input_path: FilePath
    audio_logits: FilePath = Path("audio_logits_passt.hdf5")
    audio_scene: FilePath = Path("audio_scene_passt.hdf5")
    caption_embeddings: FilePath = Path("sentence_embeddings_mpnet.hdf5")

    @property
    def vector_files(self) -> dict[str, Path]:
        """The files of vectors, by key; where relative, they start from `input_path`."""
        names = (
            "audio_logits",
            "audio_scene",
            "audio_grid",
            "caption_embeddings",
            "tag_embeddings",
        )
        return {name: path for name, path in vars(self).items() if name in names}


@section
class TrainData(DataFiles):
    """Where Clotho, or a data set in its layout, is."""

    input_path: FilePath = Path("data/demo_set/processed")
    tag_embeddings: FilePath = Path("audioset_527_{audioset_info}_embeddings_mpnet.hdf5")
    dataset_path: FilePath = Path("data/demo_set")
    blank_captions: StrictBool = False
    excluded_clips: FilePath | None = None


@section
class EvalData(DataFiles):
    """The official Task 6b evaluation subset: queries and clips without ground truth."""

    input_path: FilePath = Path("data/task6b/processed")
    audio_path: FilePath = Path("data/task6b/test")
    captions_file: FilePath = Path("data/task6b/retrieval_captions.csv")


@section
class AudioCaps(DataFiles):
    """Where AudioCaps is, to train on before Clotho."""

    input_path: FilePath = Path("data/demo_audiocaps/processed")
    dataset_path: FilePath = Path("data/demo_audiocaps")


@section
class MomentData(DataFiles):
    """What is written for a set of long recordings, in which moments are searched for."""

    audio_grid: FilePath = Path("audio_grid_passt")


@section
class Castella(MomentData):
    """Where CASTELLA is: recordings of some minutes, and the moments that people marked in them."""

    input_path: FilePath = Path("data/castella/processed")
    dataset_path: FilePath = Path("data/castella")


@section
class ClothoMoment(MomentData):
    """Where Clotho-Moment is, or a set in its layout: clips at known moments over backgrounds."""

    input_path: FilePath = Path("data/demo_moments/processed")
    dataset_path: FilePath = Path("data/demo_moments")


@section
class Passt:
    """The audio tagger."""

    arch: Literal["demo", "passt_s_swa_p16_128_ap476", "passt_20sec", "passt_30sec"] = "demo"
    weights: FilePath | None = None
    batch_size: Annotated[Integer, Field(ge=1, le=10_000)] | None = None
    mono: Literal["mean", "safe"] = "mean"
    windows: Literal["published", "heard"] = "published"


@section
class SentenceModel:
    """The sentence encoder."""

    path: FilePath = Path("data/all-mpnet-base-v2")
    name: Text = "sentence-transformers/all-mpnet-base-v2"
    sha256: Sha256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
    batch_size: Annotated[Integer, Field(ge=1, le=100_000)] = 64


@section
class Model:
    """The dual encoder."""

    audio_features: Literal["logits", "scene", "both"] = "logits"
    audioset_info: Annotated[
        Literal["tags", "sounds", "sent_tags", "sent_notags", "none"],
        BeforeValidator(lambda value: "none" if value is None else value),  # null in YAML
    ] = "tags"
    tag_embedding: Literal["plain", "centred", "whitened"] = "plain"
    ratio_embed1: Share = 0.8
    text_projection: StrictBool = False


@section
class Training:
    """Loss, optimiser and schedule."""

    init_checkpoint: FilePath | None = None
    epochs: Annotated[Integer, Field(ge=1, le=1_000_000)] = 30
    batch_size: Annotated[Integer, Field(ge=2, le=1_000_000)] = 32
    criterion: Literal[
        "TripletRankingLoss", "MixupTripletRankingLoss", "HardTripletRankingLoss", "InfoNCE"
    ] = "TripletRankingLoss"
    margin: NotNegative = 0.4
    mixup_rate: Share = 0.5
    mixup_beta: Positive = 0.4
    temperature: Annotated[Number, Field(ge=0.01)] = 0.07
    learnable_temperature: StrictBool = False
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    scheduler_factor: Annotated[Number, Field(gt=0, le=0.999)] = 0.1
    scheduler_patience: Annotated[Integer, Field(ge=0, le=1_000_000)] = 5
    scheduler_threshold: NotNegative = 0.01
    device: Device = "auto"


@section
class Search:
    """How sounds are tagged for a search."""

    mono: Literal["mean", "safe"] = "safe"
    windows: Literal["published", "heard"] = "heard"
    normalise: StrictBool = False
    moments: StrictBool = True


@section
class Moments:
    """How moments are found in long recordings, and how the network for it is trained."""

    network: FilePath | None = None
    windows: Annotated[Integer, Field(ge=1)] = 10
    epochs: Annotated[Integer, Field(ge=1)] = 12
    batch_size: Annotated[Integer, Field(ge=1)] = 16
    learning_rate: Positive = 0.002
    weight_decay: NotNegative = 0.01


@section
class Finetuning:
    """How PaSST, MPNet and the dual encoder are trained together."""

    epochs: Annotated[Integer, Field(ge=1)] = 20
    captions: Literal["all", "one"] = "all"
    batch_size: Annotated[Integer, Field(ge=2)] = 32
    accumulate: Annotated[Integer, Field(ge=1)] = 2
    windows: Annotated[Integer, Field(ge=1)] = 3
    patchout_time: Annotated[Integer, Field(ge=0)] = 15
    patchout_bands: Annotated[Integer, Field(ge=0)] = 2
    audio_layers: Annotated[Integer, Field(ge=0)] | None = None
    text_layers: Annotated[Integer, Field(ge=0)] | None = None
    audio_learning_rate: Positive = 2e-5
    text_learning_rate: Positive = 2e-5
    heads_learning_rate: Positive = 1e-4
    lowest_learning_rate: Share = 0.005
    weight_decay: NotNegative = 0.0
    warmup_epochs: NotNegative = 1.0
    temperature: Annotated[Number, Field(ge=0.01)] = 0.05
    learnable_temperature: StrictBool = True
    distillation_weight: Share = 1.0
    distillation_temperature: Annotated[Number, Field(ge=0.01)] = 0.05
    ema_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    recompute: StrictBool = False
    workers: Annotated[Integer, Field(ge=0)] = 4


@section
class Config:
    """All settings of a run, checked, with absolute paths."""

    experiment: FolderName = "demo"
    output_path: FilePath = Path("outputs")
    seed: Annotated[Integer, Field(ge=0, le=2**63 - 1)] = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    results: Annotated[Integer, Field(ge=10, le=1000)] = 10
    wandb: StrictBool = False
    wandb_project: Text | None = None
    wandb_entity: Text | None = None
    wandb_mode: Literal["online", "offline"] = "online"
    train_data: TrainData = TrainData()
    eval_data: EvalData = EvalData()
    audiocaps: AudioCaps = AudioCaps()
    castella: Castella = Castella()
    clotho_moment: ClothoMoment = ClothoMoment()
    passt: Passt = Passt()
    sentence_model: SentenceModel = SentenceModel()
    model: Model = Model()
    training: Training = Training()
    search: Search = Search()
    moments: Moments = Moments()
    finetuning: Finetuning = Finetuning()

    @property
    def tag_embeddings(self) -> Path:
        """The file of the tag vectors; each kind of tag text has its own."""
        path = str(self.train_data.tag_embeddings)
        return Path(path.replace("{audioset_info}", self.model.audioset_info))


def to_plain(config: Any) -> dict[str, Any]:
    """Turn settings into nested dicts of built-in types, ready for ``yaml.safe_dump``."""

    def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: str(value) if isinstance(value, Path) else value for key, value in items}

    return asdict(config, dict_factory=plain)


def differing_settings(
    one: Config, other: Config, *, only: Sequence[str] = (), but: Sequence[str] = ()
) -> list[str]:
    """List the settings in which two configurations differ, as "key: value, not value".

    `only` and `but` name the keys or sections to compare (all if empty) and to leave out.
    """

    def within(key: str, names: Sequence[str]) -> bool:
        return f"{key}.".startswith(tuple(f"{name}." for name in names))

    others = dict(leaves(to_plain(other)))
    return [
        f"{key}: {value!r}, not {others[key]!r}"
        for key, value in leaves(to_plain(one))
        if value != others[key] and (not only or within(key, only)) and not within(key, but)
    ]


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the values of nested dicts, each with its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
