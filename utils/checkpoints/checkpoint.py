"""Checkpoints: tensors and plain values, written whole or not at all, read without running code."""

import io
from pathlib import Path
from typing import Any

import torch

from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.files.tensors import load_tensors
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, shown

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
