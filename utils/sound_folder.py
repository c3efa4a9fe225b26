"""Which sound files a folder holds, and which of them changed since it was last looked at."""

import filecmp
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import soundfile

from utils import files
from utils.audio import UnusableSound, check_sound_file, fingerprint
from utils.errors import InputError

_FORMAT = 1
SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif", ".aifc", ".oga", ".opus", ".wave"
}  # fmt: skip
_ENDINGS = tuple(SUFFIXES)


class SoundFile(NamedTuple):
    """What is known of a file: size and time tell whether to look at it again.

    A tuple, because there may be a million.
    """

    size: int
    mtime_ns: int
    source: str | None  # what tells its content from others; None if it cannot be opened
    reason: str | None = None  # why it cannot be used


@dataclass(frozen=True)
class Changes:
    """What an update found: numbers of files."""

    added: int
    gone: int
    duplicates: int


def read_list(path: Path) -> dict[str, SoundFile]:
    """Read what `write_list` wrote: files by path relative to their folder; none if there is none.

    Raises
    ------
    InputError
        If it cannot be read, or somebody else wrote it.

    """
    if not path.exists():
        return {}
    content = files.read_json(path)
    try:
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}, not {_FORMAT}")
        return {name: SoundFile(*entry) for name, entry in content["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is no list of files that this program wrote ({error}). Remove {path.parent}: "
            "the sounds will be tagged again."
        ) from None


def write_list(path: Path, folder: Path, found: Mapping[str, SoundFile]) -> None:
    """Write what a folder holds, in one step.

    Raises
    ------
    InputError
        If it cannot be written.

    """
    with files.atomic_write(path, "w") as file:
        json.dump({"format": _FORMAT, "folder": str(folder), "files": found}, file)


def look(folder: Path, before: Mapping[str, SoundFile]) -> tuple[dict[str, SoundFile], Changes]:
    """List the sound files of a folder; those that changed, or are new, are fingerprinted.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders, except what is hidden.
    before : mapping of str to SoundFile
        What it held when it was last looked at.

    Returns
    -------
    found : dict of str to SoundFile
        By path relative to the folder, with ``/``; folder by folder, sorted.
    changes : Changes

    Raises
    ------
    InputError
        If a folder cannot be read, or there are no sounds.

    """
    found: dict[str, SoundFile] = {}
    first_of: dict[str, str] = {}  # by source
    added = with_source = 0
    for name, listed in _walk(folder):
        entry = before.get(name)
        try:
            status = listed.stat(follow_symlinks=False)
            state = status.st_size, status.st_mtime_ns
            if entry is None or entry[:2] != state:
                added += 1
                entry = SoundFile(*state, None)
                entry = entry._replace(source=_source(folder, name, first_of))
        except UnusableSound as error:
            entry = entry._replace(reason=error.reason)
        except OSError as error:  # gone, or became unreadable, since the folder was listed
            entry = SoundFile(0, 0, None, f"cannot be opened ({error.strerror})")
        found[name] = entry
        if entry.source:
            with_source += 1
            first_of.setdefault(entry.source, name)
    if not found:
        raise InputError(
            f"no sounds in {folder}: no file there ends in {', '.join(sorted(SUFFIXES))}. Give "
            "another folder with --audio."
        )
    gone = len(before.keys() - found.keys())
    return found, Changes(added, gone, with_source - len(first_of))


def _source(folder: Path, name: str, first_of: Mapping[str, str]) -> str:
    """Tell what a file holds from all that was seen before; raises UnusableSound, OSError."""
    path = folder / name
    check_sound_file(path, root=folder)
    source = fingerprint(path)
    twin = first_of.get(source)
    if twin and not filecmp.cmp(folder / twin, path, shallow=False):
        source += ", " + files.sha256(path)  # alike where the fingerprint looks
    return source


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    """List all files with the suffix of a sound format, a folder's before its sub-folders'."""
    pending = [""]
    while pending:
        top = pending.pop()
        try:
            with os.scandir(folder / top) as entries:
                listed = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(
                f"cannot list the sounds of {error.filename}: {error.strerror}."
            ) from None
        listed.sort(key=lambda entry: entry.name)
        below = []
        for entry in listed:
            if entry.is_dir():
                if not entry.is_symlink():  # a link may lead round in a circle
                    below.append(f"{top}{entry.name}/")
            elif entry.name.lower().endswith(_ENDINGS):
                yield top + entry.name, entry
        pending += reversed(below)
