"""Sound files of a data set: which ones can be used, and a list of those that cannot."""

import io
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from utils.audio.sound_file import UnusableSound, check_sound_file, fingerprint, read_header
from utils.files import tables, writing
from utils.runtime import terminal
from utils.runtime.errors import InputError, raise_if_any, shorten

FAILED_FILES = "failed_files.csv"
NOTED_FILES = "noted_files.csv"
WAV_SUFFIX = ".wav"
_HEADERS = {FAILED_FILES: ["step", "file", "reason"], NOTED_FILES: ["step", "file", "note"]}
# macOS adds such a file to each file that it unpacks; it is not a sound.
_APPLE_DOUBLE_PREFIX = "._"

# Called with the number of files; `update` of what it returns is called after each one.
Progress = Callable[[int], AbstractContextManager]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Sound:
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


def is_wav(name: str) -> bool:
    """Whether a file of this name should be a wav."""
    return name.lower().endswith(WAV_SUFFIX) and not name.startswith(_APPLE_DOUBLE_PREFIX)


def composed(name: str) -> str:
    """Write a file name in the Unicode form NFC: macOS stores é as two characters, e and ´."""
    return unicodedata.normalize("NFC", name)


def read_sound(path: Path, *, accept_truncated: bool = False) -> Sound:
    """Read duration and fingerprint of a sound file, decoding it only if nothing else tells."""
    frames, rate = read_header(path, accept_truncated=accept_truncated)
    return Sound(frames / rate, fingerprint(path))


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
    summary: terminal.Summary, folder: Path, step: str, failed: Mapping[str, str]
) -> int:
    """Print which sound files a step cannot use, and update ``failed_files.csv``, which lists them.

    Parameters
    ----------
    summary : Summary
        Of one process that prints, or of others, which only return the status.
    folder : Path
        Where the list is. A list without rows is removed.
    step : str
        What failed; rows of other steps stay.
    failed : mapping of str to str
        Reasons by ``split/file name``.

    Returns
    -------
    int
        The exit status of the step: 0 if nothing failed.

    Raises
    ------
    InputError
        If the list cannot be written, or if a different file has its name.

    """
    _report(summary, folder / FAILED_FILES, step, failed, "cannot be used, and left out")
    return terminal.EXIT_SOME_FAILED if failed else 0


def report_noted(
    summary: terminal.Summary, folder: Path, step: str, notes: Mapping[str, str]
) -> None:
    """Print what is odd about sound files, and update ``noted_files.csv``, which lists it.

    The parameters are those of `report_failed`; `notes` are by ``split/file name``.

    Raises
    ------
    InputError
        If the list cannot be written, or if a different file has its name.

    """
    _report(summary, folder / NOTED_FILES, step, notes, "used, but odd")


def _report(
    summary: terminal.Summary, path: Path, step: str, texts: Mapping[str, str], title: str
) -> None:
    if summary.silent:
        return
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
    if texts:
        summary.notes(f"{title}:\n{shorten([f'{name} {text}' for name, text in texts.items()])}")
        summary.writes(path)
