"""The file of a trained `models.moment_net.MomentNet`: safetensors, with its story as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from models.moment_net import MomentNet
from utils.files.reading import read_bytes
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError

_ENTRY = "moment_net"


def save_moment_net(path: Path, net: MomentNet, story: Mapping[str, Any]) -> None:
    """Write a network, whole or not at all, and what it was trained on (JSON-serialisable)."""
    with atomic_write(path, "w+b") as file:
        file.write(safetensors.torch.save(net.state_dict(), {_ENTRY: json.dumps(story)}))


def load_moment_net(path: Path) -> MomentNet:
    """Read a network, in evaluation mode.

    Raises
    ------
    InputError
        If the file is missing, damaged, or something else.

    """
    if not path.is_file():
        raise InputError(f"no {path}. `python main.py train-moments` writes such a file.")
    net = MomentNet()
    try:
        net.load_state_dict(safetensors.torch.load(read_bytes(path)))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} is damaged, or is not a network of `python main.py train-moments`: {error}."
        ) from None
    return net.eval()
