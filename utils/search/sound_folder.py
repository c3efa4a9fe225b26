"""The sound files of a folder, and which of them changed since it was last scanned."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.audio.sniffing import is_sound
from utils.audio.sound_file import UnusableSound, check_sound_file
from utils.files.left_out import kind_of, other_files
from utils.runtime.errors import InputError, UnreadableError, counted, is_shortage
from utils.search.database import Database
from utils.search.file_table import ListedFile, files_in, folders, record, remove_folder

_KEPT_AFTER = 1.0  # seconds of reading: so much is lost if it is stopped


@dataclass(frozen=True)
class Changes:
    """What a scan found: numbers of files, and what each of those is that are not sounds."""

    added: int = 0
    gone: int = 0
    duplicates: int = 0
    others: Mapping[str, str] = field(default_factory=dict)  # kinds of files, by path

    def __str__(self) -> str:
        """Write what is not zero."""
        parts = (
            (self.added, "file", " new or changed"),
            (self.gone, "file", " gone"),
            (self.duplicates, "duplicate", ""),
        )
        return ", ".join(f"{counted(count, what)}{how}" for count, what, how in parts if count)


def scan_folder(
    folder: Path,
    database: Database,
    *,
    progress: Callable[[int], Any] | None = None,
    looking: Callable[[int], Any] | None = None,
) -> Changes:
    """Look for sound files in a folder, read those that are new or changed, and record them.

    Files that could not be read before are tried again. What was read is kept if this is stopped.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders; hidden files and symlinked folders are skipped. Sub-folders
        that cannot be read are recorded as files that cannot.
    database : Database
        What the last scan found; brought up to date.
    progress : callable, optional
        Called with the number of files to read, if there are any; returns a context manager whose
        ``update`` is called with numbers of those that were read.
    looking : callable, optional
        Called with the number of files that are known; returns a context manager whose ``update``
        is called with numbers of files that were looked at.

    Raises
    ------
    InputError
        If the folder cannot be read, or there are no sounds.

    """
    others: dict[str, str] = {}
    unread: list[tuple[str, ListedFile, ListedFile | None]] = []
    added, gone, there = 0, 0, set()
    known_files = database.one("SELECT count(*) FROM files")
    with looking(known_files) if looking else contextlib.nullcontext() as bar:
        for top, known, listed in _walk(folder, database, others):
            there.add(top)
            changed = {}
            for name, entry in listed:
                file, before = _looked_at(entry), known.pop(name, None)
                if file.reason and file != before:
                    changed[top + name] = file
                elif not file.reason and not (before and before.source and before[:2] == file[:2]):
                    unread.append((top + name, file, before))
            record(database, {**changed, **{top + name: None for name in known}})
            added, gone = added + len(changed), gone + len(known)
            if bar is not None:
                bar.update(len(listed))
    gone += sum(remove_folder(database, top) for top in folders(database) if top not in there)
    if unread:
        with progress(len(unread)) if progress else contextlib.nullcontext() as bar:
            for changed in _read_all(folder, unread, bar):
                record(database, changed)
                added += len(changed)
    if not database.one("SELECT EXISTS (SELECT 1 FROM files)"):
        raise InputError(
            f"no sounds in {folder}: no file there ends in .wav, .flac, .mp3 and so on, or can be "
            f"decoded as sound; symlinked folders are skipped. It holds {other_files(others)}. "
            "Give another folder with --audio."
        )
    duplicates = database.one("SELECT count(content) - count(DISTINCT content) FROM files")
    return Changes(added, gone, duplicates, others)


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


def _read_all(
    folder: Path, unread: list[tuple[str, ListedFile, ListedFile | None]], bar: Any
) -> Iterator[dict[str, ListedFile]]:
    """Read files; yields those that differ from what was known, after each second of reading."""
    found, since = {}, time.monotonic()
    for name, file, before in unread:
        now = _read(folder, name, file)
        if now != before:
            found[name] = now
        if bar is not None:
            bar.update(1)
        if time.monotonic() - since > _KEPT_AFTER:
            yield found
            found, since = {}, time.monotonic()
    yield found


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


def _is_unchanged(entry: os.DirEntry, known: ListedFile | None) -> bool:
    return known is not None and _looked_at(entry)[:2] == known[:2]


def _is_symlinked_folder(entry: os.DirEntry) -> bool:
    return entry.is_symlink() and Path(entry).is_dir()


def _walk(
    folder: Path, database: Database, others: dict[str, str]
) -> Iterator[tuple[str, dict[str, ListedFile], list[tuple[str, os.DirEntry | OSError]]]]:
    """Yield each folder, what is known of its files, and its sounds, and note other files.

    A folder comes before its sub-folders. One that cannot be read has one entry without a name.
    """
    pending = [""]
    while pending:
        top = pending.pop()
        try:
            with os.scandir(folder / top) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not top:
                raise InputError(f"cannot list the sounds of {folder}: {error.strerror}.") from None
            yield top, files_in(database, top), [("", error)]
            continue
        known = files_in(database, top)
        sounds, below = [], []
        for entry in listed:
            hidden = entry.name.startswith(".")
            # Symlinked folders are not followed, because they may form a loop.
            if not hidden and entry.is_dir(follow_symlinks=False):
                below.append(f"{top}{entry.name}/")
            elif _is_unchanged(entry, known.get(entry.name)):
                sounds.append((entry.name, entry))
            elif hidden or _is_symlinked_folder(entry) or not is_sound(Path(entry)):
                others[top + entry.name] = kind_of(entry)
            else:
                sounds.append((entry.name, entry))
        yield top, known, sounds
        pending += reversed(below)
