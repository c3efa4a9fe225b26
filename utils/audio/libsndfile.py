"""Sounds that libsndfile decodes: exact and fast for plain samples and flac."""

import os
import re
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from utils.audio import riff
from utils.audio.parts import Part
from utils.audio.sound import Sound, Undecodable, truncated
from utils.runtime.errors import out_of_memory

# libsndfile cuts some mp3 and Ogg files short, and its mp3 decoder prints on stderr.
_MPEG_OR_OGG = re.compile(rb"ID3|OggS|\xff[\xe2-\xff]|\x00{512}")
_SUITABLE = re.compile(
    rb"RIF[FX]|RF64|riff|FORM|caff|fLaC|\.snd|dns\.|Creative V|NIST|2BIT|ALaw|P[VR]F1| paf|fap "
    rb"|\x64\xa3|\x00\x01\xa3\x64|MATL|Extended I|\xf0~"
)
_MPEG_IN_WAV = re.compile(rb"fmt .{4}[PU]\x00", re.DOTALL)
_PLAIN = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
_OTHERS = {  # which FFmpeg decodes wrongly or not at all
    "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "DPCM_8",
    "DPCM_16", "DWVW_12", "DWVW_16", "DWVW_24", "DWVW_N",
}  # fmt: skip
_NAMES = {"WAVEX": "wav"}
_RIFF = ("wav", "rf64")
# What libsndfile logs while opening: a chunk that declares more bytes than the file has, or a
# number of samples.
_MISSING = re.compile(
    r"^ *(?:data|SSND|BODY|riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_FACT = re.compile(r"^fact : 4\n *frames *: (\d+)$", re.MULTILINE)
_MASK = re.compile(r"^ *Channel Mask *: (0x[0-9A-F]+)", re.MULTILINE)
_PLACES = 0x3FFFF  # bits of the mask
_LONGEST_BLOCK = 1000  # samples, of ADPCM
_FRAMES = re.compile(r"^ *Frames *: (\d+)$", re.MULTILINE)
_UNKNOWN_FRAMES = 2**62  # in a flac that was written to a pipe
_UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe declare this much or more
_MISSING_SHARE = 0.01  # declared lengths are often a few bytes off
_READ_AT_ONCE = 2**20  # bytes


def may_open(head: bytes) -> bool:
    """Return whether libsndfile takes a file that begins so for no mp3 and no Ogg file."""
    return not _MPEG_OR_OGG.match(head) and not _MPEG_IN_WAV.search(head)


def is_suitable(head: bytes) -> bool:
    """Return whether libsndfile is the first choice for a file that begins so."""
    return bool(_SUITABLE.match(head)) and may_open(head)


class SndfileSound(Sound):
    """A sound that libsndfile decodes from an open file, without closing it.

    Attributes
    ----------
    subtype : str
        How libsndfile calls the samples of the file: "PCM_24", ...
    exact : bool
        Whether all its samples are read, and no more: not so of compressed sounds but flac.
    unfinished : bool
        Whether there are samples beyond the length that is declared, which is zero.

    Raises
    ------
    Undecodable

    """

    seekable = True

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._file = _opened(source)
        self.samplerate, self.channels = self._file.samplerate, self._file.channels
        self.subtype = self._file.subtype
        log = self._file.extra_info
        masks = [int(mask, 16) & _PLACES for mask in _MASK.findall(log)]
        known = [hex(mask) for mask in masks if mask.bit_count() == self.channels]
        self.layout = known[0] if known else None
        self.frames = self._file.frames
        is_plain = self._file.subtype in _PLAIN  # and has no padding, whatever a header says
        for declared in () if is_plain else map(int, _FACT.findall(log)):
            if 0 < self.frames - declared < _LONGEST_BLOCK:
                self.frames = declared  # the rest is padding
        self._frames = self.frames  # `count` may find fewer
        self.container = _NAMES.get(self._file.format, self._file.format.lower())
        self.codec = "flac" if self.container == "flac" else self._file.subtype.lower()
        self.unfinished = (
            self.frames == 0 and self.container in _RIFF and riff.is_unfinished(Part(source))
        )
        is_empty = self.container in _RIFF and not self.unfinished
        known = 0 < self.frames < _UNKNOWN_FRAMES or is_empty
        self.exact = known and self._file.subtype in _PLAIN | _OTHERS
        sizes = [(*sizes, "bytes") for sizes in _MISSING.findall(log)]
        sizes += [(declared, self.frames, "samples") for declared in _FRAMES.findall(log)]
        for declared, found, what in sizes:
            missing = int(declared) - int(found)
            if int(declared) >= _UNKNOWN_SIZE:
                self.indexed = False
            elif missing > _MISSING_SHARE * int(declared):
                self.fault = truncated(f"after {found} of {declared} {what} of sound")

    def _read(self, frames: int) -> NDArray[np.float32]:
        size = min(frames, self._left), self.channels
        samples = np.full(size, np.nan, np.float32)  # so stays what is not reached before an error
        try:
            return self._file.read(out=samples) if len(samples) else samples
        except soundfile.SoundFileError as error:
            if out_of_memory(error):
                raise
            _require_readable(self._source)
            read = int((~np.isnan(samples).all(axis=1)).sum())
            if read < len(samples):
                seconds = (self._position + read) / self.samplerate
                self.fault = truncated(f"or damaged after {seconds:.1f} s ({error})")
            return samples[:read]

    def read_plain(self, frames: int, dtype: str) -> NDArray[np.generic]:
        """Read the next samples, shape (N, C), as "int32" or "float64", which are never rounded."""
        try:
            samples = self._file.read(min(frames, self._left), dtype=dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            _require_readable(self._source)
            raise Undecodable(truncated(f"or damaged ({error})")) from None
        self._position += len(samples)
        return samples

    @property
    def _left(self) -> int:
        return self._frames - self._position

    def _seek(self, frame: int) -> int:
        try:
            return self._file.seek(frame)
        except soundfile.SoundFileError:  # after damage was met
            self.close()
            self._file = _opened(self._source)
            return 0

    def close(self) -> None:
        """Close the decoder, but not the file."""
        self._file.close()


def _opened(source: BinaryIO) -> soundfile.SoundFile:
    source.seek(0)
    try:
        return soundfile.SoundFile(_descriptor(source), closefd=False)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw samples
        if out_of_memory(error):
            raise
        _require_readable(source)
        reason = getattr(error, "error_string", error)  # without a path
        raise Undecodable(f"cannot be read as sound ({reason})") from None


def _require_readable(source: BinaryIO) -> None:
    """Read a file that libsndfile had trouble with, to find out whether the disk gives all of it.

    Raises
    ------
    OSError
        If it does not.

    """
    try:
        number = source.fileno()
    except OSError:  # in memory
        return
    place = 0
    while block := os.pread(number, _READ_AT_ONCE, place):
        place += len(block)


def _descriptor(source: BinaryIO) -> int | BinaryIO:
    """Return the number of an open file, through which it is read much faster."""
    try:
        number = source.fileno()
    except OSError:  # in memory
        return source
    os.lseek(number, 0, os.SEEK_SET)
    return number
