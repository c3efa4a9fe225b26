"""Sound files of a data set: which ones can be used, and a list of those that cannot."""

import io
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from utils.audio.sniffing import ENDINGS
from utils.audio.sound_file import UnusableSound, check_sound_file, fingerprint, read_header
from utils.files import tables, writing
from utils.files.left_out import kind_of, other_files, unusable_files
from utils.runtime import terminal
from utils.runtime.errors import SHOWN, InputError, counted, raise_if_any, shorten

FAILED_FILES = "failed_files.csv"
NOTED_FILES = "noted_files.csv"
WAV_SUFFIX = ".wav"
PREFERRED = (WAV_SUFFIX, ".flac")  # endings of sounds, if a data set allows all
_HEADERS = {FAILED_FILES: ["step", "file", "reason"], NOTED_FILES: ["step", "file", "note"]}
# macOS adds such a file to each file that it unpacks; it is not a sound.
_APPLE_DOUBLE_PREFIX = "._"

# Called with the number of files; `update` of what it returns is called after each one.
Progress = Callable[[int], AbstractContextManager]
Found = TypeVar("Found")


@dataclass(frozen=True)
class SoundFacts:
    """What script 01 notes of a sound file."""

    duration: float  # in seconds
    source: str  # its `utils.audio.sound_file.fingerprint`


def list_wavs(folder: str | Path) -> list[str]:
    """List the names of the wavs in a folder, sorted: all that end in .wav or .WAV.

    Raises
    ------
    InputError
        If the folder cannot be read, or two names in it look the same.

    """
    try:
        names = sorted(entry.name for entry in Path(folder).iterdir() if is_wav(entry.name))
    except OSError as error:
        raise InputError(
            f"cannot list the wavs of {folder}: {error.strerror}. Check train_data.dataset_path."
        ) from error
    look: dict[str, list[str]] = defaultdict(list)
    for name in names:
        look[composed(name)].append(name)
    raise_if_any(
        [" and ".join(map(ascii, alike)) for alike in look.values() if len(alike) > 1],
        folder,
        "These names look the same and differ in their Unicode form (NFC, NFD). Remove all but one "
        "of each.",
    )
    return names


def sounds_by_stem(folder: Path, *, setting: str) -> dict[str, str]:
    """Find the sound files of a folder: name without ending ─► file name.

    Any ending will do that is of sound. Of several files of a name, one of `PREFERRED` is taken. A
    missing folder has none.

    Raises
    ------
    InputError
        If the folder cannot be read; it names the setting to check.

    """
    try:
        names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(
            f"cannot list the sound files of {folder}: {error.strerror}. Check {setting}."
        ) from error

    def preference(path: Path) -> tuple[int, str]:
        suffix = path.suffix.lower()
        return PREFERRED.index(suffix) if suffix in PREFERRED else len(PREFERRED), path.name

    sounds = [path for name in names if (path := Path(name)).suffix.lower() in ENDINGS]
    return {path.stem: path.name for path in sorted(sounds, key=preference, reverse=True)}


def require_found(
    folder: Path, names: Sequence[str], found: Collection[str], *, subset: str
) -> list[Path]:
    """Return the path of the sound file of each clip, in the same order; all must be found.

    Raises
    ------
    InputError
        If one is missing; `subset` is the name of a data set whose missing clips are left out.

    """
    missing = sorted(set(names) - set(found))
    if missing:
        raise InputError(
            f"{counted(len(missing), 'file')} of {len(names)} not in {folder}:\n"
            f"{shorten(missing)}\n"
            f"Put them back, or leave them out by scripts/01_preprocess.py --subset {subset}."
        )
    return [folder / name for name in names]


def is_wav(name: str) -> bool:
    """Whether a file of this name should be a wav."""
    return name.lower().endswith(WAV_SUFFIX) and not name.startswith(_APPLE_DOUBLE_PREFIX)


def composed(name: str) -> str:
    """Write a file name in the Unicode form NFC: macOS stores é as two characters, e and ´."""
    return unicodedata.normalize("NFC", name)


def read_sound(path: Path, *, accept_truncated: bool = False) -> SoundFacts:
    """Read duration and fingerprint of a sound file, decoding it only if nothing else tells."""
    frames, rate = read_header(path, accept_truncated=accept_truncated)
    return SoundFacts(frames / rate, fingerprint(path))


