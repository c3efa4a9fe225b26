"""Excerpts as an M3U8 playlist. VLC plays parts; other players play the whole sound."""

import os
from collections.abc import Callable, Sequence
from urllib.parse import quote

from utils.runtime.errors import printable
from utils.search.excerpts import Excerpt


def as_m3u8(excerpts: Sequence[Excerpt], *, place: Callable[[str], str]) -> bytes:
    """Write an entry for each excerpt; `place` is that of `utils.search.exports.tables.as_csv`."""
    lines = ["#EXTM3U"]
    for excerpt in excerpts:
        title = printable(os.path.basename(excerpt.known_as))  # noqa: PTH119 - not of this disk
        lines.append(f"#EXTINF:{excerpt.end - excerpt.start:.3f},{title}")
        if excerpt.is_part:
            lines.append(f"#EXTVLCOPT:start-time={excerpt.start:.3f}")
            lines.append(f"#EXTVLCOPT:stop-time={excerpt.end:.3f}")
        lines.append(_address(place(excerpt.known_as)))
    return ("\n".join(lines) + "\n").encode()


def _address(path: str) -> str:
    """Write a path; as a URL if a line cannot hold it, because of line breaks or invalid UTF-8."""
    if path.isprintable():
        return f"./{path}" if path.startswith("#") or path != path.strip() else path
    escaped = quote(os.fsencode(path))
    return f"file://{escaped}" if path.startswith("/") else escaped
