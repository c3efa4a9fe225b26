"""7z archives: their files listed, and unpacked without trusting their names."""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from utils.files.download import Progress
from utils.files.reading import is_file_name
from utils.files.writing import require_room
from utils.runtime.errors import InputError, first_line, printable

if TYPE_CHECKING:  # its import takes a moment
    import py7zr


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    path: str  # with its folders
    size: int  # bytes

    @property
    def name(self) -> str:
        """Its name without folders."""
        return PurePosixPath(self.path).name


def list_members(archive: Path) -> list[Member]:
    """List the regular files of a 7z archive.

    Raises
    ------
    InputError
        If the archive is damaged, or a path in it leads out of the folder that it is unpacked in.

    """
    with _opened(archive) as opened:
        files = [file for file in opened.list() if not file.is_directory]
    for file in files:
        if not file.is_file or not all(map(is_file_name, file.filename.split("/"))):
            raise InputError(
                f"{archive} holds {printable(file.filename)!r}, which is a link or leads out of "
                "its folder. Nothing was unpacked; get the archive from its publisher."
            )
    return [Member(file.filename, file.uncompressed) for file in files]


def unpack(
    archive: Path, members: Collection[Member], folder: Path, *, progress: Progress | None = None
) -> None:
    """Unpack files of a 7z archive into a folder, without the folders that they have inside it.

    A file appears under its name only when it is complete and its checksum is right; one of that
    name that is there already is replaced. What is interrupted starts again. The folder is made if
    missing. `progress` is given the bytes of the archive that have been read.

    Raises
    ------
    InputError
        If the archive is damaged, the disk has too little room, or a file cannot be written.

    """
    unfinished = _unfinished(archive)
    try:
        remove_unfinished(archive)
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(member.size for member in members)
        require_room(folder, size, f"what {archive.name} holds")
        with (
            progress(archive.stat().st_size) if progress else contextlib.nullcontext() as bar,
            _opened(archive, advance=bar and bar.update) as opened,
        ):
            opened.extract(unfinished, [member.path for member in members])
        os.sync()  # before any of them has its final name
        for member in members:
            (unfinished / member.path).replace(folder / member.name)
    except OSError as error:
        raise InputError(
            f"cannot unpack {archive} into {folder}: {error}. Check that it may be written to and "
            "that the disk has room, and run the same command again."
        ) from error
    finally:
        remove_unfinished(archive)


def remove_unfinished(archive: Path) -> None:
    """Remove what a killed `unpack` left beside an archive."""
    shutil.rmtree(_unfinished(archive), ignore_errors=True)


def _unfinished(archive: Path) -> Path:
    return archive.with_name(archive.name + ".unpacking")


class _Counted(io.FileIO):
    """A file that reports how many bytes are read from it."""

    advance: Callable[[int], object] | None = None

    def read(self, size: int = -1) -> bytes:
        piece = super().read(size)
        if self.advance:
            self.advance(len(piece))
        return piece


@contextlib.contextmanager
def _opened(
    archive: Path, *, advance: Callable[[int], object] | None = None
) -> Iterator[py7zr.SevenZipFile]:
    """Open a 7z archive, and turn what it raises about its content into an InputError."""
    import py7zr

    try:
        # An open file is unpacked by the main thread, which Ctrl-C can stop.
        with _Counted(archive) as file, py7zr.SevenZipFile(file) as opened:
            file.advance = advance
            yield opened
    except (py7zr.exceptions.ArchiveError, lzma.LZMAError, EOFError) as error:
        raise InputError(
            f"cannot unpack {archive}: {first_line(error)}. It is damaged, or its kind is not "
            "supported. Get it again, or unpack it with another program."
        ) from error
