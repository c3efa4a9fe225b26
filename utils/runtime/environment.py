"""On what a run was computed: versions, processor, device."""

import importlib.metadata
import platform
from pathlib import Path

import torch

_PACKAGES = ("torch", "numpy", "h5py", "transformers", "hear21passt", "soxr", "soundfile")
_CPU_INFO = Path("/proc/cpuinfo")


def describe(device: torch.device) -> dict[str, str]:
    """Name the machine's parts and the versions that numbers may depend on.

    Parameters
    ----------
    device : torch.device
        Where the networks were computed.

    """
    described = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    return described | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _processor() -> str:
    """Name the processor; Linux alone tells which it is."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
