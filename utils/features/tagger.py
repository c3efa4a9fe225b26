"""PaSST over sounds: found and verified at once, loaded when something is to be tagged.

Shapes: B batch, S samples of a window, W windows of a clip, D numbers per row.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import architectures
from utils.audio.sound_file import UnusableSound
from utils.features import weights
from utils.features.fine_grid import GridFolder, average_cells, count_cells
from utils.features.hearing import (
    PUBLISHED,
    HeardSound,
    Hearing,
    mark_silence,
    mark_silent_cells,
)
from utils.features.shared_work import Batches, Units
from utils.runtime.devices import autocast, choose_device, choose_precision, for_inference
from utils.runtime.errors import InputError, UnreadableError
from utils.runtime.paths import PROJECT_ROOT
from utils.runtime.pools import map_ahead
from utils.settings.config import Config

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"

# Clips are decoded in parts of at most this many windows (or one batch, if that is more), and only
# the first parts of a few clips ahead of the network: this bounds the memory.
_WINDOWS_PER_PART = 16


class Tagger:
    """A PaSST on a device, in a precision.

    Parameters
    ----------
    config : Config
    hearing : Hearing, optional
        What is done to sounds; by default what the settings have for data sets.
    cells : bool
        Also tag the cells of each window: see `utils.features.fine_grid`.

    Attributes
    ----------
    made_by : dict
        How its numbers are made; attributes of vector files.
    widths : (int, int)
        Numbers per window: logits, and scene embedding.
    cutting : dict
        How sounds are cut for it: arguments of `tag_windows`.

    Raises
    ------
    InputError
        If the architecture is unknown, or its weights are missing or invalid.

    """

    def __init__(
        self, config: Config, hearing: Hearing | None = None, *, cells: bool = False
    ) -> None:
        self._cells = cells
        self._arch = config.passt.arch
        self.hearing = hearing or Hearing(config.passt.mono, config.passt.windows)
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
            **self.hearing.recorded,
        }
        self.widths = (architectures.CLASSES, architecture.embedding_size)
        self.cutting = {
            "hearing": self.hearing,
            "sample_rate": architectures.SAMPLE_RATE,
            "window": round(architecture.window_seconds * architectures.SAMPLE_RATE),
            "hop": round(architectures.HOP_SECONDS * architectures.SAMPLE_RATE),
            "shortest": architectures.MIN_SAMPLES,
            "batch_size": config.passt.batch_size
            or architectures.windows_at_once(self.device.type),
            "width": sum(self.widths) if cells else None,
        }
        self._loaded: Callable[[Tensor], Tensor] | None = None
        self._loading = threading.Lock()

    def load(self) -> Callable[[Tensor], Tensor]:
        """Load the network, once: windows (B, S) ─► rows (B, sum of `widths`), on the device.

        With `cells`, the rows of the G cells of each window follow in its row.
        """
        with self._loading:
            if self._loaded is None:
                from models.passt import Passt  # takes seconds to import

                network = Passt(arch=self._arch)
                weights.load_weights(network, self.weights_file)
                self._loaded = make_tagger(network, self.device, self._precision, cells=self._cells)
        return self._loaded


def make_tagger(
    network: nn.Module, device: torch.device, precision: str, *, cells: bool = False
) -> Callable[[Tensor], Tensor]:
    """Set up a network, windows (B, S) ─► several outputs (B, ...), to return them side by side.

    The result takes windows (B, S) on any device and returns rows (B, D) on `device`. With `cells`
    the network is a `models.passt.Passt`, whose ``forward_cells`` is called.
    """
    for_inference(network, device, precision)
    forward = network.forward_cells if cells else network

    @torch.inference_mode()
    def tag(windows: Tensor) -> Tensor:
        with autocast(device, precision):
            return torch.cat([part.flatten(1) for part in forward(windows.to(device))], dim=1)

    return tag


def tag_windows(
    paths: Sequence[Path],
    tag: Callable[[Tensor], Tensor],
    *,
    first: Sequence[int] | None = None,
    ended: Callable[[HeardSound], Any] = lambda sound: None,
    hearing: Hearing = PUBLISHED,
    batch_size: int,
    width: int | None = None,
    **cutting: int,
) -> Iterator[Iterator[Tensor]]:
    """Decode clips ahead of the network and yield its output for the windows of each, as it comes.

    However long the clips are, the memory holds the first parts of a few, and of one the current.

    Parameters
    ----------
    tag : callable
        Windows (B, S) ─► rows (B, D), on any device.
    first : sequence of int, optional
        For each path, the window to begin with; by default 0. The numbers are those that they would
        be among all windows of the clip.
    ended : callable
        Called with each sound after its last window, when its length and notes are known.
    hearing : Hearing
    batch_size : int
        Windows per call of `tag`.
    width : int, optional
        Numbers of a window and of each of its cells, if `tag` gives cells.
    cutting
        `sample_rate`, `window`, `hop`, `shortest` and perhaps `accept_truncated`; see
        `utils.features.hearing.HeardSound`.

    Yields
    ------
    iterator of Tensor, shape (some windows, D), on the device
        For each path, in order. It raises UnusableSound if the clip cannot be used, and
        UnreadableError if its disk does not answer.

    """
    at_once = batch_size * max(1, _WINDOWS_PER_PART // batch_size)

    def begin(path: Path) -> tuple[HeardSound, Iterator[NDArray[np.float32]] | InputError]:
        sound = HeardSound(path, hearing, at_once=at_once, **cutting)
        parts = sound.parts()
        try:
            return sound, itertools.chain([next(parts)], parts)
        except (UnusableSound, UnreadableError) as error:
            return sound, error

    def tagged(
        sound: HeardSound, parts: Iterator[NDArray[np.float32]] | InputError, wanted: int
    ) -> Iterator[Tensor]:
        if isinstance(parts, InputError):
            raise parts
        yield from _tag_parts(parts, heard, batch_size, wanted)
        ended(sound)

    def heard(windows: NDArray[np.float32]) -> Tensor:
        rows = tag(torch.from_numpy(windows.copy()))  # it is read-only
        if hearing.windows == "heard":
            mark_silence(rows, windows)
            if width:
                size = round(architectures.CELL_SECONDS * cutting["sample_rate"])
                mark_silent_cells(split_cells(rows, width)[1], windows, size=size)
        return rows

    wanted = first or [0] * len(paths)
    for (_, (sound, parts)), number in zip(map_ahead(begin, paths), wanted, strict=True):
        yield tagged(sound, parts, number)


def _tag_parts(
    parts: Iterator[NDArray[np.float32]],
    tag: Callable[[NDArray[np.float32]], Tensor],
    batch_size: int,
    wanted: int,
) -> Iterator[Tensor]:
    """Tag the windows of a clip from a certain one on, in the batches of the whole clip."""
    position = 0
    for part in parts:
        for start in range(0, len(part), batch_size):
            windows = part[start : start + batch_size]
            unwanted = max(0, wanted - position)
            position += len(windows)
            if unwanted < len(windows):
                yield tag(windows)[unwanted:]


def tag_clips(
    paths: Sequence[Path], tag: Callable[[Tensor], Tensor], **cutting: Any
) -> Iterator[Tensor | UnusableSound]:
    """Yield the network's output for all windows of each clip; arguments as for `tag_windows`.

    Yields
    ------
    Tensor, shape (W, D), on the device, or UnusableSound
        For each path; the error if the clip cannot be used.

    """
    for batches in tag_windows(paths, tag, **cutting):
        try:
            yield torch.cat(list(batches))
        except UnusableSound as error:
            yield error


def split_cells(rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Split rows (W, D + G·D) of a tagger of cells into those of windows, (W, D), and (W, G, D)."""
    return rows[:, :width], rows[:, width:].unflatten(1, (-1, width))


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
    hearing: Hearing = PUBLISHED,
    grid: tuple[GridFolder, Sequence[str]] | None = None,
    **cutting: Any,
) -> Batches:
    """Tag clips and yield the mean over the windows of each, and what is odd about its sound.

    Parameters
    ----------
    units : sequence of lists of int
        Positions of the clips to compute in `paths`, one in each: see `clip_units`.
    tag, hearing, cutting
        See `tag_windows`.
    strict : bool
        Raise at the first clip that cannot be used.
    grid : (GridFolder, sequence of str), optional
        Where to keep the cells of each clip, before its row is yielded, and the contents of all
        `paths`; `tag` gives cells, too.

    Yields
    ------
    (positions, rows, note) : list of int, ndarray of shape (1, D) and str
        Or (positions, reason) if the clip cannot be used.

    Raises
    ------
    UnusableSound
        If `strict`.

    """
    computed: list[tuple[Sequence[int], Tensor, str]] = []
    heard: list[HeardSound] = []
    clips = tag_clips(
        [paths[position] for (position,) in units],
        tag,
        ended=heard.append,
        hearing=hearing,
        **cutting,
    )
    for unit, rows in zip(units, clips, strict=True):
        if isinstance(rows, UnusableSound):
            if strict:
                raise rows
            yield unit, rows.reason
            continue
        sound = heard.pop()
        if grid:
            folder, sources = grid
            rows, cells = split_cells(rows, folder.width)
            averaged = np.concatenate(list(average_cells([cells.cpu().numpy()])))
            seconds = sound.samples / cutting["sample_rate"]
            folder.append(sources[unit[0]], averaged[: count_cells(seconds)], at=0)
        computed.append((unit, sound.mean_over_windows(rows), "; ".join(sound.notes)))
        # A GPU gets the next clip before this one's numbers are waited for.
        if len(computed) > 1 or not rows.is_cuda:
            unit, rows, note = computed.pop(0)
            yield unit, rows.cpu().numpy(), note
    for unit, rows, note in computed:
        yield unit, rows.cpu().numpy(), note
