"""Tag sound files, and keep each passage as soon as it is complete.

Shapes: D numbers per window, K of them logits.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.audio.sound_file import UnusableSound, read_header
from utils.runtime.errors import UnreadableError
from utils.search.file_table import ListedFile
from utils.search.passage_rows import PassageRows
from utils.search.passages import WINDOWS_OF_A_PASSAGE, cut_passages
from utils.search.sound_cells import SoundCells
from utils.search.sound_folder import changed_since

# Paths, and the window of each to begin with ─► for each, in order, the network's output for its
# windows, shape (some, D) at a time, or an UnusableSound or UnreadableError that is raised. If
# cells are kept, those of each window follow in its row.
TagSounds = Callable[[Sequence[Path], Sequence[int]], Iterator[Iterator[NDArray[np.float32]]]]


def tag_files(
    folder: Path,
    files: Mapping[str, ListedFile],
    kept: PassageRows,
    *,
    tags: int,
    hop_seconds: float,
    window_seconds: float | None,
    tag: TagSounds,
    notes: Mapping[Path, str],
    progress: Callable[[int], Any],
    accept_truncated: bool = False,
    cells: SoundCells | None = None,
) -> dict[str, ListedFile]:
    """Tag files and keep the rows of their passages.

    Parameters
    ----------
    files : mapping of str to ListedFile
        By path relative to the folder, each of another content.
    kept : PassageRows
        Being written. Passages that are kept already stay as they are.
    tags, hop_seconds, window_seconds
        See `utils.search.passages.cut_passages`.
    tag : callable
        See `TagSounds`.
    notes : mapping of Path to str
        What is odd about sounds; `tag` adds it when it has read one.
    progress : callable
        Called with the seconds of all sounds together; returns a context manager whose ``update``
        is called with seconds as they are done.
    accept_truncated : bool
        Whether `tag` uses truncated sounds as far as they go.
    cells : SoundCells, optional
        Keeps the cells, which `tag` gives too.

    Returns
    -------
    dict of str to ListedFile
        The files that cannot be used or read, with the reason.

    Raises
    ------
    InputError
        If the rows cannot be written.

    """
    failed: dict[str, ListedFile] = {}
    durations: dict[str, float] = {}

    def fail(name: str, error: UnusableSound | UnreadableError) -> None:
        failed[name] = files[name]._replace(reason=error.reason)
        # If its content is not at fault, or it changed: read it again next time.
        if isinstance(error, UnreadableError) or changed_since(folder / name, files[name]):
            failed[name] = failed[name]._replace(source=None)

    for name in files:
        try:
            frames, rate = read_header(folder / name, accept_truncated=accept_truncated)
            durations[name] = frames / rate
        except (UnusableSound, UnreadableError) as error:
            fail(name, error)
    held = [kept.held(files[name].source) for name in durations]
    first, windows = held, [WINDOWS_OF_A_PASSAGE * number for number in held]
    if cells:
        with_cells = [cells.passages(files[name].source) for name in durations]
        first = [min(both) for both in zip(held, with_cells, strict=True)]
        windows = [cells.first_window(number) for number in first]
    outputs = tag([folder / name for name in durations], windows)
    with progress(sum(map(_whole, durations.values()))) as bar:
        for name, number, have, window, batches in zip(
            durations, first, held, windows, outputs, strict=True
        ):
            sound, source = _SoundProgress(bar, durations[name], hop_seconds), files[name].source
            batches = sound.watched(batches, done=window)
            if cells:
                seconds = round(durations[name], 3)  # as passages record it
                batches = cells.keep(source, batches, passage=number, seconds=seconds)
            try:
                for passages, rows in cut_passages(
                    source,
                    batches,
                    first=number,
                    duration=durations[name],
                    tags=tags,
                    hop_seconds=hop_seconds,
                    window_seconds=window_seconds,
                ):
                    if changed_since(folder / name, files[name]):
                        if cells:
                            cells.forget(source, passages=passages[0].number)
                        raise UnusableSound(folder / name, "was changed while it was tagged")
                    new = [passage for passage in passages if passage.number >= have]
                    kept.append(new, rows[len(passages) - len(new) :])
                kept.finish(
                    source,
                    duration=passages[-1].end,
                    notes=notes.get(folder / name, ""),
                    cells=cells is not None,
                )
            except (UnusableSound, UnreadableError) as error:
                fail(name, error)
            sound.show(math.inf)
    return failed


def _whole(duration: float) -> int:
    """Round to seconds, at least one, so that each sound is seen."""
    return max(1, round(duration))


class _SoundProgress:
    """Shows how much of a sound is done, in whole seconds."""

    def __init__(self, bar: Any, duration: float, hop_seconds: float) -> None:
        self._bar, self._hop_seconds = bar, hop_seconds
        self._total = self._left = _whole(duration)

    def watched(
        self, batches: Iterator[NDArray[np.float32]], *, done: int
    ) -> Iterator[NDArray[np.float32]]:
        """Pass windows on, and show those before them, beginning with `done`."""
        for windows in batches:
            self.show(done * self._hop_seconds)
            yield windows
            done += len(windows)

    def show(self, seconds: float) -> None:
        """Show that so much of the sound is done."""
        left = self._total - int(min(seconds, self._total))
        self._bar.update(self._left - left)
        self._left = left
