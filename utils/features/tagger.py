"""PaSST over sounds: found and verified at once, loaded when something is to be tagged.

Shapes: B batch, S samples of a window, W windows of a clip, D numbers per row.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import architectures
from utils.audio.sound_file import UnusableSound, mono_blocks
from utils.audio.windows import cut_windows
from utils.features import weights
from utils.features.shared_work import Batches, Units
from utils.runtime.devices import autocast, choose_device, choose_precision, for_inference
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.runtime.pools import map_ahead
from utils.settings.config import Config

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"

# Clips are decoded in parts of at most this many windows (or one batch, if that is more), and only
# the first parts of a few clips ahead of the network: this bounds the memory.
_WINDOWS_PER_PART = 16


class Tagger:
    """A PaSST on a device, in a precision.

    Attributes
    ----------
    made_by : dict
        How its numbers are made; attributes of vector files.
    widths : (int, int)
        Numbers per window: logits, and scene embedding.
    cutting : dict
        How sounds are cut for it: arguments of `tag_clips`.

    Raises
    ------
    InputError
        If the architecture is unknown, or its weights are missing or invalid.

    """

    def __init__(self, config: Config) -> None:
        self._arch = config.passt.arch
        if self._arch not in architectures.ARCHITECTURES:
            raise InputError(
                f"the model needs the PaSST {self._arch!r}, which this version does not have. It "
                f"has {', '.join(architectures.ARCHITECTURES)}."
            )
        architecture = architectures.ARCHITECTURES[self._arch]
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
            "sample_rate": architectures.SAMPLE_RATE,
            "window_seconds": architecture.window_seconds,
            "hop_seconds": architectures.HOP_SECONDS,
        }
        self.widths = (architectures.CLASSES, architecture.embedding_size)
        self.cutting = {
            "sample_rate": architectures.SAMPLE_RATE,
            "window": round(architecture.window_seconds * architectures.SAMPLE_RATE),
            "hop": round(architectures.HOP_SECONDS * architectures.SAMPLE_RATE),
            "shortest": architectures.MIN_SAMPLES,
            "batch_size": config.passt.batch_size
            or architectures.windows_at_once(self.device.type),
        }
        self._loaded: Callable[[Tensor], Tensor] | None = None
        self._loading = threading.Lock()

    def load(self) -> Callable[[Tensor], Tensor]:
        """Load the network, once: windows (B, S) ─► rows (B, sum of `widths`), on the device."""
        with self._loading:
            if self._loaded is None:
                from models.passt import Passt  # takes seconds to import

                network = Passt(arch=self._arch)
                weights.load_weights(network, self.weights_file)
                self._loaded = make_tagger(network, self.device, self._precision)
        return self._loaded


def make_tagger(
    network: nn.Module, device: torch.device, precision: str
) -> Callable[[Tensor], Tensor]:
    """Set up a network, windows (B, S) ─► several outputs (B, ...), to return them side by side.

    The result takes windows (B, S) on any device and returns rows (B, D) on `device`.
    """
    for_inference(network, device, precision)

    @torch.inference_mode()
    def tag(windows: Tensor) -> Tensor:
        with autocast(device, precision):
            return torch.cat(network(windows.to(device)), dim=1)

    return tag


def tag_clips(
    paths: Sequence[Path],
    tag: Callable[[Tensor], Tensor],
    *,
    sample_rate: int,
    window: int,
    hop: int,
    shortest: int,
    batch_size: int,
    accept_truncated: bool = False,
) -> Iterator[Tensor | UnusableSound]:
    """Decode clips ahead of the network and yield its output for all windows of each, in order.

    However long the clips are, the memory holds the first parts of a few, and of one the current.

    Parameters
    ----------
    tag : callable
        Windows (B, S) ─► rows (B, D), on any device.
    sample_rate, window, hop, shortest : int
        Of the windows, in Hz and samples; see `utils.audio.windows.cut_windows`.
    batch_size : int
        Windows per call of `tag`.
    accept_truncated : bool
        Use truncated files as far as they go.

    Yields
    ------
    Tensor, shape (W, D), on the device, or UnusableSound
        For each path; the error if the clip cannot be used.

    """
    at_once = batch_size * max(1, _WINDOWS_PER_PART // batch_size)

    def begin(path: Path) -> Iterator[NDArray[np.float32]] | UnusableSound:
        blocks = mono_blocks(path, sample_rate=sample_rate, accept_truncated=accept_truncated)
        parts = cut_windows(blocks, window=window, hop=hop, shortest=shortest, at_once=at_once)
        try:
            return itertools.chain([next(parts)], parts)
        except UnusableSound as error:
            return error

    for _, parts in map_ahead(begin, paths):
        if isinstance(parts, UnusableSound):
            yield parts
            continue
        try:
            rows = [
                tag(torch.from_numpy(part[start : start + batch_size].copy()))  # it is read-only
                for part in parts
                for start in range(0, len(part), batch_size)
            ]
        except UnusableSound as error:
            yield error
        else:
            yield torch.cat(rows)


def clip_units(count: int) -> list[list[int]]:
    """Make units of one clip each; see `utils.features.shared_work`.

    A clip's windows are never batched with another's: its numbers must not depend, by not even a
    rounding error, on the other clips that are computed.
    """
    return [[position] for position in range(count)]


def clip_batches(
    paths: Sequence[Path],
    units: Units,
    tag: Callable[[Tensor], Tensor],
    *,
    strict: bool = False,
    **cutting: int,
) -> Batches:
    """Tag clips and yield the mean over the windows of each.

    Parameters
    ----------
    units : sequence of lists of int
        Positions of the clips to compute in `paths`, one in each: see `clip_units`.
    tag, cutting
        See `tag_clips`.
    strict : bool
        Raise at the first clip that cannot be used.

    Yields
    ------
    (positions, rows) : list of int and ndarray of shape (1, D)
        Or, instead of the rows, a text: why the clip cannot be used.

    Raises
    ------
    UnusableSound
        If `strict`.

    """
    computed: list[tuple[Sequence[int], Tensor]] = []
    clips = tag_clips([paths[position] for (position,) in units], tag, **cutting)
    for unit, rows in zip(units, clips, strict=True):
        if isinstance(rows, UnusableSound):
            if strict:
                raise rows
            yield unit, rows.reason
            continue
        computed.append((unit, rows.mean(dim=0, keepdim=True)))
        # A GPU gets the next clip before this one's numbers are waited for.
        if len(computed) > 1 or not rows.is_cuda:
            unit, rows = computed.pop(0)
            yield unit, rows.cpu().numpy()
    for unit, rows in computed:
        yield unit, rows.cpu().numpy()
