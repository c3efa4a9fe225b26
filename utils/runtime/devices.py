"""Which device to compute on, and in which precision; PyTorch is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.runtime import distributed
from utils.runtime.errors import InputError

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str) -> torch.device:
    """Turn the setting `training.device` into an available device.

    Each of several processes on a machine gets its own CUDA device, unless one is set by number.

    Raises
    ------
    InputError
        If the device is not available, or there are fewer CUDA devices than processes.

    """
    import torch

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
        raise InputError("training.device is mps, which is missing here. Set it to auto or cpu.")
    return device


def choose_precision(wanted: str, device: torch.device) -> str:
    """Turn the setting `precision` into 'fp32' or 'bf16'; auto is bf16 if the hardware has it."""
    import torch

    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported()
    else:
        native = False
    return "bf16" if native else "fp32"


def for_inference(
    network: torch.nn.Module, device: torch.device, precision: str
) -> torch.nn.Module:
    """Move a network to a device and prepare it for inference; call it under `autocast`.

    On a CPU faster linear layers replace its own; they can be neither trained nor saved.
    """
    import torch

    from utils.runtime import onednn

    network.to(device).eval()
    onednn.pack_linears(network, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return network


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Make the context in which a network computes in the given precision."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
