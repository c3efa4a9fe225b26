"""Clips and captions that splits share: found by file name, by Freesound sound and by text.

The audit compares the names, sound ids and texts of a data set. It never reads a recording.
"""

import io
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.datasets import audiocaps, words
from utils.datasets.clotho import SOURCE
from utils.datasets.splits import SPLITS
from utils.files import tables
from utils.runtime.errors import InputError, counted, raise_if_any, shorten

KINDS = ("file name", "sound id", "caption")
CSV_HEADER = ("kind", "split_1", "file_1", "split_2", "file_2", "key")

# Of two splits that share a sound, the earlier one loses its clip: scores on the later one stay
# comparable with published ones.
_ORDER = (*audiocaps.SPLITS, *SPLITS)
# Two recordings can have the same caption ("rain falls"): a shared caption excludes nothing.
_EXCLUDING = ("file name", "sound id")
_UNKNOWN_SOUNDS = ("", "Not found")  # in the metadata of clips that Freesound no longer has


@dataclass(frozen=True)
class Shared:
    """One thing that two splits have in common, or several clips of one split.

    Within a split, `splits` and `items` hold the same twice.
    """

    kind: str  # one of KINDS
    splits: tuple[str, str]  # in the order that `proposed_exclusions` names
    key: str  # the file name, the sound id, or the caption's words in lower case
    items: tuple[tuple[str, ...], tuple[str, ...]]  # file names of each split, sorted

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The file names two by two, one of each split; within a split each two once."""
        if self.splits[0] == self.splits[1]:
            return list(itertools.combinations(self.items[0], 2))
        return list(itertools.product(*self.items))


def read_metadata_csv(path: str | Path) -> dict[str, str]:
    """Read the known sound ids of a ``clotho_metadata_{split}.csv``, which is in ISO-8859-1.

    Returns the Freesound sound id of each file name that has one, both verbatim.

    Raises
    ------
    InputError
        If the file cannot be read or is wrong.

    """
    rows = tables.read_csv(path, encoding="iso-8859-1")
    header = rows[0][1] if rows else []
    if not {"file_name", "sound_id"} <= set(header):
        problem = tables.header_problem(path, header, "such that it names file_name and sound_id")
        raise InputError(f"{problem} Use the published file: {SOURCE}.")
    sound_ids: dict[str, str] = {}
    problems = []
    for line, cells in rows[1:]:
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} columns where the header has {len(header)}")
        elif row["file_name"] in sound_ids:
            problems.append(f"line {line}: {row['file_name']!r} has a row already")
        else:
            sound_ids[row["file_name"]] = row["sound_id"]
    raise_if_any(problems, path, f"Fix the file, or use the published one. {SOURCE}.")
    return {name: id for name, id in sound_ids.items() if id.strip() not in _UNKNOWN_SOUNDS}


def find_shared(
    captions: Mapping[str, Mapping[str, Sequence[str]]],
    sound_ids: Mapping[str, Mapping[str, str]],
) -> list[Shared]:
    """Find what splits share with each other, and what clips of one split share.

    File names are compared verbatim: in Clotho, names that differ only in edge spaces are different
    sounds. Captions are compared by their words, without case and punctuation. Both arguments are
    by split of Clotho or AudioCaps, and by file name.

    Returns
    -------
    list of Shared
        By pair of splits, those of a split with itself last; then by kind, then by key.

    """
    clips: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, of_split in captions.items():
        for name, texts in of_split.items():
            clips["file name", name][split].add(name)
            clips["sound id", sound_ids.get(split, {}).get(name, "").strip()][split].add(name)
            for text in texts:
                clips["caption", words.clean(text).lower()][split].add(name)
    shared = [
        Shared(kind, pair, key, tuple(tuple(sorted(by_split[split])) for split in pair))
        for (kind, key), by_split in clips.items()
        if key  # not the sounds without an id, nor the captions without a word
        for pair in _pairs_of(by_split)
        if pair[0] != pair[1] or len(by_split[pair[0]]) > 1
    ]
    pairs = _pairs_of(captions)
    return sorted(shared, key=lambda s: (pairs.index(s.splits), KINDS.index(s.kind), s.key))


def proposed_exclusions(shared: Iterable[Shared]) -> list[str]:
    """Propose the clips to leave out, so that no sound of a split is in a later one.

    Of two splits the earlier one loses the clip, in the order train, val, test (AudioCaps),
    development, validation, evaluation (Clotho). Each is ``split/file name``; they are sorted.
    """
    return sorted(
        {
            f"{one.splits[0]}/{name}"
            for one in shared
            if one.kind in _EXCLUDING and one.splits[0] != one.splits[1]
            for name in one.items[0]
        }
    )


def csv_text(shared: Iterable[Shared]) -> str:
    """Write what is shared as CSV, one row for each two clips, below `CSV_HEADER`."""
    rows = [CSV_HEADER]
    for one in shared:
        (split, other), key = one.splits, one.key
        rows += [(one.kind, split, first, other, second, key) for first, second in one.pairs]
    output = io.StringIO()
    tables.write_csv(output, rows)
    return output.getvalue()


def exclusions_text(excluded: Iterable[str]) -> str:
    """Write clips one per line, verbatim; a name with a line break raises an InputError."""
    if broken := [repr(clip) for clip in excluded if clip.splitlines() != [clip]]:
        raise InputError(
            f"{counted(len(broken), 'clip')} with a line break in the file name cannot be listed "
            f"one per line:\n{shorten(broken)}\n"
            "Rename the file, in the captions and the metadata too."
        )
    return "".join(f"{clip}\n" for clip in excluded)


def listing(shared: Iterable[Shared]) -> str:
    """Count what is shared by pair of splits and kind, and show the first ten of each."""
    lines = []
    for (splits, kind), group in itertools.groupby(shared, lambda one: (one.splits, one.kind)):
        where = f"within {splits[0]}" if splits[0] == splits[1] else " and ".join(splits)
        shown = [
            f"{one.key}: {' and '.join(', '.join(map(repr, i)) for i in dict.fromkeys(one.items))}"
            for one in group
        ]
        lines += [f"{where}: {counted(len(shown), kind)}", shorten(shown)]
    return "\n".join(lines)


def _pairs_of(splits: Iterable[str]) -> list[tuple[str, str]]:
    """Pair each split with each later one, and then with itself."""
    ordered = sorted(splits, key=_ORDER.index)
    return [*itertools.combinations(ordered, 2), *((split, split) for split in ordered)]
