"""The sound files of a folder, and which of them changed since it was last scanned."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from utils.audio.sniffing import is_sound
from utils.audio.sound_file import UnusableSound, check_sound_file
from utils.files import reading, writing
from utils.files.left_out import kind_of, other_files
from utils.runtime.errors import InputError, UnreadableError, counted, is_shortage

_FORMAT = 1


class ListedFile(NamedTuple):
    """A file as it was scanned. If size or time differ now, it is read again.

    A tuple, because there may be a million.
    """

    size: int
    mtime_ns: int
    source: str | None  # SHA-256 of its content; None: read it again
    reason: str | None = None  # why it cannot be used


@dataclass(frozen=True)
class Changes:
    """What a scan found: numbers of files, and what each of those is that are not sounds."""

    added: int
    gone: int
    duplicates: int
    others: Mapping[str, str] = field(default_factory=dict)  # kinds of files, by path

    def __str__(self) -> str:
        """Write what is not zero."""
        parts = (
            (self.added, "file", " new or changed"),
            (self.gone, "file", " gone"),
            (self.duplicates, "duplicate", ""),
        )
        return ", ".join(f"{counted(count, what)}{how}" for count, what, how in parts if count)


def read_list(path: Path, folder: Path) -> dict[str, ListedFile]:
    """Read what `write_list` wrote: files by path relative to their folder.

    The result is empty if there is no list, or it is of another folder.

    Raises
    ------
    InputError
        If the list cannot be read, or was not written by `write_list`.

    """
    if not path.exists():
        return {}
    content = reading.read_json(path)
    try:
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}, not {_FORMAT}")
        listed = {name: ListedFile(*entry) for name, entry in content["files"].items()}
        return listed if content["folder"] == str(folder) else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of sounds that this program wrote ({error}). Name another "
            "folder with --index, or move that file away."
        ) from None


def write_list(path: Path, folder: Path, found: Mapping[str, ListedFile]) -> None:
    """Write the files of a folder, in one step; an InputError if that fails."""
    with writing.atomic_write(path, "w") as file:
        json.dump({"format": _FORMAT, "folder": str(folder), "files": found}, file)


def scan_folder(
    folder: Path,
    before: Mapping[str, ListedFile],
    *,
    progress: Callable[[int], Any] | None = None,
) -> tuple[dict[str, ListedFile], Changes]:
    """List the sound files of a folder, and read those that are new or changed.

    Files that could not be read before are tried again.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders; hidden files and symlinked folders are skipped.
    before : mapping of str to ListedFile
        The result of the last scan.
    progress : callable, optional
        Called with the number of files to read, if there are any; returns a context manager whose
        ``update`` is called with numbers of those that were read.

    Returns
    -------
    found : dict of str to ListedFile
        By path relative to the folder, with ``/``; folder by folder, sorted. Sub-folders that
        cannot be read are included, with the reason.
    changes : Changes

    Raises
    ------
    InputError
        If the folder cannot be read, or there are no sounds.

    """
    found: dict[str, ListedFile] = {}
    others: dict[str, str] = {}
    unread: list[str] = []
    for name, listed in _walk(folder, others):
        file, known = _looked_at(listed), before.get(name)
        if known and known.source and known[:2] == file[:2]:
            file = known
        elif not file.reason:
            unread.append(name)
        found[name] = file
    if unread:
        with progress(len(unread)) if progress else contextlib.nullcontext() as bar:
            for name in unread:
                found[name] = _read(folder, name, found[name])
                if bar is not None:
                    bar.update(1)
    if not found:
        raise InputError(
            f"no sounds in {folder}: no file there ends in .wav, .flac, .mp3 and so on, or can be "
            f"decoded as sound; symlinked folders are skipped. It holds {other_files(others)}. "
            "Give another folder with --audio."
        )
    sources = [file.source for file in found.values() if file.source]
    added = sum(file != before.get(name) for name, file in found.items())
    gone = len(before.keys() - found.keys())
    return found, Changes(added, gone, len(sources) - len(set(sources)), others)


def changed_since(path: Path, file: ListedFile) -> bool:
    """Return whether a file has changed since it was listed."""
    try:
        status = path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != file[:2]


def _looked_at(listed: os.DirEntry | OSError) -> ListedFile:
    """Note size and time of an entry of a folder, or why its folder cannot be read."""
    if isinstance(listed, OSError):
        if is_shortage(listed):
            raise listed
        return ListedFile(0, 0, None, f"cannot be read ({listed.strerror})")
    size = mtime_ns = 0
    with contextlib.suppress(OSError):  # a broken symlink
        status = listed.stat()  # of the target of a symlink
        size, mtime_ns = status.st_size, status.st_mtime_ns
    return ListedFile(size, mtime_ns, None)


def _read(folder: Path, name: str, file: ListedFile) -> ListedFile:
    """Add the SHA-256 of the content of a file, or why it cannot be used."""
    try:
        check_sound_file(folder / name, root=folder)
        with (folder / name).open("rb") as opened:
            return file._replace(source=hashlib.file_digest(opened, "sha256").hexdigest())
    except (UnusableSound, UnreadableError) as error:
        return file._replace(reason=error.reason)
    except OSError as error:  # gone, or became unreadable, since the folder was listed
        if is_shortage(error):
            raise
        return file._replace(reason=f"cannot be read ({error.strerror})")


def _is_symlinked_folder(entry: os.DirEntry) -> bool:
    return entry.is_symlink() and Path(entry).is_dir()


def _walk(folder: Path, others: dict[str, str]) -> Iterator[tuple[str, os.DirEntry | OSError]]:
    """Yield the files that are sounds, a folder's before its sub-folders', and note all others."""
    pending = [""]
    while pending:
        top = pending.pop()
        try:
            with os.scandir(folder / top) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if top:
                yield top, error
                continue
            raise InputError(f"cannot list the sounds of {folder}: {error.strerror}.") from None
        below = []
        for entry in listed:
            hidden = entry.name.startswith(".")
            # Symlinked folders are not followed, because they may form a loop.
            if not hidden and entry.is_dir(follow_symlinks=False):
                below.append(f"{top}{entry.name}/")
            elif hidden or _is_symlinked_folder(entry) or not is_sound(Path(entry)):
                others[top + entry.name] = kind_of(entry)
            else:
                yield top + entry.name, entry
        pending += reversed(below)
