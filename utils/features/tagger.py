"""PaSST over sounds: found and verified at once, loaded when something is to be tagged.

Shapes: B batch, S samples of a window, W windows of a clip, D numbers per row.
"""

import itertools
import threading
from collections import deque
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
from utils.runtime.pools import map_ahead
from utils.settings.config import PROJECT_ROOT, Config

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"

_WINDOWS_AHEAD = 16  # of each of these clips, or a batch if that is more; bounds the memory


class Tagger:
    """A PaSST, on a device, in a precision.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    weights_file : Path
    device : torch.device
    made_by : dict
        How its numbers are made, in the words of vector files.
    widths : (int, int)
        Numbers per window: logits, and scene embedding.
    cutting : dict
        How sounds are cut for it: arguments of `utils.features.tagger.tag_clips`.

    Raises
    ------
    InputError
        If this version does not know the architecture, or its weights cannot be had.

    """

    def __init__(self, config: Config) -> None:
        self._arch = config.passt.arch
        if self._arch not in architectures.ARCHITECTURES:
            raise InputError(
                f"the model needs the PaSST {self._arch!r}, and this version knows "
                f"{', '.join(architectures.ARCHITECTURES)}."
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

                model = Passt(arch=self._arch)
                weights.load_weights(model, self.weights_file)
                self._loaded = make_tagger(model, self.device, self._precision)
        return self._loaded


def make_tagger(
    network: nn.Module, device: torch.device, precision: str
) -> Callable[[Tensor], Tensor]:
    """Set up a network that gives several outputs for windows, and put them side by side.

    Parameters
    ----------
    network : nn.Module
        Windows (B, S) ─► outputs, each (B, some numbers).
    device : torch.device
    precision : {'fp32', 'bf16'}

    Returns
    -------
    callable
        Windows (B, S), from wherever ─► rows (B, D), on the device.

    """
    for_inference(network, device, precision)

    @torch.inference_mode()
    def tag(windows: Tensor) -> Tensor:
        with autocast(device, precision):
            return torch.cat(network(windows.to(device)), dim=1)

    return tag


def clip_units(count: int) -> list[list[int]]:
    """Make units of one clip each.

    A clip's windows are never batched with another's: its numbers must not depend, by not even a
    rounding error, on which clips are computed beside it or were computed before.
    """
    return [[position] for position in range(count)]


def clip_batches(
    paths: Sequence[Path],
    units: Units,
    tag: Callable[[Tensor], Tensor],
    *,
    sample_rate: int,
    window: int,
    hop: int,
    shortest: int,
    batch_size: int,
    strict: bool = False,
) -> Batches:
    """Decode clips ahead of the network and yield the mean of its output over their windows.

    The memory holds the beginnings of a few clips, and of one its current part, however long the
    clips are.

    Parameters
    ----------
    paths : sequence of Path
    units : sequence of lists of int
        Positions of the clips to compute in `paths`, one in each: see `clip_units`.
    tag : callable
        Windows (B, S) ─► rows (B, D), on whatever device.
    sample_rate, window, hop, shortest : int
        Of the windows, in Hz and samples; see `utils.audio.windows.cut_windows`.
    batch_size : int
        Windows per call of `tag`.
    strict : bool
        Raise at the first clip that cannot be used.

    Yields
    ------
    (positions, rows) : list of int and ndarray of shape (len(positions), D)
        Or a text in the place of the rows: why the clip cannot be used.

    Raises
    ------
    UnusableSound
        If `strict`.

    """
    running: deque[tuple[list[int], Tensor]] = deque()

    def finished() -> tuple[list[int], NDArray[np.float32]]:
        done, rows = running.popleft()
        return done, rows.cpu().numpy()

    clips = tag_clips(
        [paths[position] for (position,) in units],
        tag,
        sample_rate=sample_rate,
        window=window,
        hop=hop,
        shortest=shortest,
        batch_size=batch_size,
    )
    for unit, outputs in zip(units, clips, strict=True):
        if isinstance(outputs, UnusableSound):
            if strict:
                raise outputs
            yield unit, outputs.reason
        else:
            running.append((list(unit), outputs.mean(dim=0, keepdim=True)))
        # A GPU gets the next clip before the numbers of this one are waited for.
        while running and len(running) > (1 if running[-1][1].is_cuda else 0):
            yield finished()
    while running:
        yield finished()


def tag_clips(
    paths: Sequence[Path],
    tag: Callable[[Tensor], Tensor],
    *,
    sample_rate: int,
    window: int,
    hop: int,
    shortest: int,
    batch_size: int,
) -> Iterator[Tensor | UnusableSound]:
    """Decode clips ahead of the network and yield its output for all windows of each, in order.

    Parameters
    ----------
    paths : sequence of Path
    tag, sample_rate, window, hop, shortest, batch_size
        See `clip_batches`.

    Yields
    ------
    Tensor, shape (W, D), on the device, or UnusableSound
        For each path; the error where the clip cannot be used.

    """
    at_once = batch_size * max(1, _WINDOWS_AHEAD // batch_size)

    def begin(path: Path) -> Iterator[NDArray[np.float32]] | UnusableSound:
        windows = cut_windows(
            mono_blocks(path, sample_rate=sample_rate),
            window=window,
            hop=hop,
            shortest=shortest,
            at_once=at_once,
        )
        try:
            return itertools.chain([next(windows)], windows)
        except UnusableSound as error:
            return error

    for _, windows in map_ahead(begin, paths):
        if isinstance(windows, UnusableSound):
            yield windows
            continue
        outputs = []
        try:
            for part in windows:
                for start in range(0, len(part), batch_size):
                    batch = part[start : start + batch_size].copy()  # it was read-only
                    outputs.append(tag(torch.from_numpy(batch)))
        except UnusableSound as error:
            yield error
        else:
            yield torch.cat(outputs)
