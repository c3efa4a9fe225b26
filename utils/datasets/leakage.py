"""Clips and captions that splits share: found by file name, by Freesound sound and by text.

A split is known by its name, and a clip by its split and its file name: the audit compares names,
sounds and texts as the data set gives them, and never listens to a recording.
"""

import csv
import io
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.datasets import audiocaps, words
from utils.datasets.clotho import SOURCE
from utils.datasets.splits import SPLITS
from utils.files import tables
from utils.runtime.errors import InputError, counted, raise_if_any, shorten

Kind = Literal["file name", "sound id", "caption"]
KINDS: tuple[Kind, ...] = ("file name", "sound id", "caption")
CSV_HEADER = ("kind", "split_1", "file_1", "split_2", "file_2", "key")

_ORDER = (*audiocaps.SPLITS, *SPLITS)
# A text may be true of two recordings ("rain falls"), so that alone it excludes neither.
_EXCLUDING = ("file name", "sound id")
# Clips whose sound on Freesound was not found have this in common, and nothing else.
_UNKNOWN_SOUNDS = ("", "Not found")


@dataclass(frozen=True)
class Shared:
    """One thing that two splits have in common, or several clips of one split.

    Attributes
    ----------
    kind : {'file name', 'sound id', 'caption'}
    splits : tuple of str
        The two splits, the one that gives way first; within a split, that split twice.
    key : str
        What is shared: the file name, the sound id, or the caption's words in lower case.
    items : tuple of tuple of str
        For each of `splits` the file names involved, sorted; within a split, the same ones twice.

    """

    kind: Kind
    splits: tuple[str, str]
    key: str
    items: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The file names two by two, one of each split; within a split each two once."""
        if self.splits[0] == self.splits[1]:
            return list(itertools.combinations(self.items[0], 2))
        return list(itertools.product(*self.items))


def read_metadata_csv(path: str | Path) -> dict[str, str]:
    """Read the sound ids of a ``clotho_metadata_{split}.csv``, which is in ISO-8859-1.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to str
        For each file name, verbatim, its Freesound sound id; ``Not found`` where that is unknown.

    Raises
    ------
    InputError
        If the file cannot be read or is wrong: one message with all problems, the first ten in
        words.

    """
    rows = tables.read_csv(path, encoding="iso-8859-1")
    header = rows[0][1] if rows else []
    if not {"file_name", "sound_id"} <= set(header):
        problem = tables.header_problem(path, header, "such that it names file_name and sound_id")
        raise InputError(f"{problem} Take the file as published: {SOURCE}.")
    name_column, id_column = header.index("file_name"), header.index("sound_id")
    sound_ids: dict[str, str] = {}
    problems = []
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            problems.append(
                f"line {line}: {cells[0]!r} has {len(cells)} columns where the header has "
                f"{len(header)}"
            )
            continue
        name = cells[name_column]
        if name in sound_ids:
            problems.append(f"line {line}: {name!r} has a row already")
        sound_ids[name] = cells[id_column]
    raise_if_any(problems, path, f"Mend the file, or take it as published. {SOURCE}.")
    return sound_ids


def without_sound(names: Iterable[str], sound_ids: Mapping[str, str]) -> list[str]:
    """List the clips that cannot be compared by sound: no row in the metadata, or no known id.

    Parameters
    ----------
    names : iterable of str
        File names of a split.
    sound_ids : mapping of str to str
        What `read_metadata_csv` returns for that split.

    """
    return [name for name in names if _sound_of(name, sound_ids) is None]


def find_shared(
    captions: Mapping[str, Mapping[str, Sequence[str]]],
    sound_ids: Mapping[str, Mapping[str, str]],
) -> list[Shared]:
    """Find what splits share with each other, and what clips of one split share.

    File names are compared verbatim: names that differ in edge spaces alone are different sounds
    in Clotho. Captions are compared by their words, without case and punctuation.

    Parameters
    ----------
    captions : mapping of str to mapping of str to sequence of str
        For each split its clips' file names with their captions.
    sound_ids : mapping of str to mapping of str to str
        For each split the sound ids of its clips; splits and clips may be missing. Clips that
        have no captions are of no concern.

    Returns
    -------
    list of Shared
        By pair of splits, those of a split with itself last; then by kind, then by key.

    """
    splits = sorted(captions, key=_precedence)
    clips_of: dict[str, dict[Kind, dict[str, set[str]]]] = {
        split: {
            "file name": {name: {name} for name in captions[split]},
            "sound id": _by_sound(captions[split], sound_ids.get(split, {})),
            "caption": _by_caption(captions[split]),
        }
        for split in splits
    }
    result = []
    for first, second in split_pairs(splits):
        for kind in KINDS:
            one, other = clips_of[first][kind], clips_of[second][kind]
            result += [
                Shared(kind, (first, second), key, (_ordered(one[key]), _ordered(other[key])))
                for key in sorted(one.keys() & other.keys())
                if first != second or len(one[key]) > 1
            ]
    return result


def split_pairs(splits: Iterable[str]) -> list[tuple[str, str]]:
    """Pair each split with each other, the one that gives way first, and then with itself."""
    ordered = sorted(splits, key=_precedence)
    return [*itertools.combinations(ordered, 2), *((split, split) for split in ordered)]


def proposed_exclusions(shared: Iterable[Shared]) -> list[str]:
    """Propose the clips to leave out, so that no sound of a split is in a later one.

    Evaluation stays as it is, for scores on it to be comparable: development gives way to
    validation, both to evaluation, and AudioCaps to these three, its train split to its val and
    both to its test split. What several clips of
    one split share excludes nothing, and neither does a caption.

    Parameters
    ----------
    shared : iterable of Shared

    Returns
    -------
    list of str
        Each ``split/file name``, sorted.

    """
    excluded = set()
    for one in shared:
        if one.kind in _EXCLUDING and one.splits[0] != one.splits[1]:
            gives_way = min(range(2), key=lambda side: _precedence(one.splits[side]))
            excluded.update(f"{one.splits[gives_way]}/{name}" for name in one.items[gives_way])
    return sorted(excluded)


def csv_text(shared: Iterable[Shared]) -> str:
    """Write what is shared as CSV, one row for each two clips; see `CSV_HEADER`."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for one in shared:
        for first, second in one.pairs:
            writer.writerow((one.kind, one.splits[0], first, one.splits[1], second, one.key))
    return output.getvalue()


