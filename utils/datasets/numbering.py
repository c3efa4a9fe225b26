"""Sound files and captions ─► numbered clips and captions, as training reads them."""

import itertools
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets.sound_checks import Progress, read_each, read_sound
from utils.datasets.splits import (
    AUDIO_INFO_FILE,
    CAPTION_COLUMNS,
    SOURCES_FILE,
    VOCAB_INFO_FILE,
    captions_file,
)
from utils.datasets.words import Vocabulary, clean, tokens, vocabulary
from utils.files import writing
from utils.runtime.errors import InputError, counted, shorten

if TYPE_CHECKING:
    import pandas as pd

MISSING_CLIPS_FILE = "missing_clips.txt"
# Fixed, so that the same content gives the same bytes with every version of Python.
_PICKLE_PROTOCOL = 4

Clip = tuple[str, str]  # split and file name
Caption = tuple[str, str]  # file name and text


@dataclass(frozen=True)
class Clips:
    """Clips whose sound files can be used, numbered, by split.

    Attributes
    ----------
    audio_info : dict
        ``audio_fids`` (a dict of file name to number), ``audio_fnames`` (a list) and
        ``audio_durations`` (a list, in seconds), each by split.
    sources : dict of str to dict of str to str
        The `utils.audio.sound_file.fingerprint` of each clip, by split and file name.
    failed : dict of str to str
        Why files cannot be used, by ``split/file name``. Their clips are left out.

    """

    audio_info: dict[str, dict[str, Any]]
    sources: dict[str, dict[str, str]]
    failed: dict[str, str]


@dataclass(frozen=True)
class Preprocessed(Clips):
    """A data set's clips and captions, checked and numbered.

    Attributes
    ----------
    captions : dict of str to DataFrame
        For each split a table with the columns cid, fid, fname, original, caption, tokens.
    vocab_info : Vocabulary
    missing : list of str
        Clips without a file, each ``split/file name``.
    extra : list of str
        Sound files without captions, each ``split/file name``.
    respelt : list of str
        Clips whose file has another name than they have in the captions, each with that name.
    notes : list of str
        What is odd about the captions.
    files : dict of str to bytes
        Further files that belong to the data set, by name.

    """

    captions: dict[str, "pd.DataFrame"]
    vocab_info: Vocabulary
    missing: list[str]
    extra: list[str]
    respelt: list[str]
    notes: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def summary(self) -> str:
        """Count clips and captions of each split, in one line."""
        counts = [
            f"{split} {info['num_clips']} clips, {info['num_captions']} captions"
            for split, info in self.vocab_info.split_infos.items()
        ]
        if self.extra:
            counts.append(f"{counted(len(self.extra), 'sound file')} without captions")
        if self.respelt:
            counts.append(f"{counted(len(self.respelt), 'file')} under another spelling")
        if self.missing:
            counts.append(f"{len(self.missing)} missing")
        if self.failed:
            counts.append(f"{len(self.failed)} cannot be used")
        return "; ".join(counts)


def number_clips(
    clips: Sequence[Clip],
    paths: Mapping[str, Path],
    *,
    folder: Path,
    splits: Sequence[str],
    strict: bool = False,
    accept_truncated: bool = False,
    progress: Progress | None = None,
) -> Clips:
    """Check sound files, and number their clips from 1 through the splits (fid).

    Parameters
    ----------
    clips : sequence of (split, file name)
        In the order of their numbers. A clip without a file, or with one that cannot be used, is
        left out, and no other clip gets its number.
    paths : mapping of str to Path
        Sound files by ``split/file name``.
    folder : Path
        The folder of the data set.
    strict, progress
        See `utils.datasets.sound_checks.read_each`.
    accept_truncated : bool
        Use truncated sound files as far as they go.

    Raises
    ------
    InputError
        If there are sound files and none of them can be used, or if `strict` and one cannot.

    """
    read = partial(read_sound, accept_truncated=accept_truncated)
    sounds, failed = read_each(read, paths, root=folder, strict=strict, progress=progress)
    if failed and not sounds:
        reasons = [f"{name} {reason}" for name, reason in failed.items()]
        raise InputError(
            f"none of the {counted(len(reasons), 'sound file')} of {folder} can be used:\n"
            f"{shorten(reasons)}\nGet them again."
        )
    info: dict[str, dict[str, Any]] = {
        "audio_fids": {split: {} for split in splits},
        "audio_fnames": {split: [] for split in splits},
        "audio_durations": {split: [] for split in splits},
    }
    sources: dict[str, dict[str, str]] = {split: {} for split in splits}
    for fid, (split, name) in enumerate(clips, start=1):
        if sound := sounds.get(f"{split}/{name}"):
            info["audio_fids"][split][name] = fid
            info["audio_fnames"][split].append(name)
            info["audio_durations"][split].append(sound.duration)
            sources[split][name] = sound.source
    return Clips(info, sources, failed)


