"""Write a model folder to share, which `utils.checkpoints.model_folder` reads."""

import dataclasses
import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from utils.checkpoints.model_folder import (
    CARD,
    CONFIG,
    LICENCE,
    SUMS,
    TAG_TABLE,
    TAGS,
    WEIGHTS,
    ExportedConfig,
    digest,
    misfits,
)
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.audioset import read_labels
from utils.files.reading import read_json, read_text
from utils.files.writing import atomic_write
from utils.runs.model_card import model_card, sources_of
from utils.runs.scorer import Scorer
from utils.runtime.errors import InputError
from utils.settings.config import PROJECT_ROOT, Model


def export_model(folder: Path, scorer: Scorer, *, metrics_file: Path) -> None:
    """Write a model folder with the model of a checkpoint, and its card.

    Parameters
    ----------
    folder : Path
        New, or empty.
    scorer : Scorer
        Of the data set that the model was trained on.
    metrics_file : Path
        metrics.json of the run, if there is one.

    Raises
    ------
    InputError
        If the folder holds something, or cannot be written.

    """
    inputs = scorer.inputs
    config = exported_config(
        scorer.config.model,
        audio_size=inputs.audio_size,
        text_size=inputs.text_size,
        trained_with=inputs.made_with,
        trained_on=scorer.trained_on,
    )
    metrics = read_json(metrics_file) if metrics_file.is_file() else None
    write_exported(
        folder,
        config,
        scorer.model.state_dict(),
        tags=read_labels(),
        card=model_card(config, metrics, sources_of(scorer.config, scorer.trained_on)),
        licence=read_text(PROJECT_ROOT / "LICENSE"),
    )


def exported_config(
    model: Model,
    *,
    audio_size: int,
    text_size: int,
    trained_with: TrainedWith,
    trained_on: str,
) -> ExportedConfig:
    """Describe a model.

    Parameters
    ----------
    model : Model
    audio_size, text_size : int
        F and D.
    trained_with : TrainedWith
    trained_on : {'clotho', 'audiocaps'}

    """
    return ExportedConfig(
        audio_size=audio_size,
        text_size=text_size,
        model=model,
        passt=trained_with.passt,
        sentence_model=trained_with.sentence_model,
        trained_on=trained_on,
    )


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds something, with an InputError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not empty, and nothing in it is to be overwritten. Remove it, or name "
            "another with --output."
        )


def write_exported(
    folder: Path,
    config: ExportedConfig,
    state: Mapping[str, Tensor],
    *,
    tags: Sequence[str],
    card: str,
    licence: str,
) -> None:
    """Write a model folder; it appears under its name only when all of it is on the disk.

    Parameters
    ----------
    folder : Path
        New, or empty.
    config : ExportedConfig
    state : mapping of str to Tensor
        State dict of the dual encoder.
    tags : sequence of K str
    card, licence : str
        Texts of README.md and LICENSE.

    Raises
    ------
    InputError
        If the folder holds something, or cannot be written.
    ValueError
        If the state dict does not fit `config`.

    """
    require_empty(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if problems := misfits(config, tensors):
        raise ValueError("; ".join(problems))
    table = {name: tensors.pop(name) for name in ("tag_table",) if name in tensors}
    contents = {
        WEIGHTS: safetensors.torch.save(tensors, metadata={"format": "pt"}),
        CONFIG: _json(dataclasses.asdict(config)),
        TAGS: _json(list(tags)),
        CARD: card.encode(),
        LICENCE: licence.encode(),
    }
    if table:
        contents[TAG_TABLE] = safetensors.torch.save(table, metadata={"format": "pt"})
    sums = "".join(f"{digest(contents[name])}  {name}\n" for name in sorted(contents))
    temporary = folder.absolute().parent / f".{secrets.token_hex(8)}.tmp"
    try:
        for name, content in {**contents, SUMS: sums.encode()}.items():
            with atomic_write(temporary / name) as file:
                file.write(content)
        temporary.rename(folder)
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror or error}. Name another with --output."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