def exclusions_text(excluded: Iterable[str]) -> str:
    """Write clips one per line, verbatim, edge spaces included.

    Raises
    ------
    InputError
        If a file name has a line break inside.

    """
    excluded = list(excluded)
    broken = [clip for clip in excluded if clip.splitlines() != [clip]]
    if broken:
        raise InputError(
            f"{counted(len(broken), 'clip')} cannot be listed one per line, for the line break in "
            f"the file name:\n{shorten([repr(clip) for clip in broken])}\n"
            f"Rename the file, in the captions and the metadata too."
        )
    return "".join(f"{clip}\n" for clip in excluded)


def counts_table(shared: Iterable[Shared], captions: Iterable[str], metadata: Iterable[str]) -> str:
    """Count what is shared, as a table of pairs of splits by kind.

    Parameters
    ----------
    shared : iterable of Shared
    captions : iterable of str
        The splits that were compared.
    metadata : iterable of str
        Those whose sound ids are known; without both of a pair its count is a question mark.

    """
    counts: dict[tuple[tuple[str, str], Kind], int] = defaultdict(int)
    for one in shared:
        counts[one.splits, one.kind] += 1
    pairs, known = split_pairs(captions), set(metadata)
    width = max((len(_pair_name(pair)) for pair in pairs), default=0)
    lines = [" " * width + "".join(f"{kind + 's':>13}" for kind in KINDS)]
    for pair in pairs:
        cells = [
            "?"
            if kind == "sound id" and not known.issuperset(pair)
            # A folder holds each name once.
            else "-"
            if kind == "file name" and pair[0] == pair[1]
            else str(counts[pair, kind])
            for kind in KINDS
        ]
        lines.append(f"{_pair_name(pair):{width}}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def listing(shared: Iterable[Shared]) -> str:
    """List what is shared in words: of each pair and kind the first ten, and how many more."""
    groups: dict[tuple[tuple[str, str], Kind], list[Shared]] = defaultdict(list)
    for one in shared:
        groups[one.splits, one.kind].append(one)
    lines = []
    for (splits, kind), members in groups.items():
        lines += [f"{_pair_name(splits)}: {counted(len(members), kind)}"]
        lines += [shorten([_in_words(one) for one in members])]
    return "\n".join(lines)


def _precedence(split: str) -> int:
    """Rank splits: of two that share a sound, the one with the lower rank gives way."""
    return _ORDER.index(split) if split in _ORDER else -1


def _sound_of(name: str, sound_ids: Mapping[str, str]) -> str | None:
    sound_id = sound_ids.get(name, "").strip()
    return None if sound_id in _UNKNOWN_SOUNDS else sound_id


def _by_sound(names: Iterable[str], sound_ids: Mapping[str, str]) -> dict[str, set[str]]:
    groups = defaultdict(set)
    for name in names:
        sound_id = _sound_of(name, sound_ids)
        if sound_id is not None:
            groups[sound_id].add(name)
    return groups


def _by_caption(captions: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    groups = defaultdict(set)
    for name, texts in captions.items():
        for caption in texts:
            groups[words.clean(caption).lower()].add(name)
    # Captions of punctuation alone have no words to share.
    groups.pop("", None)
    return groups


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _pair_name(pair: tuple[str, str]) -> str:
    return f"within {pair[0]}" if pair[0] == pair[1] else f"{pair[0]} and {pair[1]}"


def _in_words(shared: Shared) -> str:
    first, second = (", ".join(map(repr, names)) for names in shared.items)
    if shared.kind == "file name":
        return first
    clips = first if shared.splits[0] == shared.splits[1] else f"{first} and {second}"
    return f"{shared.key}: {clips}"