def number(
    clips: Sequence[Clip],
    paths: Mapping[str, Path],
    captions: Mapping[str, Sequence[Caption]],
    *,
    folder: Path,
    extra: list[str],
    strict: bool = False,
    accept_truncated: bool = False,
    progress: Progress | None = None,
) -> Preprocessed:
    """Check sound files, and number clips (fid) and captions (cid) from 1 through the splits.

    Parameters
    ----------
    captions : mapping of split to sequence of (file name, text)
        In the order of their numbers. Those of clips that are left out are left out with them, and
        no other caption gets their numbers.
    extra
        See `Preprocessed`.
    clips, paths, folder, strict, accept_truncated, progress
        See `number_clips`, also for what is raised.

    """
    numbered = number_clips(
        clips,
        paths,
        folder=folder,
        splits=list(captions),
        strict=strict,
        accept_truncated=accept_truncated,
        progress=progress,
    )
    tables = _number_captions(captions, numbered.audio_info["audio_fids"])
    return Preprocessed(
        **vars(numbered),
        captions=tables,
        vocab_info=vocabulary(
            {split: table["tokens"].tolist() for split, table in tables.items()},
            {split: len(names) for split, names in numbered.audio_info["audio_fnames"].items()},
        ),
        missing=[id for split, name in clips if (id := f"{split}/{name}") not in paths],
        extra=extra,
        respelt=[
            f"{id}: {path.name!a}"
            for id, path in paths.items()
            if path.name != id.partition("/")[2]
        ],
    )


def write_preprocessed(input_path: Path, preprocessed: Preprocessed) -> list[Path]:
    """Write captions, clips, fingerprints, vocabulary and the missing clips, where changed.

    Returns the files that were written. Raises an InputError if one cannot be written.
    """
    words = preprocessed.vocab_info
    contents = {
        AUDIO_INFO_FILE: pickled(preprocessed.audio_info),
        **{
            captions_file("", split).name: table.to_json().encode()
            for split, table in preprocessed.captions.items()
        },
        SOURCES_FILE: sources_json(preprocessed.sources),
        VOCAB_INFO_FILE: pickled({**vars(words), "vocabulary": _SortedSet(words.vocabulary)}),
        MISSING_CLIPS_FILE: "".join(f"{clip}\n" for clip in preprocessed.missing).encode(),
        **preprocessed.files,
    }
    return [
        input_path / name
        for name, content in contents.items()
        if writing.write_if_changed(input_path / name, content)
    ]


def pickled(content: Any) -> bytes:
    """Pickle a value as the original system's files are."""
    return pickle.dumps(content, protocol=_PICKLE_PROTOCOL)


def sources_json(sources: Mapping[str, Mapping[str, str]]) -> bytes:
    """Write the fingerprints of clips, by split and file name, as `load_captions` reads them."""
    return json.dumps(sources, indent=0).encode()


def _number_captions(
    captions: Mapping[str, Sequence[Caption]], fids: Mapping[str, Mapping[str, int]]
) -> dict[str, "pd.DataFrame"]:
    import pandas as pd  # takes half a second, and only the scripts that preprocess need it

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
