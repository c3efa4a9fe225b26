"""Clotho's own files, read and checked: caption CSVs, and the wavs that they name.

The folder contains ``development/ validation/ evaluation/`` with wavs, and one
``clotho_captions_{split}.csv`` for each.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.datasets.numbering import Preprocessed, number
from utils.datasets.sound_checks import WAV_SUFFIX, Progress, list_wavs
from utils.datasets.splits import SPLITS
from utils.files import reading
from utils.files.tables import header_problem, read_csv
from utils.runtime.errors import InputError, counted, raise_if_any, shorten

SOURCE = (
    "Clotho v2.1 is at https://zenodo.org/records/4783391; scripts/00_make_demo_data.py makes a "
    "small demo set in the same layout"
)


def preprocess_clotho(
    dataset_path: Path,
    *,
    allow_missing: bool = False,
    strict: bool = False,
    accept_truncated: bool = False,
    progress: Progress | None = None,
) -> Preprocessed:
    """Read and check Clotho's captions and wavs, and number them.

    Clips are numbered from 1 through the splits (fid), by sorted file name; captions as well, in
    the order of the CSV files (cid). The numbers of clips that are left out stay unused, so that
    all others have the numbers that they have in the complete set. With `accept_truncated`,
    truncated wavs are used as far as they go.

    Raises
    ------
    InputError
        If a file of captions is missing or wrong, if two wavs fit one name, if not a single wav can
        be used, if `strict` and one cannot, or, unless `allow_missing`, if one is missing.

    """
    tables = {
        split: read_captions_csv(dataset_path / f"clotho_captions_{split}.csv") for split in SPLITS
    }
    absent = [str(folder) for split in SPLITS if not (folder := dataset_path / split).is_dir()]
    if absent and not allow_missing:
        raise InputError(
            f"no folder {', '.join(absent)}. {SOURCE}. With --allow-missing the clips of a missing "
            f"folder are left out."
        )
    clips, wavs, extra = [], {}, []
    for split, table in tables.items():
        folder = dataset_path / split
        there = list_wavs(folder) if folder.is_dir() else []
        found = find_audio(folder, table) if there else {}
        matched = {path.name for path in found.values()}
        others = {name: folder / name for name in there if name not in matched}
        clips += [(split, name) for name in sorted(table.keys() | others)]
        wavs |= {f"{split}/{name}": path for name, path in (found | others).items()}
        extra += [f"{split}/{name}" for name in others]
    missing = [id for split, name in clips if (id := f"{split}/{name}") not in wavs]
    if missing and not allow_missing:
        raise InputError(
            f"{counted(len(missing), 'clip')} of {dataset_path} without a wav:\n"
            f"{shorten(missing)}\n"
            f"Put them in place ({SOURCE}), or continue without them by --allow-missing."
        )
    captions = {
        split: [(name, caption) for name, of_clip in table.items() for caption in of_clip]
        for split, table in tables.items()
    }
    return number(
        clips,
        wavs,
        captions,
        folder=dataset_path,
        extra=extra,
        strict=strict,
        accept_truncated=accept_truncated,
        progress=progress,
    )


def read_captions_csv(path: str | Path) -> dict[str, list[str]]:
    """Read a ``clotho_captions_{split}.csv``: header file_name,caption_1,…,caption_k.

    Returns the captions of each file name, both verbatim and in the order of the file.

    Raises
    ------
    InputError
        If the file is missing or wrong. The message counts all problems and shows the first ten.

    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no {path}. {SOURCE}.")
    rows = read_csv(path)
    header = rows[0][1] if rows else []
    if len(header) < 2 or header != caption_header(len(header) - 1):
        wanted = "file_name,caption_1,caption_2 and so on"
        raise InputError(f"{header_problem(path, header, wanted)} {SOURCE}.")
    captions: dict[str, list[str]] = {}
    first_line: dict[str, int] = {}
    problems = []
    for line, cells in rows[1:]:
        problems += [f"line {line}: {problem}" for problem in _row_problems(cells, header)]
        name = cells[0]
        if (first := first_line.setdefault(name, line)) != line:
            problems.append(f"line {line}: {name!r} is already on line {first}")
        captions[name] = cells[1:]
    raise_if_any(problems, path, f"Fix the file, or use the published one. {SOURCE}.")
    if not captions:
        raise InputError(f"{path} has a header and no clips. {SOURCE}.")
    return captions


def caption_header(captions: int) -> list[str]:
    """Name the columns of a file of captions: file_name, caption_1, ..., caption_<captions>."""
    return ["file_name", *(f"caption_{number}" for number in range(1, captions + 1))]


def find_audio(folder: str | Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the wavs of a folder that belong to file names.

    A file of exactly that name comes first. Tools that unpack archives strip spaces differently:
    a name without such a file takes the one file that differs only in spaces around the stem, or
    in the case of the suffix.

    The result is in the order of `names`, which end in .wav. Names without a file are left out.

    Raises
    ------
    InputError
        If the folder cannot be read, or if several files or names could belong together.

    """
    folder = Path(folder)
    names = list(dict.fromkeys(names))
    on_disk = list_wavs(folder)
    files_by_stem = _by_stem(set(on_disk) - set(names))
    names_by_stem = _by_stem(set(names) - set(on_disk))
    found = {name: name for name in set(names) & set(on_disk)}
    problems = []
    for stem in sorted(names_by_stem.keys() & files_by_stem.keys()):
        wanted, there = sorted(names_by_stem[stem]), sorted(files_by_stem[stem])
        if len(wanted) == len(there) == 1:
            found[wanted[0]] = there[0]
        else:
            problems.append(f"{_quoted(wanted)} could be {_quoted(there)}")
    if problems:
        raise InputError(
            f"names that differ only in spaces or in the case of {WAV_SUFFIX} cannot be matched in "
            f"{folder}:\n{shorten(problems)}\nGive each file exactly the name in the captions."
        )
    return {name: folder / found[name] for name in names if name in found}


def require_audio(folder: str | Path, names: Sequence[str]) -> list[Path]:
    """Find the wav of each file name, in the same order; all must be there.

    Raises
    ------
    InputError
        If a name has no file, or if `find_audio` raises one.

    """
    found = find_audio(folder, names)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{counted(len(missing), 'wav')} of {len(names)} not in {folder}:\n"
            f"{shorten([repr(name) for name in missing])}\n"
            f"Put them in place, or leave them out by scripts/01_preprocess.py --allow-missing."
        )
    return [found[name] for name in names]


def _row_problems(cells: list[str], header: list[str]) -> list[str]:
    name = cells[0]
    problems = []
    if len(cells) != len(header):
        problems.append(
            f"{name[:200]!r} has {len(cells)} columns where the header has "
            f"{len(header)}; a text with a comma needs quotes"
        )
    if name and not reading.is_file_name(name):
        problems.append(f"{name!r} is not a plain file name")
    elif not name.lower().endswith(WAV_SUFFIX):
        problems.append(f"{name!r} does not end in {WAV_SUFFIX}")
    for column, caption in zip(header[1:], cells[1:], strict=False):
        if not caption.strip():
            problems.append(f"{column} of {name!r} is empty")
        elif "\0" in caption:
            problems.append(f"{column} of {name!r} contains a NUL character: {caption!r}")
    return problems


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name in names:
        groups[name[: -len(WAV_SUFFIX)].strip()].append(name)
    return groups


def _quoted(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
