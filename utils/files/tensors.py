"""Files of tensors and plain values."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.runtime.errors import out_of_memory


def load_tensors(path: Path) -> Any:
    """Load what ``torch.save`` wrote, onto the CPU: tensors, texts, numbers, lists and dicts.

    Raises
    ------
    ValueError
        Saying why not: the file is damaged or holds anything else. No code in it is run.
    OSError
        If the system does not let us read it.

    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and zip raise a dozen kinds, with unhelpful advice
        if out_of_memory(error) or (isinstance(error, OSError) and error.errno):
            raise
        raise ValueError(
            "it is damaged (a broken download?), or holds more than tensors and plain values, "
            "which is refused because loading it could run code"
        ) from error


def digest_of(tensors: Iterable[Tensor]) -> str:
    """Compute the SHA-256 of tensors, with their types and shapes."""
    result = hashlib.sha256()
    for tensor in tensors:
        result.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        result.update(tensor.detach().cpu().contiguous().numpy())
    return result.hexdigest()
