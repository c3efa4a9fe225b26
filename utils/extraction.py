"""Run a network over many inputs, in batches, keeping each batch as it comes.

The networks come as arguments. Shapes: B batch, D numbers per row.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.audio import cut_windows, read_audio
from utils.devices import autocast, for_inference
from utils.distributed import ALONE, Team
from utils.sharing import Batches, Start, Units, Work, compute_rows
from utils.vectors import read_if_current, write_vectors

_DECODERS = max(2, min(8, (os.cpu_count() or 2) // 2))  # threads
_DECODED_AHEAD = 4 * _DECODERS  # clips; bounds the memory


@dataclass(frozen=True)
class Update:
    """What became of vector files: rows computed, and whether anything was written at all."""

    computed: int
    written: bool


def update_vector_files(
    paths: Sequence[Path],
    ids: Sequence[str],
    *,
    attributes: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Sequence[str]],
    widths: Sequence[int],
    start: Start,
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Bring vector files of the same rows up to date, computing no row that is there already.

    The processes of a team call it with the same arguments, and share the work.

    Parameters
    ----------
    paths : sequence of F Path
        The files; computed rows are cut into them, left to right.
    ids : sequence of N str
    attributes : sequence of F mappings
        How the vectors of each file are made.
    columns : mapping of str to sequence of N str
        What each row is computed from (texts, or fingerprints of sound files).
    widths : sequence of F int
        Numbers per row of each file.
    start : callable
        Loads the network; called only where something is to be computed. Returns the units in which
        rows are computed (lists of positions, each position in one), and a function that takes some
        units and yields (positions, rows of sum(widths) numbers) batch by batch. See
        `utils.sharing.compute_rows`.
    team : Team
    advance : callable
        Told about finished rows, for a progress bar.

    Returns
    -------
    Update
        Files that are up to date stay untouched.

    Raises
    ------
    InputError
        If a file cannot be written, stands under that name but was not written by this program, or
        is being written by another run; and where the processes of the team do not fit together.

    """
    looks = []
    if team.leads:
        looks = [
            read_if_current(path, ids, columns, attrs)
            for path, attrs in zip(paths, attributes, strict=True)
        ]
    if team.told(all(current for current, _ in looks)):
        advance(len(ids))
        return Update(computed=0, written=False)
    keys = list(zip(ids, *columns.values(), strict=True))
    journal_keys = [json.dumps(key) for key in keys]
    known = {}
    if team.leads:
        for key, journal_key in zip(keys, journal_keys, strict=True):
            parts = [reusable.get(key) for _, reusable in looks]
            if all(part is not None for part in parts):
                known[journal_key] = np.concatenate(parts)

    def write(table: NDArray[np.float32]) -> None:
        left = 0
        for path, attrs, width in zip(paths, attributes, widths, strict=True):
            part = table[:, left : left + width]
            write_vectors(path, ids, part, attributes=attrs, columns=columns)
            left += width

    work = Work(
        paths[0].with_name(paths[0].name + ".partial"),
        journal_keys,
        origin={"files": [path.name for path in paths], "attributes": list(map(dict, attributes))},
        width=sum(widths),
    )
    computed = compute_rows(work, start, write, known=known, team=team, advance=advance)
    return Update(computed=computed, written=True)


def tagger(network: nn.Module, device: torch.device, precision: str) -> Callable[[Tensor], Tensor]:
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
) -> Batches:
    """Decode clips ahead of the network and yield the mean of its output over their windows.

    Parameters
    ----------
    paths : sequence of Path
    units : sequence of lists of int
        Positions of the clips to compute in `paths`, one in each: see `clip_units`.
    tag : callable
        Windows (B, S) ─► rows (B, D), on whatever device.
    sample_rate, window, hop, shortest : int
        Of the windows, in Hz and samples; see `utils.audio.cut_windows`.
    batch_size : int
        Windows per call of `tag`.

    Yields
    ------
    (positions, rows) : list of int and ndarray of shape (len(positions), D)

    """

    def windows_of(position: int) -> NDArray[np.float32]:
        samples = read_audio(paths[position], sample_rate=sample_rate)
        return cut_windows(samples, window=window, hop=hop, shortest=shortest)

    running: deque[tuple[list[int], Tensor]] = deque()

    def finished() -> tuple[list[int], NDArray[np.float32]]:
        done, rows = running.popleft()
        return done, rows.cpu().numpy()

    for position, windows in ahead(windows_of, [position for (position,) in units]):
        outputs = [
            tag(torch.from_numpy(windows[start : start + batch_size].copy()))  # it was read-only
            for start in range(0, len(windows), batch_size)
        ]
        running.append(([position], torch.cat(outputs).mean(dim=0, keepdim=True)))
        # A GPU gets the next clip before the numbers of this one are waited for.
        while len(running) > (1 if outputs[0].is_cuda else 0):
            yield finished()
    while running:
        yield finished()


def ahead(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Map in threads, in order, never more than a few results ahead of the consumer."""
    with ThreadPoolExecutor(_DECODERS) as pool:
        waiting: list[tuple[Any, Any]] = []
        remaining = iter(items)
        try:
            while True:
                while len(waiting) < _DECODED_AHEAD:
                    item = next(remaining, None)
                    if item is None:
                        break
                    waiting.append((item, pool.submit(function, item)))
                if not waiting:
                    return
                item, future = waiting.pop(0)
                yield item, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
