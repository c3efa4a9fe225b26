"""YAML ─► validated settings. Every problem of a file is reported in one message.

The dataclasses below are the schema: the type of a field says what may stand there, its default
what holds where the file is silent. ``conf.yaml`` documents each key beside its value.
"""

import dataclasses
import difflib
import math
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from utils.errors import InputError

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DEFAULT_CONFIG = PROJECT_ROOT / "conf.yaml"
# Patterns of texts, and how to say in an error what they allow.
_DEVICE = (r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:N")
_SHA256 = (r"[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits in lower case")
_FOLDER_NAME = (r"[\w.+-]*\w[\w.+-]*", "a folder name of letters, digits and . + - _")


def _limited(default, *, low=None, above=None, high=None, pattern=None, folder=None):
    """Declare a field with limits: low <= value, above < value, value <= high, or a pattern.

    ``folder`` names the sibling field whose folder a relative path starts from.
    """
    limits = {"low": low, "above": above, "high": high, "pattern": pattern, "folder": folder}
    return field(default=default, metadata={k: v for k, v in limits.items() if v is not None})


@dataclass(frozen=True)
class TrainData:
    """Where the data set, its preprocessed captions and its vectors are."""

    dataset_path: Path = Path("data/demo_set")
    input_path: Path = Path("data/demo_set/processed")
    audio_logits: Path = _limited(Path("audio_logits_passt.hdf5"), folder="input_path")
    audio_scene: Path = _limited(Path("audio_scene_passt.hdf5"), folder="input_path")
    caption_embeddings: Path = _limited(Path("sentence_embeddings_mpnet.hdf5"), folder="input_path")
    tag_embeddings: Path = _limited(
        Path("audioset_527_{audioset_info}_embeddings_mpnet.hdf5"), folder="input_path"
    )


@dataclass(frozen=True)
class Passt:
    """The audio tagger."""

    arch: Literal["demo", "passt_s_swa_p16_128_ap476", "passt_20sec", "passt_30sec"] = "demo"
    weights: Path | None = None
    batch_size: int = _limited(8, low=1)


@dataclass(frozen=True)
class SentenceModel:
    """The sentence encoder."""

    path: Path = Path("data/all-mpnet-base-v2")
    name: str = "sentence-transformers/all-mpnet-base-v2"
    sha256: str = _limited(
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        pattern=_SHA256,
    )
    batch_size: int = _limited(64, low=1)


@dataclass(frozen=True)
class Model:
    """The dual encoder."""

    audio_features: Literal["logits", "scene", "both"] = "logits"
    audioset_info: Literal["tags", "sent_tags", "sent_notags", "none"] = "tags"
    ratio_embed1: float = _limited(0.8, low=0.0, high=1.0)
    text_projection: bool = False


@dataclass(frozen=True)
class Training:
    """Loss, optimiser and schedule."""

    epochs: int = _limited(30, low=1)
    batch_size: int = _limited(32, low=2)
    criterion: Literal["TripletRankingLoss"] = "TripletRankingLoss"
    margin: float = _limited(0.4, low=0.0)
    learning_rate: float = _limited(1e-3, above=0.0)
    weight_decay: float = _limited(0.0, low=0.0)
    scheduler_factor: float = _limited(0.1, above=0.0, high=0.999)
    scheduler_patience: int = _limited(5, low=0)
    scheduler_threshold: float = _limited(0.01, low=0.0)
    device: str = _limited("auto", pattern=_DEVICE)


@dataclass(frozen=True)
class Config:
    """All settings of a run, checked, with absolute paths."""

    experiment: str = _limited("demo", pattern=_FOLDER_NAME)
    output_path: Path = Path("outputs")
    seed: int = _limited(1, low=0, high=2**63 - 1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    wandb: bool = False
    train_data: TrainData = field(default_factory=TrainData)
    passt: Passt = field(default_factory=Passt)
    sentence_model: SentenceModel = field(default_factory=SentenceModel)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)

    @property
    def tag_embeddings(self) -> Path:
        """The file of the tag vectors; each kind of tag text has its own."""
        path = str(self.train_data.tag_embeddings)
        return Path(path.replace("{audioset_info}", self.model.audioset_info))


def load_config(path: str | Path = DEFAULT_CONFIG, overrides: typing.Sequence[str] = ()) -> Config:
    """Read settings from a YAML file and apply ``key.path=value`` overrides.

    Parameters
    ----------
    path : str or Path
        The YAML file. Relative paths inside it, and in overrides, start from its folder.
    overrides : sequence of str
        Each ``section.key=value``; the value is read as YAML.

    Returns
    -------
    Config

    Raises
    ------
    InputError
        If the file is missing, is no YAML mapping, or has unknown keys, wrong types or values out
        of range: one message that lists them all.

    """
    path = Path(path)
    values = _read_yaml(path)
    problems: list[str] = []
    for override in overrides:
        _apply_override(values, override, problems)
    config = _build(Config, values, (), path.resolve().parent, problems)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listing = "\n".join(f"  - {problem}" for problem in problems)
        raise InputError(
            f"{count} in the settings ({path}{' and --set' if overrides else ''}):\n{listing}\n"
            f"Mend them and run again; {DEFAULT_CONFIG.name} explains every key."
        )
    return config


def to_plain(config: Config) -> dict[str, Any]:
    """Turn settings into nested dicts of built-in types, ready for ``yaml.safe_dump``."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"no settings file {path}. Give one with --config FILE; the project's own is "
            f"{DEFAULT_CONFIG}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the settings file {path}: {error}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"{path} holds a {type(values).__name__}, but settings are a mapping of keys to values."
        )
    return values


def _apply_override(values: dict, override: str, problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        problems.append(f"--set {override!r}: write it as section.key=value")
        return
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        problems.append(f"--set {override!r}: {text!r} is not a valid YAML value")
        return
    *sections, last = key.strip().split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            problems.append(f"--set {override!r}: {section!r} is a value, not a section")
            return
    values[last] = value


def _build(schema: type, values: Any, keys: tuple[str, ...], base: Path, problems: list[str]):
    """Build ``schema`` from a mapping; problems are appended, the default stands in for them."""
    if not isinstance(values, dict):
        problems.append(f"{'.'.join(keys)}: {values!r} stands where a section of keys should be")
        return schema()
    fields = {f.name: f for f in dataclasses.fields(schema)}
    for key in values:
        if key not in fields:
            problems.append(_unknown_key(str(key), keys))
    hints = typing.get_type_hints(schema)
    built: dict[str, Any] = {}
    for name, spec in fields.items():
        here = (*keys, name)
        default = (
            spec.default if spec.default is not dataclasses.MISSING else spec.default_factory()
        )
        if dataclasses.is_dataclass(hints[name]):
            section = values.get(name)
            built[name] = _build(hints[name], section if section else {}, here, base, problems)
            continue
        value = default
        if name in values:
            try:
                value = _convert(values[name], hints[name], spec.metadata)
            except ValueError as error:
                problems.append(f"{'.'.join(here)}: {error}")
        if isinstance(value, Path):
            start = built[spec.metadata["folder"]] if "folder" in spec.metadata else base
            value = start / value.expanduser()
        built[name] = value
    return schema(**built)


def _unknown_key(key: str, section: tuple[str, ...]) -> str:
    full = ".".join((*section, key))
    known = list(_all_keys(Config))
    # A key in the wrong section is as common a slip as a misspelt one.
    same_name = [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    guesses = same_name or difflib.get_close_matches(full, known, n=1, cutoff=0.6)
    return f"{full}: unknown key" + (f"; did you mean {guesses[0]}?" if guesses else "")


def _all_keys(schema: type, prefix: str = "") -> typing.Iterator[str]:
    for name, hint in typing.get_type_hints(schema).items():
        if dataclasses.is_dataclass(hint):
            yield from _all_keys(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def _convert(value: Any, hint: Any, limits: typing.Mapping[str, Any]) -> Any:
    """Turn a YAML value into what the field's type asks for, or raise ValueError saying why not."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value is None and "none" in choices:
            value = "none"  # YAML reads a bare `null` or `~` as nothing, which is what none means
        if value not in choices:
            shown = " | ".join(choices)
            guess = difflib.get_close_matches(str(value), choices, n=1)
            hint_text = f"; did you mean {guess[0]}?" if guess else ""
            raise ValueError(f"{value!r} is not one of {shown}{hint_text}")
        return value
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    converted = _CONVERTERS[hint](value)
    _check_limits(converted, limits)
    return converted


def _check_limits(value: Any, limits: typing.Mapping[str, Any]) -> None:
    if "low" in limits and value < limits["low"]:
        raise ValueError(f"{value} is too small; the least is {limits['low']}")
    if "above" in limits and value <= limits["above"]:
        raise ValueError(f"{value} is too small; it must be more than {limits['above']}")
    if "high" in limits and value > limits["high"]:
        raise ValueError(f"{value} is too large; the most is {limits['high']}")
    if "pattern" in limits:
        pattern, meaning = limits["pattern"]
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {meaning}")


def _to_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not True or False")
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _to_float(value: Any) -> float:
    if isinstance(value, str):
        # YAML 1.1 takes 1e-3 (no dot) for a string; people mean the number.
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number") from None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _to_str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValueError(f"{value!r} is not a text; put it in quotes if it should be one")
    return str(value)


def _to_path(value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is not a path")
    return Path(value)


_CONVERTERS = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_str, Path: _to_path}
