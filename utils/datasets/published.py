"""Clotho and the Task 6b evaluation subset as Zenodo has them: downloaded, verified, unpacked.

MD5s: https://zenodo.org/records/4783391 and https://zenodo.org/records/6590983.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.datasets import clotho
from utils.datasets.sound_checks import is_wav
from utils.files import archives, tables
from utils.files.download import Progress, download, has_checksum
from utils.files.writing import require_room
from utils.runtime import terminal
from utils.runtime.errors import InputError, counted, shorten

_QUERY = "?download=1"  # as Zenodo's own links; other servers ignore it
_GB = 10**9


@dataclass(frozen=True)
class Sounds:
    """An archive of wavs."""

    archive: str
    md5: str
    folder: str  # for its wavs
    listed_in: str  # a table with their names in its column file_name
    encoding: str  # of that table
    packed: float  # size of the archive, in GB, about
    unpacked: float  # size of its wavs, in GB, about


@dataclass(frozen=True)
class Release:
    """A data set as it is published."""

    title: str
    url: str  # of the folder of its files
    tables: dict[str, str]  # MD5s by name
    sounds: tuple[Sounds, ...]  # largest first, which takes the least room


CLOTHO = Release(
    title="Clotho v2.1",
    url="https://zenodo.org/records/4783391/files",
    tables={
        "clotho_captions_development.csv": "d4090b39ce9f2491908eebf4d5b09bae",
        "clotho_captions_validation.csv": "5879e023032b22a2c930aaa0528bead4",
        "clotho_captions_evaluation.csv": "1b16b9e57cf7bdb7f13a13802aeb57e2",
        "clotho_metadata_development.csv": "170d20935ecfdf161ce1bb154118cda5",
        "clotho_metadata_validation.csv": "2e010427c56b1ce6008b0f03f41048ce",
        "clotho_metadata_evaluation.csv": "13946f054d4e1bf48079813aac61bf77",
    },
    sounds=tuple(
        Sounds(
            archive=f"clotho_audio_{split}.7z",
            md5=md5,
            folder=split,
            listed_in=f"clotho_captions_{split}.csv",
            encoding="utf-8-sig",
            packed=packed,
            unpacked=unpacked,
        )
        for split, md5, packed, unpacked in (
            ("development", "c8b05bc7acdb13895bb3c6a29608667e", 5.0, 7.7),
            ("validation", "7dba730be08bada48bd15dc4e668df59", 1.4, 2.2),
            ("evaluation", "4569624ccadf96223f19cb59fe4f849f", 1.4, 2.2),
        )
    ),
)
TASK6B = Release(
    title="the Task 6b evaluation subset",
    url="https://zenodo.org/records/6590983/files",
    tables={
        "retrieval_captions.csv": "f9e810118be00c64ea8cd7557816d4fe",
        "retrieval_audio_metadata.csv": "1301db07acbf1e4fabc467eb54e0d353",
    },
    sounds=(
        Sounds(
            archive="retrieval_audio.7z",
            md5="24102395fd757c462421a483fba5c407",
            folder="test",
            listed_in="retrieval_audio_metadata.csv",
            encoding="iso-8859-1",
            packed=1.4,
            unpacked=2.2,
        ),
    ),
)


class Getting:
    """Brings what a folder lacks of a published data set.

    Attributes
    ----------
    done : bool
        Whether anything was lacking.

    Parameters
    ----------
    release : Release
    folder : Path
        Gets the tables, and a folder of wavs for each archive.
    url : str, optional
        Of a folder on another server with the same files.
    keep_archives : bool
        Keep archives after their wavs have been unpacked.
    summary : Summary
        Prints what is read and written.
    progress : callable
        Given what is done, returns a `utils.files.download.Progress`.

    """

    def __init__(
        self,
        release: Release,
        folder: Path,
        *,
        url: str | None = None,
        keep_archives: bool = False,
        summary: terminal.Summary,
        progress: Callable[[str], Progress],
    ) -> None:
        self._release, self._folder = release, folder
        self._url = (url or release.url).rstrip("/")
        self._keep_archives = keep_archives
        self._summary, self._progress = summary, progress
        self.done = False

    def run(self) -> dict[str, int]:
        """Download, verify and unpack what is lacking; returns the number of wavs by folder.

        What an interrupted run has downloaded is resumed; one archive after another is unpacked.

        Raises
        ------
        InputError
            If a file cannot be downloaded, is not the published one, cannot be unpacked or does not
            fit on the disk, or if an archive does not hold what its table lists.

        """
        for name, md5 in self._release.tables.items():
            self._get(name, md5)
        names = {sounds: self._names(sounds) for sounds in self._release.sounds}
        lacking = [sounds for sounds in names if self._without_wav(sounds, names[sounds])]
        if lacking:
            for sounds in lacking:
                archives.remove_unfinished(self._folder / sounds.archive)
            room = self._room({sounds: names[sounds] for sounds in lacking})
            require_room(self._folder, room, self._release.title)
        for sounds in lacking:
            archive = self._get(sounds.archive, sounds.md5)
            self._unpack(sounds, archive)
            if still := self._without_wav(sounds, names[sounds]):
                raise InputError(
                    f"{archive} was unpacked, but {counted(len(still), 'clip')} of "
                    f"{sounds.listed_in} has no wav in {self._folder / sounds.folder}:\n"
                    f"{shorten(still)}\nscripts/01_preprocess.py --allow-missing continues without."
                )
            if not self._keep_archives:
                archive.unlink()
        return {sounds.folder: len(names[sounds]) for sounds in names}

    def _get(self, name: str, md5: str) -> Path:
        """Download a file, or verify the one that is there."""
        path, checksum = self._folder / name, f"md5:{md5}"
        if not path.exists():
            self.done = True
            url = f"{self._url}/{name}"
            self._summary.notes(f"reads  {url}")
            download(url + _QUERY, path, checksum=checksum, progress=self._progress(name))
            self._summary.writes(path)
        elif not has_checksum(path, checksum):
            raise InputError(
                f"{path} is not the published file: its MD5 is not {md5}. Move it away, and run "
                "the same command again to download the published one."
            )
        return path

    def _names(self, sounds: Sounds) -> list[str]:
        """Read the names of the wavs that belong to an archive."""
        (_, header), *rows = tables.read_csv(
            self._folder / sounds.listed_in, encoding=sounds.encoding
        )
        return [cells[header.index("file_name")] for _, cells in rows]

    def _without_wav(self, sounds: Sounds, names: Sequence[str]) -> list[str]:
        found = self._found(sounds, names)
        return [name for name in names if name not in found]

    def _found(self, sounds: Sounds, names: Iterable[str]) -> dict[str, Path]:
        folder = self._folder / sounds.folder
        return clotho.find_audio(folder, names) if folder.is_dir() else {}

    def _room(self, lacking: Mapping[Sounds, Sequence[str]]) -> int:
        """Return the bytes that getting sounds, with their names, takes at its height, about."""
        most = held = 0.0
        for sounds, names in lacking.items():
            archive = self._folder / sounds.archive
            downloaded = _size([archive, archive.with_name(f"{archive.name}.partial")])
            packed = max(0.0, sounds.packed - downloaded)
            unpacked = max(0.0, sounds.unpacked - _size(self._found(sounds, names).values()))
            most = max(most, held + packed + unpacked)
            held += unpacked + (packed if self._keep_archives else -downloaded)
        return round(most * _GB)

    def _unpack(self, sounds: Sounds, archive: Path) -> None:
        """Unpack the wavs that are not there; what is there is never replaced."""
        folder = self._folder / sounds.folder
        wavs = [member for member in archives.list_members(archive) if is_wav(member.name)]
        members = {member.name: member for member in wavs}
        if len(members) < len(wavs):
            raise InputError(f"{archive} holds wavs of the same name in several folders.")
        found = self._found(sounds, members)
        lacking = [member for name, member in members.items() if name not in found]
        self.done = True
        archives.unpack(archive, lacking, folder, progress=self._progress(f"unpack {archive.name}"))
        self._summary.notes(f"writes {terminal.shown(folder)}: {counted(len(lacking), 'wav')}")
        other = [
            name
            for name, path in found.items()
            if path.is_file() and path.stat().st_size != members[name].size
        ]
        if other:
            self._summary.notes(
                f"kept, though of another size than in the archive:\n{shorten(other)}"
            )


def _size(paths: Iterable[Path]) -> float:
    """Add up the sizes of those files that exist, in GB."""
    return sum(path.stat().st_size for path in paths if path.is_file()) / _GB
