"""Sets of long recordings and of moments in them: CASTELLA, and Clotho-Moment or one made like it.

The folder has the list of each split, and the recordings as ``audio/<vid>.<ending>``, or as
``audio/<split>/<vid>.<ending>`` for splits that have such a folder. Any format will do that FFmpeg
decodes. Many recordings of CASTELLA are gone from YouTube: queries about recordings without a file
are left out.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from utils.datasets.moment_lists import MomentQuery, as_row, parse_rows, read_with_notes
from utils.datasets.numbering import Preprocessed, number
from utils.datasets.sound_checks import Progress, require_found, sounds_by_stem
from utils.datasets.splits import CaptionSplit
from utils.files import reading
from utils.runtime.errors import InputError, counted, raise_if_any, shorten

CASTELLA, CLOTHO_MOMENT = "castella", "clotho-moment"
SECTIONS = {CASTELLA: "castella", CLOTHO_MOMENT: "clotho_moment"}  # of the settings
SPLITS = ("train", "val", "test")
_SOURCES = {
    CASTELLA: "CASTELLA's lists are at https://github.com/line/lighthouse, its sounds on YouTube",
    CLOTHO_MOMENT: (
        "Clotho-Moment's lists are at https://github.com/line/lighthouse; "
        "scripts/00_make_demo_data.py --moments makes a set in the same layout"
    ),
}
_SHORTER = 2.0  # seconds; lists round durations to whole seconds, in both directions


def preprocess_moments(
    dataset_path: Path,
    subset: str,
    *,
    strict: bool = False,
    accept_truncated: bool = False,
    progress: Progress | None = None,
) -> Preprocessed:
    """Read and check the lists and recordings of a moment set, and number them.

    A recording is a clip and a query is a caption. Clips are numbered by name and captions by row,
    from 1 through the splits; numbers of what is left out stay unused. A split without a list is
    empty. `Preprocessed.files` has what `load_moments` reads.

    Parameters
    ----------
    subset : str
        CASTELLA or CLOTHO_MOMENT.
    dataset_path, strict, accept_truncated, progress
        See `utils.datasets.numbering.number`, also for what is raised.

    Raises
    ------
    InputError
        Also if there is no list or one is wrong, or if no recording is there.

    """
    queries, notes = _read_lists(dataset_path, subset)
    found = {split: find_sounds(audio_folder(dataset_path, split), subset) for split in SPLITS}
    vids = {split: sorted({query.vid for query in queries[split]}) for split in SPLITS}
    paths = {
        f"{split}/{name}": audio_folder(dataset_path, split) / name
        for split in SPLITS
        for vid in vids[split]
        if (name := found[split].get(vid))
    }
    clips = [(split, found[split].get(vid, vid)) for split in SPLITS for vid in vids[split]]
    if not paths:
        raise InputError(
            f"all {counted(len(clips), 'recording')} of {dataset_path} are missing:\n"
            f"{shorten([f'{split}/{name}' for split, name in clips])}\n"
            f"Put the sound files into {dataset_path / 'audio'}. {_SOURCES[subset]}."
        )
    numbered = number(
        clips,
        paths,
        {
            split: [(found[split].get(query.vid, query.vid), query.query) for query in of_split]
            for split, of_split in queries.items()
        },
        folder=dataset_path,
        extra=_without_queries(dataset_path, found, vids),
        strict=strict,
        accept_truncated=accept_truncated,
        progress=progress,
    )
    every = [query for of_split in queries.values() for query in of_split]
    return replace(
        numbered,
        notes=[*notes, *_notes_on_durations(numbered, queries, found)],
        files={
            moments_file("", split).name: _moments_json(table["cid"].tolist(), every)
            for split, table in numbered.captions.items()
        },
    )


def list_file(dataset_path: str | Path, subset: str, split: str) -> Path | None:
    """Find the list of a split under one of its published names; None if there is none."""
    stem = f"{SECTIONS[subset]}_{split}"
    for name in (f"{stem}_release.jsonl", f"{stem}.jsonl", f"{split}.json"):
        if (path := Path(dataset_path) / name).is_file():
            return path
    return None


def audio_folder(dataset_path: str | Path, split: str) -> Path:
    """Return the folder of the recordings of a split: its own if there is one."""
    folder = Path(dataset_path) / "audio"
    return folder / split if (folder / split).is_dir() else folder


def find_sounds(folder: Path, subset: str) -> dict[str, str]:
    """Find the sound files of a folder, see `utils.datasets.sound_checks.sounds_by_stem`."""
    return sounds_by_stem(folder, setting=f"{SECTIONS[subset]}.dataset_path")


def sounds_in(folder: Path, subset: str) -> list[str]:
    """List the names of the sound files of a folder; see `find_sounds`."""
    return list(find_sounds(folder, subset).values())


def require_audio(folder: Path, names: Sequence[str], subset: str) -> list[Path]:
    """Find the sound file of each clip, see `utils.datasets.sound_checks.require_found`."""
    return require_found(folder, names, sounds_in(folder, subset), subset=subset)


def moments_file(input_path: str | Path, split: str) -> Path:
    """Return the path of the moments that belong to the preprocessed captions of a split."""
    return Path(input_path) / f"{split}_moments.json"


def load_moments(input_path: str | Path, split: CaptionSplit) -> list[MomentQuery]:
    """Read the query behind each of the N captions of a split, in the same order.

    Raises
    ------
    InputError
        If the file is missing, or does not belong to these captions.

    """
    path = moments_file(input_path, split.split)
    table = reading.read_json(path)
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise InputError(f"{path} is not a table of moments.")
    cids = list(map(str, split.cids.tolist()))
    queries, problems = parse_rows((f"cid {cid}", table.get(cid, {})) for cid in cids)
    raise_if_any(problems, path)
    if [query.query for query in queries] != split.captions:
        raise InputError(f"{path} does not belong to the captions beside it.")
    return queries


def _read_lists(dataset_path: Path, subset: str) -> tuple[dict[str, list[MomentQuery]], list[str]]:
    """Read the list of each split, and say what is odd about them."""
    queries: dict[str, list[MomentQuery]] = {split: [] for split in SPLITS}
    notes = []
    for split in SPLITS:
        if path := list_file(dataset_path, subset, split):
            queries[split], odd = read_with_notes(path)
            notes += [f"{path.name}: {note}" for note in odd]
        else:
            notes.append(f"no list of {split}; the split is empty")
    if not any(queries.values()):
        raise InputError(
            f"no {SECTIONS[subset]}_{{{','.join(SPLITS)}}}_release.jsonl in {dataset_path}. "
            f"{_SOURCES[subset]}. Check {SECTIONS[subset]}.dataset_path."
        )
    return queries, notes


def _moments_json(cids: Sequence[int], every: Sequence[MomentQuery]) -> bytes:
    """Write the queries of captions, which are numbered from 1 through all splits."""
    return json.dumps({cid: as_row(every[cid - 1]) for cid in cids}).encode()


def _without_queries(
    dataset_path: Path, found: dict[str, dict[str, str]], vids: dict[str, list[str]]
) -> list[str]:
    """List sound files that no query asks about; splits may share a folder."""
    folders = {split: audio_folder(dataset_path, split) for split in SPLITS}
    asked = {(folders[split], vid) for split in SPLITS for vid in vids[split]}
    return sorted(
        {
            str((folders[split] / name).relative_to(dataset_path / "audio"))
            for split in SPLITS
            for vid, name in found[split].items()
            if (folders[split], vid) not in asked
        }
    )


def _notes_on_durations(
    numbered: Preprocessed,
    queries: dict[str, list[MomentQuery]],
    found: dict[str, dict[str, str]],
) -> list[str]:
    """Say how many recordings are shorter than the lists say: their windows may be elsewhere."""
    info, short = numbered.audio_info, 0
    for split, of_split in queries.items():
        names, durations = info["audio_fnames"][split], info["audio_durations"][split]
        heard = dict(zip(names, durations, strict=True))
        listed = {found[split].get(query.vid): query.duration for query in of_split}
        short += sum(listed[name] - seconds > _SHORTER for name, seconds in heard.items())
    what = counted(short, "recording")
    return [f"{what} shorter than listed, by more than {_SHORTER:g} s"] if short else []
