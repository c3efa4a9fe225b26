"""AudioCaps' own files, read and checked: caption CSVs, and the sound files that they name.

The folder holds ``{train,val,test}.csv`` and ``audio/{train,val,test}/`` with one
``{youtube_id}_{start_time}.wav`` or ``.flac`` per clip. Thousands of clips are gone from YouTube,
so that a missing file is nothing special: its captions are left out.

C. D. Kim, B. Kim, H. Lee, G. Kim, "AudioCaps: generating captions for audios in the wild",
NAACL-HLT 2019.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from utils.datasets.numbering import Caption, Preprocessed, none_usable, number
from utils.datasets.sound_checks import read_sounds
from utils.files import tables
from utils.runtime.errors import InputError, counted, raise_if_any, shorten

SPLITS = ("train", "val", "test")
SOURCE = (
    "AudioCaps' CSVs are at https://github.com/cdjkim/audiocaps, its sounds are on YouTube; "
    "scripts/00_make_demo_data.py --audiocaps makes a small synthetic set in the same layout"
)
HEADER = ["audiocap_id", "youtube_id", "start_time", "caption"]
SUFFIXES = (".wav", ".flac")  # the first counts where a clip has both
_CELLS = (
    re.compile(r"[0-9]+"),
    re.compile(r"[\w-]{11}", re.ASCII),
    re.compile(r"[0-9]+"),
    re.compile(r".*\S.*", re.DOTALL),
)
_WANTED = ("a whole number", "11 letters, digits, - and _", "whole seconds", "a text")


def captions_csv(dataset_path: str | Path, split: str) -> Path:
    """Return the path of the captions of a split."""
    return Path(dataset_path) / f"{split}.csv"


def audio_folder(dataset_path: str | Path, split: str) -> Path:
    """Return the folder of the sound files of a split."""
    return Path(dataset_path) / "audio" / split


def read_captions_csv(path: str | Path) -> list[Caption]:
    """Read ``{split}.csv``: header audiocap_id,youtube_id,start_time,caption.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of (str, str)
        For each row the clip, ``{youtube_id}_{start_time}``, and its caption, verbatim.

    Raises
    ------
    InputError
        If the file is missing or wrong: one message with all problems, the first ten in words.

    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no {path}. {SOURCE}.")
    rows = tables.read_csv(path)
    header = rows[0][1] if rows else []
    if header != HEADER:
        raise InputError(f"{tables.header_problem(path, header, ','.join(HEADER))} {SOURCE}.")
    first_line: dict[str, int] = {}
    problems = []
    for line, cells in rows[1:]:
        problems += [f"line {line}: {problem}" for problem in _row_problems(cells)]
        first = first_line.setdefault(cells[0], line)
        if first != line:
            problems.append(f"line {line}: {HEADER[0]} {cells[0]!r} stands on line {first} already")
    raise_if_any(problems, path, f"Mend the file, or take it as published. {SOURCE}.")
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no captions. {SOURCE}.")
    return [(f"{youtube_id}_{start}", caption) for _, (_, youtube_id, start, caption) in rows[1:]]


def find_audio(folder: Path) -> dict[str, str]:
    """Find the sound files of a folder: name without suffix ─► file name.

    A folder that does not exist holds none.

    Raises
    ------
    InputError
        If the folder cannot be read.

    """
    try:
        there = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(
            f"cannot list the sound files of {folder}: {error.strerror}. "
            "Check audiocaps.dataset_path."
        ) from error
    found = {}
    for suffix in reversed(SUFFIXES):
        found.update((name.removesuffix(suffix), name) for name in there if name.endswith(suffix))
    return found


