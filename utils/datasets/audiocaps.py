"""AudioCaps' own files, read and checked: caption CSVs, and the sound files that they name.

The folder contains ``{train,val,test}.csv`` and ``audio/{train,val,test}/`` with one
``{youtube_id}_{start_time}.wav`` per clip, or with another ending of sound (``.flac``, ``.m4a``,
``.webm``, ...). Thousands of clips are gone from YouTube: captions of clips without a file are left
out.

C. D. Kim, B. Kim, H. Lee, G. Kim, "AudioCaps: generating captions for audios in the wild",
NAACL-HLT 2019.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from utils.datasets.numbering import Caption, Preprocessed, number
from utils.datasets.sound_checks import PREFERRED, Progress, require_found, sounds_by_stem
from utils.files import tables
from utils.runtime.errors import InputError, raise_if_any, shorten

SPLITS = ("train", "val", "test")
SOURCE = (
    "AudioCaps' CSVs are at https://github.com/cdjkim/audiocaps, its sounds are on YouTube; "
    "scripts/00_make_demo_data.py --audiocaps makes a small synthetic set in the same layout"
)
HEADER = ["audiocap_id", "youtube_id", "start_time", "caption"]
_CELLS = (
    re.compile(r"[0-9]+"),
    re.compile(r"[\w-]{11}", re.ASCII),
    re.compile(r"[0-9]+"),
    re.compile(r".*\S.*", re.DOTALL),
)
_WANTED = ("a whole number", "11 letters, digits, - and _", "whole seconds", "a text")


def preprocess_audiocaps(
    dataset_path: Path,
    *,
    strict: bool = False,
    accept_truncated: bool = False,
    progress: Progress | None = None,
) -> Preprocessed:
    """Read and check AudioCaps' captions and sound files, and number them.

    Clips are numbered by name and captions by row, from 1 through the splits. Those of missing or
    broken clips are left out, and their numbers stay unused.

    Raises
    ------
    InputError
        If a CSV is missing or wrong, if not a single clip can be used, or if `strict` and a sound
        file cannot be used.

    """
    captions: dict[str, list[Caption]] = {}
    clips, paths, extra = [], {}, []
    for split in SPLITS:
        captions[split], found = _read_split(dataset_path, split)
        names = {name for name, _ in captions[split]}
        clips += [(split, name) for name in sorted(names)]
        for _, name in sorted(found.items()):
            if name in names:
                paths[f"{split}/{name}"] = audio_folder(dataset_path, split) / name
            else:
                extra.append(f"{split}/{name}")
    if not paths:
        missing = [f"{split}/{name}" for split, name in clips]
        raise InputError(
            f"all {len(clips)} clips of {dataset_path} are missing:\n{shorten(missing)}\n"
            f"Put the sound files into {audio_folder(dataset_path, '{split}')}. {SOURCE}."
        )
    return number(
        clips,
        paths,
        captions,
        folder=dataset_path,
        extra=extra,
        strict=strict,
        accept_truncated=accept_truncated,
        progress=progress,
    )


def captions_csv(dataset_path: str | Path, split: str) -> Path:
    """Return the path of the captions of a split."""
    return Path(dataset_path) / f"{split}.csv"


def audio_folder(dataset_path: str | Path, split: str) -> Path:
    """Return the folder of the sound files of a split."""
    return Path(dataset_path) / "audio" / split


def read_captions_csv(path: str | Path) -> list[Caption]:
    """Read ``{split}.csv``: header audiocap_id,youtube_id,start_time,caption.

    Returns
    -------
    list of (str, str)
        For each row the clip, ``{youtube_id}_{start_time}``, and its caption, verbatim.

    Raises
    ------
    InputError
        If the file is missing or wrong. The message counts all problems and shows the first ten.

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
            problems.append(f"line {line}: {HEADER[0]} {cells[0]!r} is already on line {first}")
    raise_if_any(problems, path, f"Fix the file, or use the published one. {SOURCE}.")
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no captions. {SOURCE}.")
    return [(f"{youtube_id}_{start}", caption) for _, (_, youtube_id, start, caption) in rows[1:]]


def find_audio(folder: Path) -> dict[str, str]:
    """Find the sound files of a folder, see `utils.datasets.sound_checks.sounds_by_stem`."""
    return sounds_by_stem(folder, setting="audiocaps.dataset_path")


def sounds_in(folder: Path) -> list[str]:
    """List the names of the sound files of a folder; see `find_audio`."""
    return list(find_audio(folder).values())


def read_for_audit(
    dataset_path: str | Path,
) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, str]]]:
    """Read the captions of each clip and the YouTube video that it was cut from.

    A clip with a file is named as in the preprocessed captions.

    Both are by split and file name.
    """
    captions: dict[str, dict[str, list[str]]] = {}
    for split in SPLITS:
        captions[split] = {}
        for name, caption in _read_split(dataset_path, split)[0]:
            captions[split].setdefault(name, []).append(caption)
    return captions, {
        split: {name: name.rpartition("_")[0] for name in clips}
        for split, clips in captions.items()
    }


def require_audio(folder: Path, names: Sequence[str]) -> list[Path]:
    """Find the sound file of each clip, in the same order; all must be there.

    Raises
    ------
    InputError
        If one is missing, or the folder cannot be read.

    """
    return require_found(folder, names, sounds_in(folder), subset="audiocaps")


def _read_split(dataset_path: str | Path, split: str) -> tuple[list[Caption], dict[str, str]]:
    """Read the captions of a split under the file names of their clips, and find its files."""
    rows = read_captions_csv(captions_csv(dataset_path, split))
    found = find_audio(audio_folder(dataset_path, split))
    return [(found.get(clip, clip + PREFERRED[0]), caption) for clip, caption in rows], found


def _row_problems(cells: list[str]) -> list[str]:
    if len(cells) != len(HEADER):
        return [f"{len(cells)} columns, not {len(HEADER)}; a caption with a comma needs quotes"]
    return [
        f"{column} is {cell[:200]!r}, and must be {wanted}"
        for column, cell, pattern, wanted in zip(HEADER, cells, _CELLS, _WANTED, strict=True)
        if not pattern.fullmatch(cell) or "\0" in cell
    ]
