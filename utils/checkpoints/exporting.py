"""Write a model folder to share, which `utils.checkpoints.model_folder` reads."""

import dataclasses
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch

from utils.checkpoints.model_folder import (
    CARD,
    CONFIG,
    LICENCE,
    SUMS,
    TAG_TABLE,
    TAGS,
    WEIGHTS,
    digest,
    misfits,
)
from utils.checkpoints.trained_model import TrainedModel
from utils.datasets.audioset import read_labels
from utils.files.reading import read_bytes, sha256
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shorten
from utils.runtime.paths import PROJECT_ROOT


def require_empty(folder: Path) -> None:
    """Raise an InputError if a folder is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not empty, and it would be overwritten. Move it away, or name another "
            "with --output."
        )


def export_model(folder: Path, model: TrainedModel, *, card: str) -> None:
    """Write a model folder, which gets its name only when all of it is on the disk.

    Parameters
    ----------
    folder : Path
        New, or empty.
    card : str
        Text of README.md.

    Raises
    ------
    InputError
        If the folder is not empty, or cannot be written, or the model does not fit its settings.

    """
    require_empty(folder)
    config, state = model.exported_config, model.network.state_dict()
    if problems := misfits(config, state):
        raise InputError(f"{model.source} does not fit its settings:\n{shorten(problems)}")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    table = {name: tensors.pop(name) for name in ("tag_table",) if name in tensors}
    contents = {
        WEIGHTS: safetensors.torch.save(tensors, metadata={"format": "pt"}),
        CONFIG: _json(dataclasses.asdict(config)),
        TAGS: _json(read_labels()),
        CARD: card.encode(),
        LICENCE: read_bytes(PROJECT_ROOT / "LICENSE"),
    }
    if table:
        contents[TAG_TABLE] = safetensors.torch.save(table, metadata={"format": "pt"})
    sums = {name: digest(content) for name, content in contents.items()}
    temporary = folder.absolute().parent / f".{secrets.token_hex(8)}.tmp"
    try:
        for name, path in model.own_networks.items():
            with atomic_write(temporary / name) as file, path.open("rb") as source:
                shutil.copyfileobj(source, file)
            sums[name] = sha256(temporary / name)
        contents[SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
        for name, content in contents.items():
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
