"""Files that settings name and a command needs."""

from collections.abc import Iterable
from pathlib import Path

from utils.runtime.errors import InputError

# A key of the settings, its file (None: not set), and what to do where the file is missing.
Needed = tuple[str, Path | None, str]


def require_files(needed: Iterable[Needed]) -> None:
    """Check that the files named by the settings exist.

    Raises
    ------
    InputError
        One message that lists the key and path of each missing file, once.

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
