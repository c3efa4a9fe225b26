"""PaSST as the settings name it: found and verified at once, loaded when something is to be tagged.

What is known of the networks comes as an argument, the module `models.architectures`.
"""

import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor

from utils.features import updating, weights
from utils.runtime.devices import choose_device, choose_precision
from utils.runtime.errors import InputError
from utils.settings.config import PROJECT_ROOT, Config

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"


class Tagger:
    """A PaSST, on a device, in a precision.

    Parameters
    ----------
    config : Config
    facts : module
        `models.architectures`.

    Attributes
    ----------
    weights_file : Path
    device : torch.device
    made_by : dict
        How its numbers are made, in the words of vector files.
    widths : (int, int)
        Numbers per window: logits, and scene embedding.
    cutting : dict
        How sounds are cut for it: arguments of `utils.features.updating.tag_clips`.

    Raises
    ------
    InputError
        If this version does not know the architecture, or its weights cannot be had.

    """

    def __init__(self, config: Config, facts: Any) -> None:
        self._arch, self._make = config.passt.arch, facts.make_passt
        if self._arch not in facts.ARCHITECTURES:
            raise InputError(
                f"the model needs the PaSST {self._arch!r}, and this version knows "
                f"{', '.join(facts.ARCHITECTURES)}."
            )
        architecture = facts.ARCHITECTURES[self._arch]
        self.device = choose_device(config.training.device)
        self._precision = choose_precision(config.precision, self.device)
        self.weights_file, weights_sha256 = weights.find_passt_weights(
            config.passt.weights,
            url=architecture.weights_url,
            bundled=_BUNDLED_WEIGHTS,
            sha256_expected=architecture.weights_sha256,
        )
        self.made_by = {
            "model": self._arch,
            "weights_sha256": weights_sha256,
            "precision": self._precision,
            "sample_rate": facts.SAMPLE_RATE,
            "window_seconds": architecture.window_seconds,
            "hop_seconds": facts.HOP_SECONDS,
        }
        self.widths = (facts.CLASSES, architecture.embedding_size)
        self.cutting = {
            "sample_rate": facts.SAMPLE_RATE,
            "window": round(architecture.window_seconds * facts.SAMPLE_RATE),
            "hop": round(facts.HOP_SECONDS * facts.SAMPLE_RATE),
            "shortest": facts.MIN_SAMPLES,
            "batch_size": config.passt.batch_size or facts.windows_at_once(self.device.type),
        }
        self._loaded: Callable[[Tensor], Tensor] | None = None
        self._loading = threading.Lock()

    def load(self) -> Callable[[Tensor], Tensor]:
        """Load the network, once: windows (B, S) ─► rows (B, sum of `widths`), on the device."""
        with self._loading:
            if self._loaded is None:
                model = self._make(self._arch)
                weights.load_weights(model, self.weights_file)
                self._loaded = updating.tagger(model, self.device, self._precision)
        return self._loaded
