"""Checkpoints: one safetensors file each, with all that is not a tensor as JSON in its metadata.

Checkpoints that older versions wrote with ``torch.save`` are read too. Nothing in either is run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from utils.checkpoints.provenance import TrainedWith, parse_plain
from utils.datasets.corpus import CLOTHO
from utils.files.tensors import load_tensors
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, out_of_memory, shown, unreadable
from utils.settings.config import Config, differing_settings, to_plain
from utils.settings.loading import parse_config
from utils.settings.relocation import relocated

FORMAT, OLDER_FORMAT = 2, 1
_ENTRY = "checkpoint"  # of the metadata
_TENSOR, _PAIRS = "$tensor", "$pairs"  # in the JSON: the name of a tensor; a dict of other keys
_MISFIT = (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Checkpoint:
    """A model, or a training to resume, and what it was trained with.

    Attributes
    ----------
    settings : Config
        With the present paths of a run that was moved.
    trained_with : TrainedWith
        The networks before the model, as far as they are recorded.
    trained_on : {'clotho', 'audiocaps'}
        The plan of `utils.runs.plans`.
    weights : dict of str to Tensor
        State dict of the model after its best epoch; empty before the first epoch ends.
    trainer : dict or None
        State of the training after its last epoch; None in a checkpoint to use, not to resume.
    begun_with : dict of str to str
        Digests of what the run began with, in older checkpoints; run.json holds them now.

    """

    settings: Config
    trained_with: TrainedWith = field(default_factory=TrainedWith)
    trained_on: str = CLOTHO
    weights: dict[str, Tensor] = field(default_factory=dict)
    trainer: dict[str, Any] | None = None
    begun_with: dict[str, str] = field(default_factory=dict)

    def best_weights(self) -> dict[str, Tensor]:
        """Return the weights of the best epoch.

        Raises
        ------
        InputError
            If no epoch has ended yet, or a weight is NaN or infinite.

        """
        if not self.weights:
            raise InputError(
                "that checkpoint is of a run that was stopped in its first epoch: it has no "
                "trained weights yet. Resume the run first."
            )
        broken = [
            name
            for name, weight in self.weights.items()
            if isinstance(weight, Tensor) and not weight.isfinite().all()
        ]
        if broken:
            raise InputError(
                f"that checkpoint holds NaN or infinite numbers ({', '.join(broken)}): its "
                "training diverged. Train again with a lower training.learning_rate."
            )
        return self.weights

    def require_settings(self, config: Config, path: Path, only: Sequence[str]) -> None:
        """Refuse settings that differ from those of the training in the keys or sections `only`."""
        if differing := differing_settings(config, self.settings, only=only):
            raise InputError(
                f"{path} was trained with other settings: {'; '.join(differing)}. "
                "Drop these --set, or use the --config of that run."
            )


@dataclass(frozen=True)
class _Stored:
    """What a file holds besides the number of its format."""

    settings: dict[str, Any]
    trained_with: TrainedWith = field(default_factory=TrainedWith)
    trained_on: Literal["clotho", "audiocaps"] = CLOTHO  # the oldest files do not say
    weights: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] | None = None
    begun_with: dict[str, str] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the older file stays until the new one is complete.

    A trainer's state holds the best weights, so that they are not stored besides.
    """
    content = {
        "format": FORMAT,
        "settings": to_plain(checkpoint.settings),
        "trained_with": asdict(checkpoint.trained_with),
        "trained_on": checkpoint.trained_on,
        "trainer": checkpoint.trainer,
        "weights": checkpoint.weights if checkpoint.trainer is None else {},
    }
    tensors: dict[str, Tensor] = {}
    # One entry: safetensors writes several in no particular order.
    metadata = {_ENTRY: json.dumps(_without_tensors(content, "checkpoint", tensors))}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(tensors, metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another format, or not a checkpoint of this program.

    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}. A run writes them to outputs/<experiment>/<run>/.")
    try:
        content = _read(path)
    except (OSError, safetensors.SafetensorError, RecursionError, *_MISFIT) as error:
        if out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno:
            raise unreadable(path, error) from error
        raise InputError(f"cannot read the checkpoint {path}: {error}.") from None
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found not in (FORMAT, OLDER_FORMAT):
        raise InputError(
            f"{path} is not a checkpoint of this program, or is of another version (format "
            f"{shown(found)}, not {FORMAT}). Train again with python main.py."
        )
    if found == OLDER_FORMAT:
        content["weights"] = content.get("model", {})
    what, advice = f"{path} is not a checkpoint", "Train again with python main.py."
    stored = parse_plain(_Stored, content, what, advice)
    best = stored.weights if stored.trainer is None else stored.trainer.get("best_state", {})
    settings = parse_config(stored.settings, base=Path(), source=str(path))
    settings = relocated(settings, path.parent)
    return Checkpoint(
        settings, stored.trained_with, stored.trained_on, best, stored.trainer, stored.begun_with
    )


def find_checkpoint(folder: Path, which: str) -> Path:
    """Find the 'best' or 'last' checkpoint of a run, which an older version may have written."""
    new, older = (folder / f"checkpoint_{which}{ending}" for ending in (".safetensors", ".pt"))
    return older if older.is_file() and not new.exists() else new


def load_into(target: Any, state: Any, source: Path | str) -> None:
    """Load a state dict; refuse one that does not fit the settings and their vector files."""
    try:
        target.load_state_dict(state)
    except _MISFIT as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"{source} does not fit the settings or the vector files they name: {error}"
        ) from None


def _read(path: Path) -> Any:
    """Read the content of a file in either format, as nested dicts and lists."""
    content = path.read_bytes()
    if content[8:9] != b"{":  # where the header of a safetensors file begins
        return load_tensors(path)
    tensors = safetensors.torch.load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    entry = header.get("__metadata__", {}).get(_ENTRY)
    return entry and _with_tensors(json.loads(entry), tensors)


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of nested dicts and lists into `tensors`, and leave their names behind."""
    if isinstance(value, Tensor):
        # A copy, because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(value, dict):
        parts = {k: _without_tensors(part, f"{name}.{k}", tensors) for k, part in value.items()}
        return parts if all(isinstance(key, str) for key in parts) else {_PAIRS: [*parts.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(part, f"{name}.{i}", tensors) for i, part in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put the tensors back: the inverse of `_without_tensors`."""
    if isinstance(value, list):
        return [_with_tensors(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_TENSOR}:
        return tensors[value[_TENSOR]]
    pairs = value[_PAIRS] if value.keys() == {_PAIRS} else value.items()
    return {key: _with_tensors(part, tensors) for key, part in pairs}
