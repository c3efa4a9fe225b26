"""Sound files and captions ─► numbered clips and captions, as training reads them."""

import itertools
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets.sound_checks import Sound
from utils.datasets.splits import (
    AUDIO_INFO_FILE,
    CAPTION_COLUMNS,
    SOURCES_FILE,
    VOCAB_INFO_FILE,
    captions_file,
)
from utils.datasets.words import clean, tokens, vocabulary
from utils.files import writing
from utils.runtime.errors import InputError, counted, shorten

if TYPE_CHECKING:
    import pandas as pd


# So that the same content gives the same bytes with every Python version that can run this.
_PICKLE_PROTOCOL = 4


MISSING_CLIPS_FILE = "missing_clips.txt"


Clip = tuple[str, str]  # split and file name


Caption = tuple[str, str]  # file name and text


@dataclass(frozen=True)
class Preprocessed:
    """A data set's clips and captions, checked and numbered.

    Attributes
    ----------
    audio_info : dict
        ``audio_fids``, ``audio_fnames`` and ``audio_durations`` (seconds), each by split.
    captions : dict of str to DataFrame
        For each split a table with the columns cid, fid, fname, original, caption, tokens.
    vocab_info : dict
        ``vocabulary``, ``word_bags`` and ``split_infos``, see `utils.datasets.words.vocabulary`.
    sources : dict of str to dict of str to str
        The `utils.audio.sound_file.fingerprint` of each clip, by split and file name.
    missing : list of str
        Clips without a file, each ``split/file name``.
    failed : dict of str to str
        Why files cannot be used, by ``split/file name``. Their clips are left out.
    extra : list of str
        Sound files without captions, each ``split/file name``.

    """

    audio_info: dict[str, dict[str, Any]]
    captions: dict[str, "pd.DataFrame"]
    vocab_info: dict[str, Any]
    sources: dict[str, dict[str, str]]
    missing: list[str]
    failed: dict[str, str]
    extra: list[str]

    def summary(self) -> str:
        """Count clips and captions of each split, in one line."""
        counts = [
            f"{split} {info['num_clips']} clips, {info['num_captions']} captions"
            for split, info in self.vocab_info["split_infos"].items()
        ]
        if self.extra:
            counts.append(f"{counted(len(self.extra), 'sound file')} without captions")
        if self.missing:
            counts.append(f"{len(self.missing)} missing")
        if self.failed:
            counts.append(f"{len(self.failed)} cannot be used")
        return "; ".join(counts)


def number(
    clips: Sequence[Clip],
    sounds: Mapping[str, Sound],
    captions: Mapping[str, Sequence[Caption]],
    *,
    missing: list[str],
    failed: dict[str, str],
    extra: list[str],
) -> Preprocessed:
    """Number clips (fid) and captions (cid) from 1 through the splits.

    Parameters
    ----------
    clips : sequence of (split, file name)
        In the order of their numbers.
    sounds : mapping of str to Sound
        By ``split/file name``; a clip without one is left out with its captions, and keeps its
        numbers to itself.
    captions : mapping of split to sequence of (file name, text)
        In the order of their numbers.
    missing, failed, extra
        See `Preprocessed`.

    Returns
    -------
    Preprocessed

    """
    audio_info = _number_clips(clips, sounds, list(captions))
    tables = _number_captions(captions, audio_info["audio_fids"])
    return Preprocessed(
        audio_info=audio_info,
        captions=tables,
        vocab_info=vocabulary(
            {split: table["tokens"].tolist() for split, table in tables.items()},
            {split: len(names) for split, names in audio_info["audio_fnames"].items()},
        ),
        sources={
            split: {name: sounds[f"{split}/{name}"].source for name in names}
            for split, names in audio_info["audio_fnames"].items()
        },
        missing=missing,
        failed=failed,
        extra=extra,
    )


def none_usable(folder: Path, failed: Mapping[str, str]) -> InputError:
    """Say that not a single sound file of a folder can be used, and why."""
    reasons = [f"{name} {reason}" for name, reason in failed.items()]
    return InputError(
        f"none of the {counted(len(reasons), 'sound file')} of {folder} can be used:\n"
        f"{shorten(reasons)}\nGet them again."
    )


def write_preprocessed(input_path: str | Path, preprocessed: Preprocessed) -> list[Path]:
    """Write captions, clips, fingerprints, vocabulary and what is missing, where changed.

    Parameters
    ----------
    input_path : str or Path
        Folder to write to.
    preprocessed : Preprocessed

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        If a file cannot be written.

    """
    vocab_info = preprocessed.vocab_info
    vocab_info = {**vocab_info, "vocabulary": _SortedSet(vocab_info["vocabulary"])}
    contents = {
        Path(input_path) / AUDIO_INFO_FILE: _pickled(preprocessed.audio_info),
        **{
            captions_file(input_path, split): table.to_json().encode()
            for split, table in preprocessed.captions.items()
        },
        Path(input_path) / SOURCES_FILE: sources_json(preprocessed.sources),
        Path(input_path) / VOCAB_INFO_FILE: _pickled(vocab_info),
        Path(input_path) / MISSING_CLIPS_FILE: "".join(
            f"{clip}\n" for clip in preprocessed.missing
        ).encode(),
    }
    return [path for path, content in contents.items() if writing.write_if_changed(path, content)]


def sources_json(sources: Mapping[str, Mapping[str, str]]) -> bytes:
    """Write the fingerprints of clips, by split and file name, as `load_captions` reads them."""
    return json.dumps(sources, indent=0).encode()


def _number_clips(
    clips: Sequence[Clip], sounds: Mapping[str, Sound], splits: Sequence[str]
) -> dict[str, dict[str, Any]]:
    info: dict[str, dict[str, Any]] = {
        "audio_fids": {split: {} for split in splits},
        "audio_fnames": {split: [] for split in splits},
        "audio_durations": {split: [] for split in splits},
    }
    for fid, (split, name) in enumerate(clips, start=1):
        if sound := sounds.get(f"{split}/{name}"):
            info["audio_fids"][split][name] = fid
            info["audio_fnames"][split].append(name)
            info["audio_durations"][split].append(sound.duration)
    return info


def _number_captions(
    captions: Mapping[str, Sequence[Caption]], fids: Mapping[str, Mapping[str, int]]
) -> dict[str, "pd.DataFrame"]:
    import pandas as pd  # takes half a second, and is for the scripts that preprocess alone

    cids = itertools.count(1)
    tables = {}
    for split, of_split in captions.items():
        rows = []
        for (name, original), cid in zip(of_split, cids, strict=False):
            if name in fids[split]:
                words = tokens(original)
                rows.append((cid, fids[split][name], name, original, clean(original), words))
        tables[split] = pd.DataFrame(rows, columns=list(CAPTION_COLUMNS))
    return tables


class _SortedSet:
    """Pickles as a set of the same items, always in the same order."""

    def __init__(self, items: set[str]) -> None:
        self._items = sorted(items)

    def __reduce__(self) -> tuple[type[set], tuple[list[str]]]:
        return set, (self._items,)


def _pickled(content: Any) -> bytes:
    return pickle.dumps(content, protocol=_PICKLE_PROTOCOL)
