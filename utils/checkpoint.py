"""Checkpoints: tensors and plain values, written whole or not at all, read without running code."""

import io
from pathlib import Path
from typing import Any

import torch

from utils.errors import InputError, out_of_memory
from utils.files import atomic_write

FORMAT = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the old one stands until the new one is whole."""
    buffer = io.BytesIO()  # PyTorch hides from us why a write to a file fails
    torch.save({"format": FORMAT, **content}, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another format, or holds anything but tensors and
        plain values.

    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}. A run writes them to outputs/<experiment>/<run>/.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and zip raise a dozen kinds, with unhelpful advice
        if out_of_memory(error):
            raise
        raise InputError(
            f"cannot read the checkpoint {path}: it is damaged, no checkpoint, or holds more "
            "than tensors and plain values, which is refused because loading it could run code."
        ) from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} is no checkpoint of this program, or of another version (format {found!r}, "
            f"not {FORMAT}). Train again with python main.py."
        )
    return content
