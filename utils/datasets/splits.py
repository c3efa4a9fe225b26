"""Preprocessed data sets, read back for training: captions, clips and their stable ids.

N captions belong to C clips. An id is ``split/file name`` for a clip and ``split/cid`` for a
caption: the splits share file names, so that a name alone means nothing.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from utils.files import reading
from utils.runtime.errors import InputError, shown

SPLITS = ("development", "validation", "evaluation")
CAPTION_COLUMNS = ("cid", "fid", "fname", "original", "caption", "tokens")
AUDIO_INFO_FILE = "audio_info.pkl"
VOCAB_INFO_FILE = "vocab_info.pkl"
SOURCES_FILE = "audio_sources.json"
DEMO_MANIFEST = "demo_set.json"

_SYNTHETIC_NOTE = (
    "These sounds are synthetic: scores on them show that the pipeline works, "
    "and say nothing about real recordings."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class QuerySplit:
    """Captions and clips, and nothing about which belongs to which.

    Attributes
    ----------
    split : str
        Name of the split.
    cids : int array, (N,)
        Number of each caption.
    captions : list of str, N
        The captions, verbatim.
    clip_names : list of str, C
        File names of the clips, by increasing fid.
    clip_fids : int array, (C,)
        Number of each clip.
    clip_sources : list of str, C, or None
        The `utils.audio.sound_file.fingerprint` of each clip when the set was preprocessed; None
        if it was not recorded.

    """

    split: str
    cids: np.ndarray
    captions: list[str]
    clip_names: list[str]
    clip_fids: np.ndarray
    clip_sources: list[str] | None = None

    @property
    def audio_ids(self) -> list[str]:
        """``split/file name`` of each of the C clips."""
        return [f"{self.split}/{name}" for name in self.clip_names]

    @property
    def caption_ids(self) -> list[str]:
        """``split/cid`` of each of the N captions."""
        return [f"{self.split}/{cid}" for cid in self.cids]


@dataclass(frozen=True, eq=False, kw_only=True)
class CaptionSplit(QuerySplit):
    """The captions of one split and the clips that they describe.

    Attributes
    ----------
    clip_of_caption : int array, (N,)
        For each caption the index of its clip, in 0..C-1.

    """

    clip_of_caption: np.ndarray


Split = TypeVar("Split", bound=QuerySplit)


def captions_file(input_path: str | Path, split: str) -> Path:
    """Return the path of the preprocessed captions of a split."""
    return Path(input_path) / f"{split}_captions.json"


def load_captions(input_path: str | Path, split: str) -> CaptionSplit:
    """Read the preprocessed captions of a split.

    Captions come in the order of the file. It may also be the original system's own: its fids are
    in no particular order, and its file names are stripped of spaces.

    Raises
    ------
    InputError
        If the file is missing, or is not such a table.

    """
    path = captions_file(input_path, split)
    if not path.exists():
        raise InputError(f"no {path}: is input_path the right folder?")
    columns = _read_columns(path)
    cids, fids, names = columns["cid"], columns["fid"], columns["fname"]
    _check_ids(path, cids, fids, names)
    clip_fids, clip_of_caption = np.unique(np.array(fids, dtype=np.int64), return_inverse=True)
    name_of_fid = dict(zip(fids, names, strict=True))
    clip_names = [name_of_fid[fid] for fid in clip_fids.tolist()]
    return CaptionSplit(
        split=split,
        cids=np.array(cids, dtype=np.int64),
        captions=columns["original"],
        clip_of_caption=clip_of_caption,
        clip_names=clip_names,
        clip_fids=clip_fids,
        clip_sources=load_sources(input_path, split, clip_names),
    )


def load_sources(input_path: str | Path, split: str, names: Sequence[str]) -> list[str] | None:
    """Read the fingerprints that clips had when they were preprocessed; None if not all are there.

    Raises
    ------
    InputError
        If the file of fingerprints is damaged.

    """
    path = Path(input_path) / SOURCES_FILE
    if not path.exists():
        return None  # the original system writes none
    table = reading.read_json(path)
    of_split = table.get(split, {}) if isinstance(table, dict) else None
    if not isinstance(of_split, dict):
        raise InputError(
            f"{path} is not a table of fingerprints. Run the script that wrote it again."
        )
    sources = [of_split.get(name) for name in names]
    return sources if all(isinstance(source, str) for source in sources) else None


def without_clips(split: Split, excluded: Collection[str]) -> Split:
    """Leave clips, and the captions that are known to be theirs, out of a split.

    Each of `excluded` is ``split/file name``; those of other splits have no effect.
    """
    kept = np.array([audio_id not in excluded for audio_id in split.audio_ids], dtype=bool)
    clips = {
        "clip_names": list(itertools.compress(split.clip_names, kept)),
        "clip_fids": split.clip_fids[kept],
        "clip_sources": split.clip_sources and list(itertools.compress(split.clip_sources, kept)),
    }
    if not isinstance(split, CaptionSplit):
        return replace(split, **clips)
    rows = np.flatnonzero(kept[split.clip_of_caption])
    position = np.cumsum(kept) - 1  # of each kept clip among the kept ones
    return replace(
        split,
        cids=split.cids[rows],
        captions=[split.captions[row] for row in rows],
        clip_of_caption=position[split.clip_of_caption[rows]],
        **clips,
    )


def synthetic_note(dataset_path: str | Path) -> str | None:
    """Return a note for a synthetic data set, which has the demo's manifest in its folder."""
    return _SYNTHETIC_NOTE if (Path(dataset_path) / DEMO_MANIFEST).exists() else None


