"""Wavs of recorders that stopped before they wrote how long the sound is."""

import struct

from utils.audio.parts import Part

_HEADER = struct.Struct("<4sI")  # of a chunk: name and size
_FIRST_CHUNK = 12  # bytes


def is_unfinished(file: Part) -> bool:
    """Return whether something else than chunks follows the chunk that should hold the sound."""
    place = _FIRST_CHUNK
    while place + _HEADER.size <= file.size:
        name, size = _HEADER.unpack(file.read_at(place, _HEADER.size))
        if not (name.isascii() and name.decode().isprintable()):
            return True
        place += _HEADER.size + size + size % 2
    return place > file.size + 1  # the last byte of padding is often left out
