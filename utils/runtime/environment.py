"""The versions, the processor and the device that a run is computed with."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "numpy", "h5py", "transformers", "hear21passt", "soxr", "soundfile", "av")
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
    info = _CPU_INFO.read_text("utf-8", errors="replace") if _CPU_INFO.is_file() else ""
    model = re.search(r"^model name[ \t]*:[ \t]*(.*\S)", info, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()
