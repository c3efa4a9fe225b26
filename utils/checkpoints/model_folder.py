"""A model folder to share: weights, settings and names, checked when they are read.

Nothing in such a folder is run: weights are safetensors, everything else is JSON or text.

Shapes: F audio numbers, K AudioSet classes, D dimension of the shared space.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor

from models.dual_encoder import DualEncoder
from utils.checkpoints.provenance import (
    NO_OTHER_KEYS,
    PasstUsed,
    SentenceModelUsed,
    TrainedWith,
    parse_plain,
)
from utils.datasets.audioset import NUM_TAGS
from utils.files.reading import read_bytes, sha256
from utils.runtime.errors import InputError, shorten
from utils.settings.config import Integer, Model

FORMAT, WITH_NETWORKS = 1, 2  # the second has the networks before the model, too
WEIGHTS, TAG_TABLE = "model.safetensors", "tag_table.safetensors"
CONFIG, TAGS, CARD, LICENCE = "config.json", "audioset_tags.json", "README.md", "LICENSE"
SUMS = "SHA256SUMS"
PASST, SENTENCE_MODEL = "passt.safetensors", "sentence_model"  # of a fine-tuned model
# No path can lead out of the folder.
_SUM_LINE = re.compile(rf"([0-9a-f]{{64}})  ((?:{SENTENCE_MODEL}/)?[\w-][\w.-]*)")


@dataclass(frozen=True, kw_only=True)
class ExportedConfig:
    """What config.json holds."""

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    format: Literal[1, 2] = FORMAT
    audio_size: Annotated[Integer, Field(ge=1)]
    text_size: Annotated[Integer, Field(ge=1)]
    model: Model
    passt: PasstUsed
    sentence_model: SentenceModelUsed
    trained_on: Literal["clotho", "audiocaps"]

    @property
    def trained_with(self) -> TrainedWith:
        """The networks before the model."""
        return TrainedWith(self.passt, self.sentence_model)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors of the model, by name."""
        audio, space = self.audio_size, self.text_size
        shapes: dict[str, tuple[int, ...]] = {
            "audio_norm.weight": (audio,),
            "audio_norm.bias": (audio,),
            "audio_projection.weight": (space, audio),
            "audio_projection.bias": (space,),
        }
        if self.model.text_projection:
            shapes["text_projection.weight"] = (space, space)
            shapes["text_projection.bias"] = (space,)
        if self.model.audioset_info != "none":
            shapes["tag_table"] = (NUM_TAGS, space)
        return shapes


@dataclass(frozen=True)
class Exported:
    """A model folder, read and checked.

    Attributes
    ----------
    state : dict of str to Tensor
        All tensors of the dual encoder, float32.
    tags : list of K str
        Display names of the AudioSet tags, in the order of the logits.
    passt, sentence_model : Path or None
        The weights, and the folder, of networks that belong to the model alone.

    """

    config: ExportedConfig
    state: dict[str, Tensor]
    tags: list[str]
    passt: Path | None = None
    sentence_model: Path | None = None

    def build(self) -> DualEncoder:
        """Make the network, in evaluation mode."""
        return DualEncoder.from_state(self.state, ratio=self.config.model.ratio_embed1)


