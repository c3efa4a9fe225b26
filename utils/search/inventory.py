"""What became of the files of a folder: taken, duplicates, unusable, or not sounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils.files.left_out import by_kind, by_reason
from utils.search.library import Library
from utils.search.sound_folder import Changes


@dataclass(frozen=True)
class Inventory:
    """The files of a folder.

    Attributes
    ----------
    files : int
        Sound files that are searched.
    sounds : int
        Different contents of them.
    failed : mapping of str to str
        Sound files that cannot be used, and why.
    others : mapping of str to str
        All other files, hidden files and symlinked folders: `utils.files.left_out.kind_of`.

    """

    files: int
    sounds: int
    failed: Mapping[str, str]
    others: Mapping[str, str]

    @classmethod
    def of(cls, library: Library, changes: Changes) -> "Inventory":
        """Take stock of a library and the scan that it was made from."""
        return cls(*library.count(), library.failed, changes.others)

    def counts(self) -> dict[str, Any]:
        """Count them, for programs."""
        return {
            "files": self.files,
            "sounds": self.sounds,
            "duplicates": self.files - self.sounds,
            "unusable": by_reason(self.failed),
            "other": by_kind(self.others),
        }
