"""Names of new files in a folder that may have others."""

import itertools
import os
from pathlib import Path

_LONGEST = 255  # bytes, of most file systems
_ROOM = 8  # bytes, for a number


def free_name(folder: Path, stem: str, ending: str) -> Path:
    """Return a path that does not exist: with a number in brackets if the name is taken.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "rain.wav").touch()
    ...     free_name(Path(folder), "rain", ".wav").name
    'rain (2).wav'

    """
    most = _LONGEST - len(os.fsencode(ending)) - _ROOM
    raw = os.fsencode(stem)
    if len(raw) > most:
        stem = raw[:most].decode(errors="ignore") if _is_utf8(raw) else os.fsdecode(raw[:most])
    numbers = itertools.chain([""], (f" ({number})" for number in itertools.count(2)))
    paths = (folder / f"{stem}{number}{ending}" for number in numbers)
    return next(path for path in paths if not os.path.lexists(path))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
