"""Files that settings name and a command needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from utils.runtime.errors import InputError

if TYPE_CHECKING:  # utils.settings.config imports this module
    pass


# A key of the settings, the file that it names (None: none is named), and what to do without it.
Needed = tuple[str, Path | None, str]


def require_files(needed: Iterable[Needed]) -> None:
    """Refuse to begin where files are missing that the settings name: one message for all.

    Parameters
    ----------
    needed : iterable of (str, Path or None, str)
        Key of the settings, file, and what to do where it is missing. A file that several need is
        told once.

    Raises
    ------
    InputError
        Listing key and path of each.

    """
    missing: dict[str, None] = {}
    for key, path, advice in needed:
        if path is not None and not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "no such file"
            missing[f"{key}: {path}: {what}. {advice}"] = None
    if len(missing) == 1:
        raise InputError(next(iter(missing)))
    if missing:
        listing = "\n".join(f"  - {line}" for line in missing)
        raise InputError(f"{len(missing)} files are missing:\n{listing}")
