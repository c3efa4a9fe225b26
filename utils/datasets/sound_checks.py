"""The sound files of a data set: which can be used, what each holds, and a list of the others."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from utils.runtime import terminal
from utils.runtime.errors import InputError, shorten

if TYPE_CHECKING:
    pass
import csv
import io
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from utils.audio.sound_file import UnusableSound, check_sound_file, fingerprint, read_header
from utils.files import tables, writing

FAILED_FILES = "failed_files.csv"
_HEADER = ["step", "file", "reason"]

WAV_SUFFIX = ".wav"
# macOS leaves such a file beside each file that it unpacks; it holds no sound.
_APPLE_DOUBLE_PREFIX = "._"


@dataclass(frozen=True)
class Sound:
    """What a sound file's header and content say.

    Attributes
    ----------
    duration : float
        In seconds.
    source : str
        Its `utils.audio.sound_file.fingerprint`.

    """

    duration: float
    source: str


def read_sounds(
    paths: Mapping[str, Path],
    *,
    root: Path,
    strict: bool = False,
    progress: Callable[[int], AbstractContextManager] | None = None,
) -> tuple[dict[str, Sound], dict[str, str]]:
    """Look at sound files without decoding them.

    Parameters
    ----------
    paths : mapping of str to Path
        By ``split/file name``.
    root : Path
        The folder of the data set: see `utils.audio.sound_file.check_sound_file`.
    strict : bool
        Raise at the first file that cannot be used.
    progress : callable, optional
        Called with the number of files, returns a context manager whose ``update`` is called after
        each one, such as a tqdm bar.

    Returns
    -------
    sounds : dict of str to Sound
    failed : dict of str to str
        Why the others cannot be used.

    Raises
    ------
    UnusableSound
        If `strict`.

    """

    def look(path: Path) -> Sound:
        check_sound_file(path, root=root)
        frames, rate = read_header(path)
        return Sound(frames / rate, fingerprint(path))

    return _each(look, paths, strict, progress)


def read_fingerprints(
    paths: Mapping[str, Path], *, root: Path, strict: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprint sound files, as `read_sounds` does, without looking into their headers.

    Returns
    -------
    sources : dict of str to str
    failed : dict of str to str
        Why the others cannot be used.

    """

    def look(path: Path) -> str:
        check_sound_file(path, root=root)
        return fingerprint(path)

    return _each(look, paths, strict, None)


def write_failed(folder: Path, step: str, failed: Mapping[str, str]) -> Path | None:
    """Bring ``failed_files.csv`` up to date: the files that a step cannot use, and why.

    Parameters
    ----------
    folder : Path
    step : str
        What failed; rows of other steps stay.
    failed : mapping of str to str
        Reasons by ``split/file name``; empty if nothing failed.

    Returns
    -------
    Path or None
        The list, if this step has rows in it. Without any row it is removed.

    Raises
    ------
    InputError
        If it cannot be written, or is no such list.

    """
    path = folder / FAILED_FILES
    rows = _rows_of_others(path, step)
    rows += [[step, name, reason] for name, reason in sorted(failed.items())]
    if not rows:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEADER, *rows])
    writing.write_if_changed(path, text.getvalue().encode(errors="backslashreplace"))
    return path if failed else None


def report_failed(
    summary: terminal.Summary, folder: Path, step: str, failed: Mapping[str, str]
) -> int:
    """Tell which sound files a step cannot use, and keep the list: see `write_failed`.

    Returns
    -------
    int
        The exit status of the step: 0 if nothing failed.

    """
    if summary.silent:
        return terminal.EXIT_SOME_FAILED if failed else 0
    path = write_failed(folder, step, failed)
    if path is None:
        return 0
    listing = shorten([f"{name} {reason}" for name, reason in failed.items()])
    summary.notes(f"cannot be used, and left out:\n{listing}")
    summary.writes(path)
    return terminal.EXIT_SOME_FAILED


def _rows_of_others(path: Path, step: str) -> list[list[str]]:
    if not path.exists():
        return []
    (_, header), *rows = tables.read_csv(path) or [(1, [])]
    if header != _HEADER or any(len(cells) != len(_HEADER) for _, cells in rows):
        raise InputError(
            f"{path} is no list of failed files ({','.join(_HEADER)}) and would be overwritten. "
            "Move it away."
        )
    return [cells for _, cells in rows if cells[0] != step]


def _each(
    look: Callable[[Path], Any],
    paths: Mapping[str, Path],
    strict: bool,
    progress: Callable[[int], AbstractContextManager] | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    found, failed = {}, {}
    with progress(len(paths)) if progress else nullcontext() as bar:
        for name, path in paths.items():
            try:
                found[name] = look(path)
            except UnusableSound as error:
                if strict:
                    raise
                failed[name] = error.reason
            if bar is not None:
                bar.update()
    return found, failed


def list_wavs(folder: str | Path) -> list[str]:
    """List the names of the wavs in a folder, sorted: all that ends in .wav or .WAV.

    Raises
    ------
    InputError
        If the folder cannot be read.

    """
    try:
        return sorted(
            entry.name
            for entry in Path(folder).iterdir()
            if entry.name.lower().endswith(WAV_SUFFIX)
            and not entry.name.startswith(_APPLE_DOUBLE_PREFIX)
        )
    except OSError as error:
        raise InputError(
            f"cannot list the wavs of {folder}: {error.strerror}. Check train_data.dataset_path."
        ) from error
