"""The official DCASE 2022 Task 6b evaluation subset: queries and clips, and not which is whose.

Zenodo 6590983: ``retrieval_audio.7z`` (its wavs lie in ``test/``) and ``retrieval_captions.csv``.
N queries, C clips.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets import words
from utils.datasets.numbering import none_usable, sources_json
from utils.datasets.sound_checks import list_wavs, read_sounds
from utils.datasets.splits import (
    AUDIO_INFO_FILE,
    SOURCES_FILE,
    QuerySplit,
    captions_file,
    is_caption,
    is_name,
    is_number,
    load_sources,
)
from utils.files import reading, tables
from utils.files.pickles import safe_unpickle
from utils.runtime.errors import InputError, raise_if_any

SPLIT = "test"


SOURCE = "The Task 6b evaluation subset is at https://zenodo.org/records/6590983"


_COLUMNS = ("cid", "original", "caption", "tokens")


_AGAIN = "Run scripts/02_preprocess_evaluation_set_task6b.py again."


def read_queries_csv(path: Path) -> list[str]:
    """Read the queries, in either of the forms that circulate.

    The official file has the single column ``caption``; the original system's copy is separated by
    tabs, ``file_name`` and ``caption_1``. Its file names are not read: they are no ground truth.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of N str
        Verbatim, in the order of the file; texts like NA or None are texts.

    Raises
    ------
    InputError
        If the file is missing, in neither form, or has empty queries.

    """
    if not path.exists():
        raise InputError(f"no {path}. {SOURCE}; mend eval_data.captions_file.")
    lines = reading.read_text(path).splitlines()
    first = lines[0] if lines else ""
    delimiter = "\t" if "\t" in first else ","
    # The official form has a single column: there an empty line is an empty query.
    rows = tables.read_csv(path, delimiter=delimiter, keep_empty=True)
    header = rows[0][1] if rows else []
    columns = {"caption": 1, "caption_1": 2}
    if not header or columns.get(header[-1]) != len(header):
        raise InputError(
            f"{path}, line 1: the header is {first[:200]!r}, and must be `caption`, or `file_name` "
            f"and `caption_1` separated by a tab. {SOURCE}."
        )
    if len(rows) < 2:
        raise InputError(f"{path} has a header and no queries. {SOURCE}.")
    problems = [
        f"line {line}: {problem}"
        for line, cells in rows[1:]
        if (problem := _row_problem(cells, len(header)))
    ]
    mark = "comma" if delimiter == "," else "tab"
    raise_if_any(problems, path, f"A caption with a {mark} needs quotes. {SOURCE}.")
    return [cells[-1] for _, cells in rows[1:]]


def preprocess_task6b(
    audio_path: Path, captions_path: Path, *, strict: bool = False
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Number queries and clips, each by itself.

    Parameters
    ----------
    audio_path : Path
        Folder of the wavs.
    captions_path : Path
    strict : bool
        Raise at the first wav that cannot be used, instead of leaving it out.

    Returns
    -------
    contents : dict of file name to bytes
        ``audio_info.pkl`` and ``test_captions.json``, as the original system writes them, but with
        no clip beside a caption; and ``audio_sources.json``.
    failed : dict of str to str
        Why wavs cannot be used, by ``split/file name``; they keep their numbers to themselves.

    Raises
    ------
    InputError
        If a file of captions is missing or wrong, not a single wav can be used, or one cannot and
        `strict`.

    """
    queries = read_queries_csv(captions_path)
    names = list_wavs(audio_path) if audio_path.is_dir() else []
    if not names:
        raise InputError(
            f"no wavs in {audio_path}. {SOURCE}: unpack retrieval_audio.7z, and name the folder of "
            "its wavs as eval_data.audio_path."
        )
    sounds, failed = read_sounds(
        {f"{SPLIT}/{name}": audio_path / name for name in names}, root=audio_path, strict=strict
    )
    if not sounds:
        raise none_usable(audio_path, failed)
    found = {
        name: (fid, sound)
        for fid, name in enumerate(names, start=1)
        if (sound := sounds.get(f"{SPLIT}/{name}"))
    }
    audio_info = {
        "audio_fids": {SPLIT: {name: fid for name, (fid, _) in found.items()}},
        "audio_fnames": {SPLIT: list(found)},
        "audio_durations": {SPLIT: [sound.duration for _, sound in found.values()]},
    }
    sources = {SPLIT: {name: sound.source for name, (_, sound) in found.items()}}
    import pandas as pd  # takes half a second, and is for script 02 alone

    table = pd.DataFrame(
        [(i, q, words.clean(q), words.tokens(q)) for i, q in enumerate(queries, start=1)],
        columns=list(_COLUMNS),
    )
    contents = {
        AUDIO_INFO_FILE: pickle.dumps(audio_info, protocol=4),
        captions_file("", SPLIT).name: table.to_json().encode(),
        SOURCES_FILE: sources_json(sources),
    }
    return contents, failed


def load_queries(input_path: Path) -> QuerySplit:
    """Read back what `preprocess_task6b` made.

    Raises
    ------
    InputError
        If a file is missing or is not such a table.

    """
    path = captions_file(input_path, SPLIT)
    info_path = input_path / AUDIO_INFO_FILE
    for needed in (path, info_path):
        if not needed.is_file():
            raise InputError(f"no {needed}. {_AGAIN}")
    table = _part(reading.read_json(path))
    cids, texts = _part(table.get("cid")), _part(table.get("original"))
    whole = cids.keys() == texts.keys() and all(map(is_caption, texts.values()))
    if not whole or not _numbers(cids):
        raise InputError(f"{path} is no table of queries, each with a number and a text. {_AGAIN}")
    fids = _part(_part(_part(safe_unpickle(info_path)).get("audio_fids")).get(SPLIT))
    if not _numbers(fids) or not all(map(is_name, fids)):
        raise InputError(f"{info_path} holds no clips, each with a name and a number. {_AGAIN}")
    names = sorted(fids, key=fids.get)
    return QuerySplit(
        split=SPLIT,
        cids=np.array(list(cids.values()), dtype=np.int64),
        captions=[texts[row] for row in cids],
        clip_names=names,
        clip_fids=np.array([fids[name] for name in names], dtype=np.int64),
        clip_sources=load_sources(input_path, SPLIT, names),
    )


def _part(value: Any) -> dict:
    """Take a part of a file where it is a mapping; anything else holds nothing."""
    return value if isinstance(value, dict) else {}


def _numbers(numbered: dict[Any, Any]) -> bool:
    """Tell whether there are items, each with a number of its own."""
    values = list(numbered.values())
    return bool(values) and all(map(is_number, values)) and len(set(values)) == len(values)


def _row_problem(cells: list[str], columns: int) -> str | None:
    if cells and len(cells) != columns:
        return f"{len(cells)} columns where the header has {columns}"
    if not cells or not cells[-1].strip():
        return "the caption is empty"
    if "\0" in cells[-1]:
        return f"the caption holds a NUL character: {cells[-1][:200]!r}"
    return None
