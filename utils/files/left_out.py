"""Files that are left out of a folder of sounds: what they are, and how many."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from utils.runtime.errors import counted, printable

_ENDING = re.compile(r"\.[a-z0-9_-]{1,10}")
# What differs from file to file in a reason: what is in brackets at its end, and numbers.
_DETAILS, _NUMBERS = re.compile(r" \(.*\)$", re.DOTALL), re.compile(r"\b\d[\d.]*\b")


def kind_of(entry: os.DirEntry) -> str:
    """Say what an entry of a folder is: hidden, a folder, or a file by its ending."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    if entry.is_symlink() and Path(entry).is_dir():
        return "symlinked folder"
    ending = Path(entry.name).suffix.lower()
    return ending if _ENDING.fullmatch(ending) else "without an ending"


def by_reason(failed: Mapping[str, str]) -> dict[str, int]:
    """Count files by why they cannot be used, without numbers and other details."""
    return _counts(_NUMBERS.sub("…", _DETAILS.sub("", reason)) for reason in failed.values())


def by_kind(others: Mapping[str, str]) -> dict[str, int]:
    """Count files by their `kind_of`."""
    return _counts(others.values())


def unusable_files(failed: Mapping[str, str]) -> str:
    """Write how many files cannot be used, and why: 3 files cannot be used: 2 hold no samples …"""
    return _in_words("file", " cannot be used", by_reason(failed))


def other_files(others: Mapping[str, str]) -> str:
    """Write how many files are no sounds, and what they are: 24 other files: 5 .pdf, 3 hidden …"""
    return _in_words("other file", "", by_kind(others))


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0])))


def _in_words(what: str, predicate: str, counts: Mapping[str, int]) -> str:
    total = counted(sum(counts.values()), what) + predicate
    parts = ", ".join(f"{count} {printable(kind)}" for kind, count in counts.items())
    return f"{total}: {parts}" if counts else total