def load_exported(folder: Path) -> Exported:
    """Read a model folder and check it: every file by its SHA-256, version, shapes, numbers.

    Names that begin with a dot are ignored, because file systems and git add them.

    Raises
    ------
    InputError
        If a file is missing, added or changed, or the folder is of another version or not
        consistent.

    """
    contents, networks = _read_checked(folder)
    values = _parse(folder / CONFIG, contents.get(CONFIG))
    found = values.get("format") if isinstance(values, dict) else None
    if type(found) is not int or found not in (FORMAT, WITH_NETWORKS):
        raise InputError(
            f"{folder} is of format {found!r}, and this version reads {FORMAT} and "
            f"{WITH_NETWORKS}. Export the model again, or use the version of the project that "
            "wrote it."
        )
    config = _config(folder / CONFIG, values)
    wanted = {WEIGHTS, CONFIG, TAGS, CARD, LICENCE}
    if config.model.audioset_info != "none":
        wanted.add(TAG_TABLE)
    if contents.keys() != wanted or bool(networks) != (config.format == WITH_NETWORKS):
        differing = ", ".join(sorted(contents.keys() ^ wanted)) or f"{PASST}, {SENTENCE_MODEL}"
        raise InputError(
            f"{folder} does not hold the files of a model ({differing}). Get it again."
        )
    state = _tensors(folder / WEIGHTS, contents[WEIGHTS])
    if TAG_TABLE in contents:
        state |= _tensors(folder / TAG_TABLE, contents[TAG_TABLE])
    if problems := misfits(config, state):
        raise InputError(
            f"the weights in {folder} do not fit its {CONFIG}:\n{shorten(problems)}\nGet it again."
        )
    tags = _parse(folder / TAGS, contents[TAGS])
    if not isinstance(tags, list) or len(tags) != NUM_TAGS or set(map(type, tags)) != {str}:
        raise InputError(f"{folder / TAGS} is not a list of {NUM_TAGS} names. Get it again.")
    passt, sentence_model = folder / PASST, folder / SENTENCE_MODEL
    return Exported(
        config,
        state,
        tags,
        passt if PASST in networks else None,
        sentence_model if networks - {PASST} else None,
    )


def misfits(config: ExportedConfig, state: Mapping[str, Tensor]) -> list[str]:
    """List the tensors that are missing, too many, of another shape or type, or not finite."""
    shapes = config.shapes
    problems = [f"{name} is missing" for name in shapes if name not in state]
    for name, tensor in state.items():
        if name not in shapes:
            problems.append(f"{name} is unknown")
        elif tuple(tensor.shape) != shapes[name] or tensor.dtype != torch.float32:
            problems.append(
                f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}, not float32 of "
                f"{shapes[name]}"
            )
        elif not tensor.isfinite().all():
            problems.append(f"{name} holds NaN or infinite numbers")
    return problems


def digest(content: bytes) -> str:
    """Compute the SHA-256 of bytes, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _read_checked(folder: Path) -> tuple[dict[str, bytes], set[str]]:
    """Read the listed files of a folder, each exactly as listed; networks are checked alone."""
    if not (folder / SUMS).is_file():
        raise InputError(
            f"{folder} is not a model folder: it has no {SUMS}. main.py export writes such folders."
        )
    listed = {}
    lines = read_bytes(folder / SUMS).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not (match := _SUM_LINE.fullmatch(line)):
            raise InputError(
                f"{folder / SUMS}, line {number}: {line!r} is not a sum and a file name."
            )
        listed[match[2]] = match[1]
    there = set(_names(folder)) - {SUMS}
    problems = [f"{name} is missing" for name in sorted(listed.keys() - there)]
    problems += [f"{name} is not listed in {SUMS}" for name in sorted(there - listed.keys())]
    found = sorted(listed.keys() & there)
    networks = {name for name in found if name == PASST or "/" in name}
    contents = {name: read_bytes(folder / name) for name in found if name not in networks}
    sums = {name: digest(content) for name, content in contents.items()}
    sums |= {name: sha256(folder / name) for name in networks}
    problems += [
        f"{name} was changed: its SHA-256 does not match"
        for name, found in sums.items()
        if found != listed[name]
    ]
    if problems:
        raise InputError(
            f"{folder} is not as it was exported:\n{shorten(problems)}\nGet it again from where "
            "you trust it."
        )
    return contents, networks


def _names(folder: Path) -> Iterator[str]:
    """List what is in a folder, and in that of the sentence model."""
    for path in folder.iterdir():
        if path.name == SENTENCE_MODEL and path.is_dir():
            yield from (f"{SENTENCE_MODEL}/{name}" for name in _names(path))
        elif not path.name.startswith("."):
            yield path.name


def _config(path: Path, values: dict[str, Any]) -> ExportedConfig:
    what, advice = f"{path} does not describe a model", "Get it again."
    config = parse_plain(ExportedConfig, values, what, advice)
    # A setting that is left out would silently be the default.
    if dataclasses.asdict(config) != values:
        raise InputError(f"{what}: a setting is missing or of another type. {advice}")
    return config


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}). Get it again.") from None


def _parse(path: Path, content: bytes | None) -> Any:
    try:
        return json.loads(content or b"")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}. Get it again.") from None
