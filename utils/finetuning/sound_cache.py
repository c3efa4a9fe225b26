"""Decoded sounds on disk, so that the network never waits for decoding.

A file per sound holds its mean over the channels at 32 kHz, as 16-bit integers without a header:
64 kB per second.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.architectures import SAMPLE_RATE
from utils.audio.sound_file import UnusableSound, mono_blocks
from utils.files.writing import atomic_write
from utils.runtime.pools import map_ahead

FULL_SCALE = 2**15
_TYPE = np.dtype("<i2")


class SoundCache:
    """A folder of decoded sounds, which are found by their fingerprints.

    See `utils.audio.sound_file.fingerprint`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(
        self,
        paths: Mapping[str, Path],
        sources: Mapping[str, str],
        *,
        advance: Callable[[int], Any],
    ) -> dict[str, str]:
        """Decode the sounds that are missing; those that are done stay when it is interrupted.

        Parameters
        ----------
        paths, sources : mapping
            File and fingerprint of each sound, by ``split/file name``.
        advance : callable
            Called with the number of sounds that are done since the last call.

        Returns
        -------
        dict of str to str
            Why sounds cannot be used.

        """
        missing = [name for name, source in sources.items() if not self._path(source).exists()]
        advance(len(sources) - len(missing))
        failed = {}

        def decode(name: str) -> UnusableSound | None:
            try:
                self._write(paths[name], sources[name])
            except UnusableSound as error:
                return error
            return None

        for name, error in map_ahead(decode, missing):
            if error is not None:
                failed[name] = error.reason
            advance(1)
        return failed

    def load(self, source: str) -> NDArray[np.int16]:
        """Map a sound into memory, shape (samples,)."""
        path = self._path(source)
        if not path.stat().st_size:  # cannot be mapped
            return np.empty(0, _TYPE)
        return np.memmap(path, _TYPE, "r")

    def _write(self, path: Path, source: str) -> None:
        with atomic_write(self._path(source)) as file:
            for block in mono_blocks(path, sample_rate=SAMPLE_RATE):
                scaled = np.rint(block * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
                file.write(scaled.astype(_TYPE).tobytes())

    def _path(self, source: str) -> Path:
        name = hashlib.sha256(source.encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.i16"