def read_for_audit(
    dataset_path: str | Path,
) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, str]]]:
    """Read the captions of each clip and the YouTube video that it was cut from.

    Clips are called as in the preprocessed captions, where they have a file.

    Returns
    -------
    captions : dict of split to dict of file name to list of str
    videos : dict of split to dict of file name to str

    """
    captions: dict[str, dict[str, list[str]]] = {}
    videos: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        found = find_audio(audio_folder(dataset_path, split))
        captions[split], videos[split] = {}, {}
        for clip, caption in read_captions_csv(captions_csv(dataset_path, split)):
            name = found.get(clip, clip + SUFFIXES[0])
            captions[split].setdefault(name, []).append(caption)
            videos[split][name] = clip.rpartition("_")[0]
    return captions, videos


def require_audio(folder: Path, names: Sequence[str]) -> list[Path]:
    """Find the sound files of clips, every one of them.

    Raises
    ------
    InputError
        If one is missing, or the folder cannot be read.

    """
    missing = sorted(set(names) - set(find_audio(folder).values()))
    if missing:
        raise InputError(
            f"{counted(len(missing), 'file')} of {len(names)} not in {folder}:\n"
            f"{shorten(missing)}\n"
            "Put them back, or run scripts/01_preprocess.py --subset audiocaps to go on without."
        )
    return [folder / name for name in names]


def preprocess_audiocaps(
    dataset_path: str | Path,
    *,
    strict: bool = False,
    progress: Callable[[int], AbstractContextManager] | None = None,
) -> Preprocessed:
    """Read and check AudioCaps' captions and sound files, and number them.

    Clips are numbered by name and captions by row, from 1 through the splits; those of missing or
    broken clips are left out and keep their numbers to themselves.

    Parameters
    ----------
    dataset_path : str or Path
    strict : bool
        Refuse the data set at the first sound file that cannot be used.
    progress : callable, optional
        Called with the number of sound files, returns a context manager whose ``update`` is called
        after each one, such as a tqdm bar.

    Returns
    -------
    Preprocessed

    Raises
    ------
    InputError
        If a CSV is missing or wrong, or if not a single clip can be used.

    """
    rows = {split: read_captions_csv(captions_csv(dataset_path, split)) for split in SPLITS}
    found = {split: find_audio(audio_folder(dataset_path, split)) for split in SPLITS}
    names = {
        split: {clip: found[split].get(clip, clip + SUFFIXES[0]) for clip, _ in of_split}
        for split, of_split in rows.items()
    }
    clips = [(split, name) for split in SPLITS for name in sorted(names[split].values())]
    sounds, failed = read_sounds(
        {
            f"{split}/{names[split][clip]}": audio_folder(dataset_path, split) / names[split][clip]
            for split in SPLITS
            for clip in sorted(names[split].keys() & found[split].keys())
        },
        root=Path(dataset_path),
        strict=strict,
        progress=progress,
    )
    audio_ids = [f"{split}/{name}" for split, name in clips]
    missing = [name for name in audio_ids if name not in sounds and name not in failed]
    if not sounds:
        if failed:
            raise none_usable(Path(dataset_path), failed)
        raise InputError(
            f"not one of the {len(clips)} clips of {dataset_path} is there:\n{shorten(missing)}\n"
            f"Put the sound files into {audio_folder(dataset_path, '{split}')}. {SOURCE}."
        )
    return number(
        clips,
        sounds,
        {
            split: [(names[split][clip], caption) for clip, caption in of_split]
            for split, of_split in rows.items()
        },
        missing=missing,
        failed=failed,
        extra=[
            f"{split}/{name}"
            for split in SPLITS
            for clip, name in sorted(found[split].items())
            if clip not in names[split]
        ],
    )


def _row_problems(cells: list[str]) -> list[str]:
    if len(cells) != len(HEADER):
        return [f"{len(cells)} columns, not {len(HEADER)}; a caption with a comma needs quotes"]
    return [
        f"{column} is {cell[:200]!r}, and must be {wanted}"
        for column, cell, pattern, wanted in zip(HEADER, cells, _CELLS, _WANTED, strict=True)
        if not pattern.fullmatch(cell) or "\0" in cell
    ]
