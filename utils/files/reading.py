"""Files that are read without trusting them."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError, unreadable


def sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file, see `digest`."""
    return digest(path, "sha256")


def digest(path: str | Path, kind: str) -> str:
    """Compute a hash of a file, md5 or sha256, as lower-case hexadecimal digits.

    Raises
    ------
    InputError
        If the file cannot be read.

    """
    new = partial(hashlib.new, kind, usedforsecurity=False)
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, new).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def read_bytes(path: str | Path) -> bytes:
    """Read a file.

    Raises
    ------
    InputError
        If it cannot be read.

    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: str | Path, *, encoding: str = "utf-8-sig") -> str:
    """Read a text file with its line ends; a byte-order mark of UTF-8 is dropped.

    Raises
    ------
    InputError
        If the file cannot be read or is not in that encoding.

    """
    content = read_bytes(path)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file "
            f"with the encoding UTF-8, or download it again."
        ) from error


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8 or is not JSON.

    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error


def is_file_name(name: str) -> bool:
    """Whether a text is the name of a file, not a path that could lead out of its folder."""
    return name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0")
