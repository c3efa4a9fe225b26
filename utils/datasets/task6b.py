"""The official DCASE 2022 Task 6b evaluation subset: queries and clips without their relation.

Zenodo 6590983: ``retrieval_audio.7z`` (its wavs are in ``test/``) and ``retrieval_captions.csv``.
N queries, C clips.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets import words
from utils.datasets.numbering import number_clips, pickled, sources_json
from utils.datasets.sound_checks import list_wavs
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
AUDIO_INFO_JSON = "audio_info.json"

_COLUMNS = ("cid", "original", "caption", "tokens")
_AGAIN = "Run scripts/02_preprocess_evaluation_set_task6b.py again."


def preprocess_task6b(
    audio_path: Path, captions_path: Path, *, strict: bool = False, accept_truncated: bool = False
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Number queries and clips, each by themselves.

    With `strict`, the first wav that cannot be used is refused instead of being left out. With
    `accept_truncated`, truncated wavs are used as far as they go.

    Returns
    -------
    contents : dict of file name to bytes
        ``audio_info.pkl`` and ``test_captions.json``, as the original system writes them, but with
        no clip beside a caption; ``audio_info.json``, which holds the same as the pickle; and
        ``audio_sources.json``.
    failed : dict of str to str
        Why wavs cannot be used, by ``split/file name``; their numbers stay unused.

    Raises
    ------
    InputError
        If a file of captions is missing or wrong, not a single wav can be used, or one cannot and
        `strict`.

    """
    import pandas as pd  # takes half a second, and only script 02 needs it

    queries = read_queries_csv(captions_path)
    names = list_wavs(audio_path) if audio_path.is_dir() else []
    if not names:
        raise InputError(
            f"no wavs in {audio_path}. {SOURCE}: unpack retrieval_audio.7z, and set "
            "eval_data.audio_path to the folder of its wavs."
        )
    clips = number_clips(
        [(SPLIT, name) for name in names],
        {f"{SPLIT}/{name}": audio_path / name for name in names},
        folder=audio_path,
        splits=[SPLIT],
        strict=strict,
        accept_truncated=accept_truncated,
    )
    table = pd.DataFrame(
        [(i, q, words.clean(q), words.tokens(q)) for i, q in enumerate(queries, start=1)],
        columns=list(_COLUMNS),
    )
    contents = {
        AUDIO_INFO_FILE: pickled(clips.audio_info),
        AUDIO_INFO_JSON: json.dumps(clips.audio_info, indent=0).encode(),
        captions_file("", SPLIT).name: table.to_json().encode(),
        SOURCES_FILE: sources_json(clips.sources),
    }
    return contents, clips.failed


def load_queries(input_path: Path) -> QuerySplit:
    """Read back what `preprocess_task6b` made.

    Folders of earlier versions have no ``audio_info.json``; ``audio_info.pkl`` is then read.

    Raises
    ------
    InputError
        If a file is missing or is not such a table.

    """
    path, info_path = captions_file(input_path, SPLIT), input_path / AUDIO_INFO_JSON
    if not info_path.is_file():
        info_path = input_path / AUDIO_INFO_FILE
    for needed in (path, info_path):
        if not needed.is_file():
            raise InputError(f"no {needed}. {_AGAIN}")
    table = _as_dict(reading.read_json(path))
    cids, texts = _as_dict(table.get("cid")), _as_dict(table.get("original"))
    complete = cids.keys() == texts.keys() and all(map(is_caption, texts.values()))
    if not complete or not _are_numbered(cids):
        raise InputError(
            f"{path} is not a table of queries, each with a number and a text. {_AGAIN}"
        )
    read = reading.read_json if info_path.name == AUDIO_INFO_JSON else safe_unpickle
    fids = _as_dict(_as_dict(_as_dict(read(info_path)).get("audio_fids")).get(SPLIT))
    if not _are_numbered(fids) or not all(map(is_name, fids)):
        raise InputError(
            f"{info_path} is not a list of clips, each with a name and a number. {_AGAIN}"
        )
    names = sorted(fids, key=fids.get)
    return QuerySplit(
        split=SPLIT,
        cids=np.array(list(cids.values()), dtype=np.int64),
        captions=[texts[row] for row in cids],
        clip_names=names,
        clip_fids=np.array([fids[name] for name in names], dtype=np.int64),
        clip_sources=load_sources(input_path, SPLIT, names),
    )


def read_queries_csv(path: Path) -> list[str]:
    """Read the queries, in either of the two forms that circulate.

    The official file has the single column ``caption``. The original system's copy is separated by
    tabs: ``file_name`` and ``caption_1``. Its file names are not read: they are not ground truth.

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
        raise InputError(f"no {path}. {SOURCE}; fix eval_data.captions_file.")
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


def _as_dict(value: Any) -> dict:
    """Return a part of a file, or an empty dict if it is not a dict."""
    return value if isinstance(value, dict) else {}


def _are_numbered(items: dict[Any, Any]) -> bool:
    """Tell whether there are items, each with a number of its own."""
    values = list(items.values())
    return bool(values) and all(map(is_number, values)) and len(set(values)) == len(values)


def _row_problem(cells: list[str], columns: int) -> str | None:
    if cells and len(cells) != columns:
        return f"{len(cells)} columns where the header has {columns}"
    if not cells or not cells[-1].strip():
        return "the caption is empty"
    if "\0" in cells[-1]:
        return f"the caption contains a NUL character: {cells[-1][:200]!r}"
    return None
