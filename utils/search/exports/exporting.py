"""Exports by name: of files, and of folders of sounds."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from utils.audio.sound_file import UnusableSound, check_sound_file
from utils.files.writing import atomic_write, require_room
from utils.runtime.errors import InputError, UnreadableError
from utils.search.excerpts import Excerpt, first_of_each
from utils.search.exports import copies, regions
from utils.search.exports.edl import as_edl
from utils.search.exports.playlist import as_m3u8
from utils.search.exports.reaper import as_reaper
from utils.search.exports.tables import as_csv, as_json
from utils.search.exports.timecode import frame_rate

ENDINGS = {"csv": ".csv", "json": ".json", "m3u8": ".m3u8", "edl": ".edl", "reaper": ".csv"}
FOLDERS = ("copies", "links", "hardlinks", "regions")
FORMATS = (*ENDINGS, *FOLDERS)
_LISTS = ("csv", "json")  # have what is missing, too
FPS = "25"


class Exported(NamedTuple):
    """How many excerpts were exported, and which were not, and why."""

    count: int
    left_out: list[str]


def format_of(path: Path, wanted: str | None) -> str:
    """Return the format of an export: as wanted, or by the ending of a file.

    Raises
    ------
    InputError
        If the ending does not say.

    """
    if wanted:
        return wanted
    for name, ending in ENDINGS.items():
        if path.suffix.lower() == ending:
            return name
    raise InputError(
        f"--export {path}: its ending is none of {', '.join(sorted(set(ENDINGS.values())))}. Name "
        f"the format with --export-as: {', '.join(FORMATS)}."
    )


def render(
    kind: str,
    excerpts: Sequence[Excerpt],
    *,
    place: Callable[[str], str],
    title: str,
    fps: str = FPS,
) -> tuple[bytes, Exported]:
    """Write excerpts in the format of a file.

    Parameters
    ----------
    kind : str
        One of `ENDINGS`.
    place : callable
        A path in the library's folder ─► what is written for it.
    title : str
    fps : str
        One of `utils.search.exports.timecode.FRAME_RATES`, for an edit list.

    """
    missing = [] if kind in _LISTS else [one.known_as for one in excerpts if one.is_missing]
    given = [one for one in excerpts if kind in _LISTS or not one.is_missing]
    write: dict[str, Callable[[Sequence[Excerpt]], bytes]] = {
        "csv": partial(as_csv, place=place),
        "json": partial(as_json, place=place),
        "m3u8": partial(as_m3u8, place=place),
        "edl": partial(as_edl, place=place, title=title, rate=frame_rate(fps)),
        "reaper": as_reaper,
    }
    return write[kind](given), Exported(len(given), [f"{name} is missing" for name in missing])


def export_file(
    kind: str,
    excerpts: Sequence[Excerpt],
    path: Path,
    *,
    folder: Path,
    relative: bool = False,
    fps: str = FPS,
) -> Exported:
    """Write a file, which replaces an older one.

    Parameters
    ----------
    folder : Path
        Of the library.
    relative : bool
        Whether paths are relative to the file's folder.

    """

    def place(name: str) -> str:
        full = folder / name
        return os.path.relpath(full, path.parent.resolve()) if relative else str(full)

    content, exported = render(kind, excerpts, place=place, title=path.stem, fps=fps)
    with atomic_write(path) as file:
        file.write(content)
    return exported


def export_folder(
    kind: str,
    excerpts: Sequence[Excerpt],
    target: Path,
    *,
    folder: Path,
    progress: Callable[[int], Any],
) -> Exported:
    """Copy or link the sounds into a folder, each once, or cut out the excerpts.

    Nothing is overwritten. It can be stopped at any time; finished files stay.

    Parameters
    ----------
    kind : str
        One of `FOLDERS`.
    folder : Path
        Of the library.
    progress : callable
        Called with the number of files; returns a context manager whose ``update`` is called with
        1 after each.

    """
    if target.exists() and not target.is_dir():
        raise InputError(f"--export {target} is a file. Name a folder for {kind}.")
    if kind != "regions":
        excerpts = first_of_each(excerpts)
    left_out: list[str] = []
    found = list(_sources(excerpts, folder, left_out))
    _make(target)
    if kind == "copies":
        sources = [source for _, source in found]
        require_room(target, copies.room_for(sources), f"--export {target}")
    write = {"copies": copies.copy, "links": copies.symlink, "hardlinks": copies.hardlink}
    count = 0
    with progress(len(found)) as bar:
        for excerpt, source in found:
            try:
                if kind == "regions":
                    times = {"start": excerpt.start, "end": excerpt.end}
                    regions.cut(source, target, **times, label=excerpt.label)
                else:
                    write[kind](source, target)
                count += 1
            except (UnusableSound, UnreadableError) as error:
                left_out.append(f"{excerpt.known_as} {error.reason}")
            bar.update(1)
    return Exported(count, left_out)


def _sources(
    excerpts: Sequence[Excerpt], folder: Path, left_out: list[str]
) -> Iterator[tuple[Excerpt, Path]]:
    """Find a file of each excerpt that is there."""
    for excerpt in excerpts:
        for path in excerpt.paths:
            with suppress(UnusableSound, UnreadableError):
                check_sound_file(folder / path, root=folder)
                yield excerpt, folder / path
                break
        else:
            left_out.append(f"{excerpt.known_as} is missing")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"cannot make the folder {folder}: {error.strerror}. Name another one."
        raise InputError(text) from error
