"""A library of made-up sounds: tiny wavs that differ, and an index that has numbers for each.

The index is of the form that came before the database, of files that anyone can write: a list of
files, and a journal of rows. Builds of that time read it, and later ones convert it, once.

Shapes: D numbers of a row's mean, K tags.
"""

import hashlib
import io
import json
import os
import secrets
import shutil
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.architectures import SILENCE
from utils.benchmark.made_up_clips import MadeUpClips

_IN_A_FOLDER = 1000  # sounds
_RATE = 8000
_BYTES = 8  # of samples in a sound
_AT_ONCE = 20_000  # rows
_FORMAT = 2  # of the index
_SHIFT = -2.5  # of all logits: as few tags above 0.05 as real sounds have
_NO_SILENCE = -10.0  # logit
_LONGEST_NAME = 150


class MadeUpLibrary:
    """Sounds that are named after what they are said to contain.

    Parameters
    ----------
    folder : Path
        Made; has the sounds. Their logits are kept beside it.
    count : int
    names, vectors
        Of K tags: see `MadeUpClips`.

    Attributes
    ----------
    files : dict of str to tuple
        Size, modification time in ns, and SHA-256 of each file by its path.

    """

    def __init__(
        self, folder: Path, count: int, names: list[str], vectors: NDArray[np.float32]
    ) -> None:
        self.folder = folder
        self._rows: dict[tuple[int, int], Path] = {}  # by D and K
        self.files: dict[str, tuple[int, int, str]] = {}
        self._header = _wav(bytes(_BYTES))[:-_BYTES]
        clips = MadeUpClips(names, vectors, rng=np.random.default_rng(0))
        folder.mkdir(parents=True)
        self._logits = np.lib.format.open_memmap(
            folder.with_name("logits.npy"), "w+", dtype="<f2", shape=(count, len(names))
        )
        for first in range(0, count, _AT_ONCE):
            part = self._logits[first : first + _AT_ONCE]
            part[:], tags = clips.draw(len(part))
            for number, of_clip in enumerate(tags, first):
                self._write(number, clips.describe(of_clip))
        self._logits += _SHIFT
        self._logits[:, SILENCE] = _NO_SILENCE

    def change(self, count: int, *, seed: int) -> None:
        """Write other sounds of half a second into files that are spread over the library."""
        rng = np.random.default_rng(seed)
        names = list(self.files)
        for name in names[:: len(names) // count][:count]:
            samples = rng.integers(-8000, 8000, _RATE // 2, np.int16)
            (self.folder / name).write_bytes(_wav(samples.astype("<i2").tobytes()))

    def write_index(self, index: Path, *, origin: Mapping[str, Any], width: int, tags: int) -> None:
        """Write an index of the sounds with made-up rows.

        Parameters
        ----------
        index : Path
            Made.
        origin, width, tags
            See `utils.search.library.update_library`.

        """
        journal = index / "passages"
        journal.mkdir(parents=True)
        listed = {name: [size, at, source, None] for name, (size, at, source) in self.files.items()}
        content = {"format": 1, "folder": str(self.folder.resolve()), "files": listed}
        (index / "files.json").write_text(json.dumps(content), encoding="utf-8")
        with (journal / "keys.jsonl").open("w", encoding="ascii") as file:
            for *_, source in self.files.values():
                passage = json.dumps([source, 0, True, 0.0, 0.001, ""])
                file.write(json.dumps(passage) + "\n")
        if (width, tags) in self._rows:
            shutil.copyfile(self._rows[width, tags], journal / "rows.f32")
        else:
            self._write_rows(journal / "rows.f32", width, tags)
        self._rows[width, tags] = journal / "rows.f32"
        described = {"width": width + (tags + 1) // 2, **origin, "format": _FORMAT}
        (journal / "origin.json").write_text(json.dumps(described, sort_keys=True), "utf-8")
        (journal / "generation").write_text(secrets.token_hex(8), "ascii")

    def _write(self, number: int, description: str) -> None:
        top = f"{number // _IN_A_FOLDER:04}"
        if number % _IN_A_FOLDER == 0:
            (self.folder / top).mkdir()
        name = f"{top}/{description[:_LONGEST_NAME].replace('/', ' ')} {number}.wav"
        data = self._header + number.to_bytes(_BYTES, "little")
        with (self.folder / name).open("wb", buffering=0) as file:
            file.write(data)
            status = os.fstat(file.fileno())
        source = hashlib.sha256(data).hexdigest()
        self.files[name] = (status.st_size, status.st_mtime_ns, source)

    def _write_rows(self, path: Path, width: int, tags: int) -> None:
        rng = np.random.default_rng(1)
        with path.open("wb") as file:
            for first in range(0, len(self._logits), _AT_ONCE):
                logits = self._logits[first : first + _AT_ONCE]
                rest = rng.standard_normal((len(logits), width - tags), np.float32)
                peaks = np.pad(logits, ((0, 0), (0, tags % 2))).view("<f4")
                np.hstack([logits.astype("<f4"), rest, peaks], dtype="<f4").tofile(file)


def _wav(samples: bytes) -> bytes:
    """Write a mono wav of 16 bits."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples)
    return data.getvalue()