def read_each(
    read: Callable[[Path], Found],
    paths: Mapping[str, Path],
    *,
    root: Path,
    strict: bool = False,
    progress: Progress | None = None,
) -> tuple[dict[str, Found], dict[str, str]]:
    """Check sound files and read something of each.

    Parameters
    ----------
    read : callable
        `read_sound`, or `utils.audio.sound_file.fingerprint`.
    paths : mapping of str to Path
        By ``split/file name``.
    root : Path
        The folder of the data set: see `utils.audio.sound_file.check_sound_file`.
    strict : bool
        Raise at the first file that cannot be used.
    progress : Progress, optional

    Returns
    -------
    found : dict of str to what `read` returns
    failed : dict of str to str
        Why the others cannot be used.

    Raises
    ------
    UnusableSound
        If `strict`.

    """
    found, failed = {}, {}
    with progress(len(paths)) if progress else nullcontext() as bar:
        for name, path in paths.items():
            try:
                check_sound_file(path, root=root)
                found[name] = read(path)
            except UnusableSound as error:
                if strict:
                    raise
                failed[name] = error.reason
            if bar is not None:
                bar.update()
    return found, failed


def report_failed(
    summary: terminal.Summary,
    folder: Path,
    step: str,
    failed: Mapping[str, str],
    *,
    list_all: bool = False,
) -> int:
    """Print which sound files a step cannot use, and update ``failed_files.csv``, which lists them.

    Parameters
    ----------
    summary : Summary
        Of one process that prints, or of others, which only return the status.
    folder, step, failed
        See `write_failed`.
    list_all : bool
        Print all of them instead of ten.

    Returns
    -------
    int
        The exit status of the step: 0 if nothing failed.

    """
    if not summary.silent:
        path = write_failed(folder, step, failed)
        _report(summary, path, f"{unusable_files(failed)}; left out", failed, list_all=list_all)
    return terminal.EXIT_SOME_FAILED if failed else 0


def report_noted(
    summary: terminal.Summary,
    folder: Path,
    step: str,
    notes: Mapping[str, str],
    *,
    list_all: bool = False,
) -> None:
    """Print what is odd about sound files, and update ``noted_files.csv``, which lists it.

    The parameters are those of `report_failed`; `notes` are by ``split/file name``.

    Raises
    ------
    InputError
        If the list cannot be written, or if a different file has its name.

    """
    if not summary.silent:
        path = _write_list(folder / NOTED_FILES, step, notes)
        _report(summary, path, "used, but odd", notes, list_all=list_all)


def _report(
    summary: terminal.Summary,
    path: Path | None,
    title: str,
    texts: Mapping[str, str],
    *,
    list_all: bool,
) -> None:
    if path:
        lines = [f"{name} {text}" for name, text in texts.items()]
        summary.notes(f"{title}:\n{shorten(lines, most=None if list_all else SHOWN)}")
        summary.writes(path)


def write_failed(folder: Path, step: str, failed: Mapping[str, str]) -> Path | None:
    """Update ``failed_files.csv``, the list of sound files that cannot be used.

    Parameters
    ----------
    folder : Path
        Where the list is. A list without rows is removed.
    step : str
        What failed; rows of other steps stay.
    failed : mapping of str to str
        Reasons by ``split/file name``.

    Returns
    -------
    Path or None
        Of the list, if this step has rows in it.

    Raises
    ------
    InputError
        If the list cannot be written, or if a different file has its name.

    """
    return _write_list(folder / FAILED_FILES, step, failed)


def _write_list(path: Path, step: str, texts: Mapping[str, str]) -> Path | None:
    header = _HEADERS[path.name]
    (_, found), *rows = tables.read_csv(path) if path.exists() else [(1, header)]
    if found != header or any(len(cells) != len(header) for _, cells in rows):
        raise InputError(
            f"{path} is not a list of {path.stem.replace('_', ' ')} ({','.join(header)}) and would "
            "be overwritten. Move it away."
        )
    kept = [cells for _, cells in rows if cells[0] != step]
    kept += [[step, name, text] for name, text in sorted(texts.items())]
    if kept:
        text = io.StringIO()
        tables.write_csv(text, [header, *kept])
        writing.write_if_changed(path, text.getvalue().encode(errors="backslashreplace"))
    else:
        path.unlink(missing_ok=True)
    return path if texts else None


def report_others(
    summary: terminal.Summary,
    folders: Mapping[str, Path],
    sounds_in: Callable[[Path], Collection[str]],
    *,
    list_all: bool = False,
) -> None:
    """Print what there is in folders beside their sound files.

    Parameters
    ----------
    folders : mapping of str to Path
        By split; missing ones are empty.
    sounds_in : callable
        Names the sound files of a folder.
    list_all : bool
        Print the names, too.

    """
    others: dict[str, str] = {}
    for split, folder in folders.items():
        if folder.is_dir():
            sounds = set(sounds_in(folder))
            with os.scandir(folder) as entries:
                left = sorted((e for e in entries if e.name not in sounds), key=lambda e: e.name)
            others |= {f"{split}/{entry.name}": kind_of(entry) for entry in left}
    if others:
        how = f":\n{shorten(list(others), most=None)}" if list_all else " (--list-skipped: which)"
        summary.notes(f"{other_files(others)}; skipped{how}")
