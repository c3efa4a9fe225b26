"""Sounds that libsndfile decodes: exact and fast for plain samples and flac."""

import os
import re
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from utils.audio.sound import Sound, Undecodable, truncated

# Files that may be opened here. An mp3 or Ogg file has forms that libsndfile cuts short, and
# its mp3 decoder prints on stderr.
_SUITABLE = re.compile(
    rb"RIF[FX]|RF64|riff|FORM|caff|fLaC|\.snd|dns\.|Creative V|NIST|2BIT|ALaw|P[VR]F1| paf|fap "
    rb"|\x64\xa3|\x00\x01\xa3\x64|MATL|Extended I|\xf0~"
)
_MPEG_IN_WAV = re.compile(rb"fmt .{4}[PU]\x00", re.DOTALL)
# Plain samples and flac, and what FFmpeg decodes wrongly or not at all.
_EXACT = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"} | {
    "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "DPCM_8",
    "DPCM_16", "DWVW_12", "DWVW_16", "DWVW_24", "DWVW_N",
}  # fmt: skip
_NAMES = {"WAVEX": "wav"}
# What libsndfile logs while opening: a chunk that declares more bytes than the file has.
_MISSING = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_FRAMES = 2**62  # in a flac that was written to a pipe
_UNKNOWN_BYTES = 0x7FFF0000  # programs that write to a pipe declare this much or more
_MISSING_SHARE = 0.01  # declared lengths are often a few bytes off


def is_suitable(head: bytes) -> bool:
    """Return whether a file that begins so may be opened by libsndfile."""
    return bool(_SUITABLE.match(head)) and not _MPEG_IN_WAV.search(head)


class SndfileSound(Sound):
    """A sound that libsndfile decodes from an open file, without closing it.

    Attributes
    ----------
    exact : bool
        Whether all its samples are read, and no more: not so of compressed sounds but flac.

    Raises
    ------
    Undecodable

    """

    seekable = True

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._file = _opened(source)
        self.samplerate, self.channels = self._file.samplerate, self._file.channels
        self.frames = self._file.frames
        self.container = _NAMES.get(self._file.format, self._file.format.lower())
        self.codec = "flac" if self.container == "flac" else self._file.subtype.lower()
        known = 0 < self.frames < _UNKNOWN_FRAMES
        self.exact = known and self._file.subtype in _EXACT
        for declared, found in _MISSING.findall(self._file.extra_info):
            missing = int(declared) - int(found)
            if int(declared) >= _UNKNOWN_BYTES:
                self.indexed = False
            elif missing > _MISSING_SHARE * int(declared):
                self.fault = truncated(f"after {found} of {declared} bytes of sound")

    def _read(self, frames: int) -> NDArray[np.float32]:
        count = min(frames, self._file.frames - self._position)
        samples = np.empty((count, self.channels), np.float32)
        if self.codec == "flac":
            samples.fill(np.nan)  # so stays what libsndfile does not reach before an error
        try:
            return self._file.read(out=samples)
        except soundfile.SoundFileError as error:
            read = int((~np.isnan(samples).all(axis=1)).sum())
            seconds = (self._position + read) / self.samplerate
            self.fault = truncated(f"or damaged after {seconds:.1f} s ({error})")
            return samples[:read]

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
        reason = getattr(error, "error_string", error)  # without a path
        raise Undecodable(f"cannot be read as sound ({reason})") from None


def _descriptor(source: BinaryIO) -> int | BinaryIO:
    """Return the number of an open file, through which it is read much faster."""
    try:
        number = source.fileno()
    except OSError:  # in memory
        return source
    os.lseek(number, 0, os.SEEK_SET)
    return number