def is_number(value: Any) -> bool:
    """Whether a value can be the number of a clip or a caption."""
    return type(value) is int and 1 <= value <= np.iinfo(np.int64).max


def is_name(value: Any) -> bool:
    """Whether a value can be the name of a sound file, without a folder."""
    return is_caption(value) and reading.is_file_name(value)


def is_caption(value: Any) -> bool:
    """Whether a value is a text that can be embedded and stored in files."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()  # JSON can name halves of characters
    except UnicodeEncodeError:
        return False
    return True


def _read_columns(path: Path) -> dict[str, list]:
    """Read what ``DataFrame.to_json`` wrote: each column in the order of the table's rows."""
    # pandas.read_json would convert texts that look like dates or numbers.
    table = reading.read_json(path)
    if not isinstance(table, dict) or not all(
        isinstance(table.get(column), dict) for column in CAPTION_COLUMNS
    ):
        raise InputError(f"{path} is not a table with the columns {', '.join(CAPTION_COLUMNS)}.")
    rows = list(table["cid"])
    for column in CAPTION_COLUMNS:
        if table[column].keys() != table["cid"].keys():
            raise InputError(f"{path}: column {column} does not have the same rows as cid.")
    for column, fits, wanted in (
        ("cid", is_number, "a whole number from 1"),
        ("fid", is_number, "a whole number from 1"),
        ("fname", is_name, "the name of a file, without a folder"),
        ("original", is_caption, "a text of Unicode characters, none of them NUL"),
    ):
        for row, cell in table[column].items():
            if not fits(cell):
                raise InputError(
                    f"{path}, row {row[:20]}: {column} is {shown(cell)}, and must be {wanted}."
                )
    return {column: [table[column][row] for row in rows] for column in CAPTION_COLUMNS}


def _check_ids(path: Path, cids: list[int], fids: list[int], names: list[str]) -> None:
    """Refuse a caption number that occurs twice, and a clip with two numbers or two names."""
    clips = set(zip(fids, names, strict=True))
    for what, of, values in (
        ("cid", "captions", cids),
        ("fid", "clips", [fid for fid, _ in clips]),
        ("fname", "clips", [name for _, name in clips]),
    ):
        value, count = next(iter(Counter(values).most_common(1)), (None, 1))
        if count > 1:
            raise InputError(f"{path}: two {of} have the {what} {value!r}.")
