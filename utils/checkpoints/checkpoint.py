"""Checkpoints: tensors and plain values, written whole or not at all, read without running code."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.files.tensors import load_tensors
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shown
from utils.settings.config import Config, differing_settings
from utils.settings.loading import parse_config

FORMAT = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the old one stands until the new one is whole."""
    buffer = io.BytesIO()  # PyTorch hides from us why a write to a file fails
    torch.save({"format": FORMAT, **content}, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Returns
    -------
    dict
        With ``trained_on``, a plan of `utils.runs.data`, and ``trained_with``, a plain
        `TrainedWith`, also where an older one does not tell them; the rest as it was written.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another format, or holds anything but tensors and
        plain values.

    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}. A run writes them to outputs/<experiment>/<run>/.")
    try:
        content = load_tensors(path)
    except ValueError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error}.") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} is no checkpoint of this program, or of another version (format "
            f"{shown(found)}, not {FORMAT}). Train again with python main.py."
        )
    for part in ("settings", "model", "trainer"):
        if not isinstance(content.get(part, {}), dict):
            raise InputError(
                f"{path} is no checkpoint: {shown(content[part])} stands where its {part} should "
                "be. Train again with python main.py."
            )
    content.setdefault("trained_on", CLOTHO)
    if content["trained_on"] not in (CLOTHO, AUDIOCAPS):
        raise InputError(
            f"{path} was trained on {shown(content['trained_on'])}, and this version knows "
            f"{CLOTHO} and {AUDIOCAPS}. Train again with python main.py."
        )
    trained_with = TrainedWith.from_plain(content.get("trained_with", {}), path)
    content["trained_with"] = trained_with.to_plain()
    return content


def weights_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Take the best weights; checkpoint_last.pt holds them beside the state of the training.

    Raises
    ------
    InputError
        If no epoch was finished yet.

    """
    training = checkpoint.get("trainer", {})
    if training and not training.get("history"):
        raise InputError(
            "that checkpoint is of a run that was stopped in its first epoch: it has no trained "
            "weights yet. Go on with the run first."
        )
    return checkpoint.get("model") or training.get("best_state")


def settings_of(
    checkpoint: Mapping[str, Any], path: Path, *, changed: Callable[[Config], Config]
) -> Config:
    """Take the settings a checkpoint was trained with, changed for what is to be done with it.

    Parameters
    ----------
    checkpoint : mapping
    path : Path
        Where it was read.
    changed : callable
        Settings of the training ─► settings that name, for example, other files.

    Raises
    ------
    InputError
        If the checkpoint holds no settings, or what the weights were trained for (the model, PaSST,
        the sentence model) is changed.

    """
    trained = settings_in(checkpoint, path)
    config = changed(trained)
    fixed = ("model", "passt.arch", "sentence_model.sha256")
    if differing := differing_settings(config, trained, only=fixed):
        raise InputError(
            f"{path} was trained with other settings: {'; '.join(differing)}. "
            "Drop these --set, or give the --config of that run."
        )
    return config


def settings_in(checkpoint: Mapping[str, Any], path: Path) -> Config:
    """Parse the settings in a checkpoint."""
    if "settings" not in checkpoint:
        raise InputError(f"{path} holds no settings: train again.")
    return parse_config(checkpoint["settings"], base=Path(), source=str(path))


def load_into(target: Any, state: Any, source: Path | str) -> None:
    """Load a state dict; one that does not fit the settings and their vector files is refused."""
    try:
        target.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source} does not fit the settings or the vector files they name: {error}"
        ) from None
