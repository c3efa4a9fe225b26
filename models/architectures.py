"""Facts about the PaSST networks that are needed before one is loaded.

They are not in `models.passt`, whose imports take seconds, because a search in tagged sounds needs
these facts but no network.
"""

from dataclasses import dataclass, field
from typing import Any

SAMPLE_RATE = 32_000  # Hz
CLASSES = 527  # AudioSet
SILENCE = 500  # the class of that name
HOP_SECONDS = 2.5  # between the windows of a long clip
CELL_SECONDS = 0.5  # of the grid on which sounds are also tagged; HOP_SECONDS is a multiple of it
HEARD_SECONDS = 1.0  # what a cell of the grid is tagged by, around its middle
FRAME_HOP = 320  # samples between the frames of the spectrogram
PATCH = 16  # frames and mel bands
MIN_SAMPLES = (PATCH - 1) * FRAME_HOP + 1  # fewer do not fill a patch


@dataclass(frozen=True)
class Architecture:
    """How a supported network differs from the others; `arguments` are those of hear21passt."""

    window_seconds: float
    embedding_size: int
    weights_url: str | None = None
    weights_sha256: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


_RELEASES = "https://github.com/kkoutini/PaSST/releases/download"
ARCHITECTURES = {
    "passt_s_swa_p16_128_ap476": Architecture(
        window_seconds=10,
        embedding_size=768,
        weights_url=f"{_RELEASES}/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt",
        weights_sha256="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
    ),
    # No hashes are published for the weights of the longer windows, so these are not verified.
    "passt_20sec": Architecture(
        window_seconds=20,
        embedding_size=768,
        weights_url=f"{_RELEASES}/v0.0.5/passt-s-f128-20sec-p16-s10-ap.474-swa.pt",
        arguments={"input_tdim": 2000},
    ),
    "passt_30sec": Architecture(
        window_seconds=30,
        embedding_size=768,
        weights_url=f"{_RELEASES}/v0.0.5/passt-s-f128-30sec-p16-s10-ap.473-swa.pt",
        arguments={"input_tdim": 3000},
    ),
    # The bundled tagger of the synthetic demo sounds: a PaSST of reduced width and depth.
    "demo": Architecture(
        window_seconds=10,
        embedding_size=144,
        # Printed by scripts/train_demo_tagger.py.
        weights_sha256="11fc80cd073d18674f1a601d379ddef08e2f786d20ca3438fe2a8049e4e2e8c9",
        arguments={
            "img_size": (128, 998),
            "stride": (16, 16),
            "embed_dim": 144,
            "depth": 4,
            "num_heads": 3,
        },
    ),
}


def windows_at_once(device_type: str) -> int:
    """Windows per pass: few, to stay in a CPU's caches, or many, to fill a GPU."""
    return 2 if device_type == "cpu" else 16
