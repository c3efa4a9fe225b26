"""Which device to compute on, and in which precision."""

import torch
from torch import nn

from utils.runtime import distributed, onednn
from utils.runtime.errors import InputError

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(wanted: str) -> torch.device:
    """Turn the setting `training.device` into a device that is there.

    Of several processes on a machine each gets a CUDA device of its own, unless the setting names
    one by number.

    Raises
    ------
    InputError
        If the wanted device is not there, or there are fewer CUDA devices than processes.

    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    team = distributed.team()
    if wanted == "cuda" and team.size > 1:
        if team.local_rank >= (count := torch.cuda.device_count()):
            raise InputError(
                f"this is process {team.local_rank + 1} of its machine, where PyTorch sees {count} "
                "CUDA devices. Start as many processes as there are devices (torchrun "
                "--nproc-per-node), or set training.device to cpu."
            )
        return torch.device("cuda", team.local_rank)
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"training.device is {wanted}, but PyTorch sees {torch.cuda.device_count()} CUDA "
            "devices here. Set it to auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("training.device is mps, but there is none here. Set it to auto or cpu.")
    return device


def choose_precision(wanted: str, device: torch.device) -> str:
    """Turn the setting `precision` into 'fp32' or 'bf16'; auto takes bf16 only in hardware."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported()
    else:
        native = False
    return "bf16" if native else "fp32"


def for_inference(network: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Move a network to a device and set it up for inference alone; call it under `autocast`.

    On a CPU its linear layers are replaced by faster ones, which can be neither trained nor saved.
    """
    network.to(device).eval()
    onednn.pack_linears(network, dtype=_TYPES[precision])
    return network


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Make the context in which a network computes in the given precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
