"""The versions, the processor and the device that a run is computed with."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "numpy", "h5py", "transformers", "hear21passt", "soxr", "soundfile")
_CPU_INFO = Path("/proc/cpuinfo")


def packages() -> dict[str, str]:
    """List the versions of the packages that numbers may depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def describe(device: torch.device) -> dict[str, str]:
    """List the parts of the machine and the versions that numbers may depend on.

    The networks were computed on `device`.
    """
    import torch

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **packages(),
    }


def _processor() -> str:
    """Name the processor; only Linux has its model."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
