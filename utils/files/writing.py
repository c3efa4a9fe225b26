"""Files written whole or not at all, and files read without trusting them."""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from utils.files.locks import hold
from utils.runtime import interrupts
from utils.runtime.errors import InputError

_SHOWN = 200  # characters of a header


@contextlib.contextmanager
def atomic_write(
    path: str | Path, mode: Literal["wb", "w+b", "w"] = "wb", *, encoding: str = "utf-8"
) -> Iterator[IO]:
    """Open a file for writing that appears under its name only when all of it is on the disk.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder is made where it is missing.
    mode : "wb", "w+b" or "w"
        Bytes, bytes that can be read back while writing, or text, whose line ends are not
        translated.
    encoding : str
        Of text; ignored for bytes.

    Yields
    ------
    file object
        A temporary file beside `path`. It takes the place of `path` when the block ends, and is
        removed when the block raises: an older file then stays as it was.

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    path = Path(path)
    text_options = {} if "b" in mode else {"encoding": encoding, "newline": ""}
    try:
        # Deferred, so that nothing is raised once another process may have the temporary file.
        with interrupts.deferred(), _temporary(path) as (descriptor, temporary):
            with open(descriptor, mode, closefd=False, **text_options) as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}. Check that its folder may be written to and that the "
            f"disk has room."
        ) from error


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[int, Path]]:
    """Hold the one temporary file of a file, empty; it is removed if the block raises.

    As every write to the same file takes the same one, none is left behind for good by a process
    that was killed; and as it is locked, none is taken from a process that is at work.
    """
    # Of its own length, because the name of the file itself may already be as long as is allowed.
    name = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:16]
    temporary = path.parent / f".{name}.tmp"
    try:
        descriptor = hold(temporary)
    except BlockingIOError:
        raise InputError(
            f"another run is writing {path} at this moment. Wait for it, or stop it."
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        yield descriptor, temporary
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_if_changed(path: str | Path, content: bytes) -> bool:
    """Write a file atomically, unless it holds these bytes already.

    Parameters
    ----------
    path : str or Path
    content : bytes

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    InputError
        If the file cannot be written.

    """
    with contextlib.suppress(OSError):
        if Path(path).read_bytes() == content:
            return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file, as 64 lower-case hexadecimal digits.

    Raises
    ------
    InputError
        If the file cannot be read.

    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


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
        raise _unreadable(path, error) from error


def read_text(path: str | Path, *, encoding: str = "utf-8-sig") -> str:
    """Read a text file as it stands, line ends included; in UTF-8 a byte order mark is dropped.

    Raises
    ------
    InputError
        If the file cannot be read or is not in that encoding, UTF-8 unless told.

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


def read_csv(
    path: str | Path,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    keep_empty: bool = False,
) -> list[tuple[int, list[str]]]:
    """Read the rows of a CSV file, every cell verbatim.

    Parameters
    ----------
    path : str or Path
        A file with any line ends.
    delimiter : str
        What stands between cells.
    encoding : str
        UTF-8, with or without a byte order mark, unless told.
    keep_empty : bool
        Whether an empty line before the last row counts as a row without cells; else it is left
        out.

    Returns
    -------
    list of (int, list of str)
        The line on which a row begins, counted from 1, and its cells.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8, or has a quote that is never closed.

    """
    text = read_text(path, encoding=encoding)
    if "\0" in text.split("\n", 1)[0]:
        raise InputError(
            f"{path}, line 1: it holds NUL characters, as UTF-16 does. Save the file with the "
            "encoding UTF-8."
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells or keep_empty:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {line}: the row that begins here is not valid CSV ({error}). A cell "
            f"with quotes inside needs quotes around it, and each inner one doubled."
        ) from error
    while rows and not rows[-1][1]:
        rows.pop()
    return rows


def write_csv(file: IO[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows of a CSV file so that `read_csv` gives every cell back verbatim."""
    plain = csv.writer(file, lineterminator="\n")
    # A lone carriage return ends a line for those who read it, and the writer does not quote it.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)


def header_problem(path: str | Path, header: Sequence[str], wanted: str) -> str:
    """Say what is wrong with the header of a CSV file, and how its columns seem to be separated."""
    if not header:
        return f"{path} is empty: its header must be {wanted}."
    found = ",".join(header)
    other = next((mark for mark in "\t;|" if len(header) == 1 and mark in found), None)
    hint = f" Its columns look separated by {other!r}: save it with commas." if other else ""
    return f"{path}, line 1: the header is {found[:_SHOWN]!r}, and must be {wanted}.{hint}"


def is_file_name(name: str) -> bool:
    """Tell the plain name of a file from a path, which could lead out of its folder."""
    return name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0")


def _unreadable(path: str | Path, error: OSError) -> InputError:
    return InputError(f"cannot read {path}: {error.strerror or error}.")
