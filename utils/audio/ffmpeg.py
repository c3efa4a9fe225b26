"""Sounds of any format that FFmpeg decodes, through PyAV. Shapes: N samples, C channels.

They are decoded from their beginning on, because positions in compressed files are seldom exact.
Samples that an encoder added at the ends are removed if the file tells how many they are.
"""

import contextlib
import functools
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from utils.audio.parts import Part, Parts, find_mp3, find_ogg, leading_zeros
from utils.audio.sound import Sound, Undecodable, checked_rate, truncated
from utils.runtime.errors import out_of_memory

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

# The formats of FFmpeg that are read. Others hold no sound, are raw samples, or name further files
# and addresses, which FFmpeg would open: concat, dash, hls, imf, sdp, ...
_FORMATS = (
    "3dostr,aac,aax,ac3,ac4,ace,acm,ads,adx,aea,afc,aiff,aix,alp,amr,amrnb,amrwb,apc,ape,apm,"
    "argo_asf,asf,ast,au,avi,avr,bfstm,binka,bonk,brstm,caf,dsf,dss,dts,dtshd,dv,eac3,epaf,flac,"
    "flv,fsb,g723_1,g729,genh,gsm,gxf,hca,hcom,iamf,iff,ilbc,ircam,kvag,lc3,loas,matroska,mlp,"
    "mmf,mov,mp3,mpc,mpc8,mpeg,mpegts,msf,mtaf,musx,mxf,nistsphere,nsp,nut,nuv,ogg,oma,osq,paf,"
    "pva,pvf,qcp,qoa,rka,rm,rso,sbc,sdr2,sds,sdx,siff,sol,sox,svag,tak,thp,truehd,tta,usm,vag,"
    "voc,vpk,vqf,w64,wady,wav,wavarc,wsd,wtv,wv,wve,xa,xvag,xwma"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
# Formats whose length is an estimate, or was read from the last packets.
_UNDECLARED = {
    "aac", "ac3", "ac4", "aiff", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mlp",
    "mpeg", "mpegts", "sbc", "truehd",
}  # fmt: skip
_NAMES = {"mov": "mp4", "nistsphere": "nist"}
_MISSING_SHARE = 0.01  # declared lengths are often a little off,
_MISSING_SECONDS = 0.1  # and this much in any case: a matroska counts the padding
_WMA_SECONDS = 0.2  # two blocks at most, which FFmpeg does not decode
_BAD_SHARE = 0.01  # packets that cannot be decoded: there may be tags between and after them
_PADDED_BLOCKS = 2  # by which the samples may go beyond a declared length
_TICK = 1 / 600  # seconds; the coarsest unit in which an mp4 declares its length
# Channels that a wav can place; not those of ambisonics, or of a layout of a program's own.
_PLACES = {
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR",
}  # fmt: skip
_PLANES = 7  # PyAV reads one plane more than there are, which is safe up to here

# Samples of a frame, shape (N, C), and their rate in Hz.
Block = tuple[NDArray[np.float32], int]

_ROOM = 2**26  # bytes: where they can be had, memory did not run out


class FfmpegSound(Sound):
    """A sound that FFmpeg decodes from an open file, without closing it.

    A file that was joined from several is read from the first to the last, at the rate and with
    the channels of the first. With `ignore_length` a wav is read beyond the length in its header.

    Raises
    ------
    Undecodable

    """

    def __init__(self, source: BinaryIO, *, ignore_length: bool = False) -> None:
        self._options = {**_OPTIONS, "ignore_length": str(int(ignore_length))}
        zeros = leading_zeros(Part(source))
        file = Part(source, zeros)
        with _opened(file, self._options) as container, _errors():
            self.container = _name(container)
            self.codec = _track(container).codec_context.codec.canonical_name
            layout = _track(container).layout
            # Players count zeros before the sound, too.
            self._measured = not zeros and (
                self.container != "flac" or bool(_track(container).duration)
            )
            found = _find_parts(file, container)
        places = zip(found.starts, [*found.starts[1:], file.size], strict=True)
        self._parts = [file.part(*place) for place in places]
        self._described = found.described
        self._complete = found.complete
        self._rewind()
        if not self._held:
            raise Undecodable(self.fault or "holds no samples")
        placed = [channel.name for channel in layout.channels if channel.name in _PLACES]
        is_known = self.channels == len(placed) == layout.nb_channels
        self.layout = layout.name if is_known else None

    @functools.cached_property
    def indexed(self) -> bool:
        """Whether another player of the file finds its length and every position in it."""
        if len(self._parts) > 1 or not self._complete or not self._measured:
            return False
        # The index of an mp3 of variable bit rate is too coarse: players are up to 0.5 s off.
        return self.container != "mp3" or self._has_constant_bit_rate()

    def _has_constant_bit_rate(self) -> bool:
        with _opened(self._parts[0], self._options) as container, _errors():
            packets = container.demux(_track(container))
            return len({bytes(packet)[2] >> 4 for packet in packets if packet.size > 2}) == 1

    def _rewind(self) -> None:
        self._blocks = self._decode()
        samples, self.samplerate = next(self._blocks, (np.empty((0, 1), np.float32), 0))
        self.channels = samples.shape[1]
        self._held = deque([samples] if len(samples) else [])
        self._uniform = _at_one_rate(self._blocks, self.samplerate, self.channels)

    def _read(self, frames: int) -> NDArray[np.float32]:
        held = sum(map(len, self._held))
        while held < frames and (block := next(self._uniform, None)) is not None:
            self._held.append(block)
            held += len(block)
        if not self._held:
            return np.empty((0, self.channels), np.float32)
        samples = np.concatenate(self._held)
        self._held = deque([samples[frames:]] if len(samples) > frames else [])
        return samples[:frames]

    def _seek(self, frame: int) -> int:
        if frame >= self._position:
            return self._position
        self.close()
        self._rewind()
        return 0

    def close(self) -> None:
        """Close the decoder, but not the file."""
        self._uniform.close()
        self._blocks.close()

    def _decode(self) -> Iterator[Block]:
        """Decode all parts."""
        self.fault = None if self._complete else truncated("within its last page")
        for number, part in enumerate(self._parts):
            try:
                container = _opened(part, self._options)
            except Undecodable as error:
                if number == 0:
                    raise
                self.fault = self.fault or truncated(
                    f"or damaged in its part {number + 1} ({error})"
                )
                return
            with container:
                decoder = _Decoder(container, described=self._described[number])
                yield from decoder.blocks()
                self.fault = self.fault or decoder.fault()


def read_tags(file: Part) -> tuple[list[tuple[str, str]], list[tuple[float, str]], int]:
    """Read the tags of a file and its sound track, its chapters (seconds, title), and its rate.

    Raises
    ------
    Undecodable
        If it holds no sound.

    """
    with _opened(file, {**_OPTIONS, "ignore_length": "0"}) as container, _errors():
        track = _track(container)
        chapters = [
            (float(chapter["start"] * chapter["time_base"]), chapter["metadata"].get("title", ""))
            for chapter in container.chapters()
        ]
        return [*container.metadata.items(), *track.metadata.items()], chapters, track.rate or 0


class _Decoder:
    """Decodes the sound track of an open file; `described` if it says itself how long it is."""

    def __init__(self, container: "InputContainer", *, described: bool) -> None:
        self._container, self._track = container, _track(container)
        self._track.codec_context.thread_count = 1
        self._packets = self._bad = 0
        self._problem = self._broken = ""
        self._end = 0  # of the last packet, in samples
        self._done = 0.0  # seconds
        self._limit, self._declared = sys.maxsize, 0.0  # in samples, if exact; in seconds
        if described and self._track.duration:
            self._declared = float(self._track.duration * self._track.time_base)
            if self._track.time_base == Fraction(1, self._track.rate or 1):
                self._limit = self._track.duration
            if self._track.codec_context.name.startswith("pcm_"):
                # FFmpeg shortens the duration of a truncated caf.
                frames = self._track.frames
                self._declared = max(self._declared, frames / (self._track.rate or 1))
        elif described and container.duration and len(container.streams) == 1:
            self._declared = container.duration / av.time_base

    def blocks(self) -> Iterator[Block]:
        """Decode all but the padding: what goes a little beyond the declared length."""
        done, beyond, rate = 0, [], 1
        for samples, rate in self._frames():
            inside = samples[: max(0, self._limit - done)]
            if len(inside):
                yield inside, rate
            if len(inside) < len(samples):
                beyond.append(samples[len(inside) :])
            done += len(samples)
            if done - self._limit > _PADDED_BLOCKS * len(samples):
                yield from ((samples, rate) for samples in beyond)
                beyond, self._limit = [], sys.maxsize
        if beyond and 0 < self._end - self._limit <= rate * _TICK:
            yield np.concatenate(beyond)[: self._end - self._limit], rate

    def fault(self) -> str | None:
        """Say what is missing when all is decoded."""
        if self._broken:
            return truncated(self._broken)
        missing = self._declared - self._done
        skipped = _WMA_SECONDS if self._track.codec_context.name.startswith("wma") else 0
        if missing > max(_MISSING_SECONDS, _MISSING_SHARE * self._declared, skipped):
            return truncated(f"after {self._done:.1f} of {self._declared:.1f} s")
        if self._bad > max(1, _BAD_SHARE * self._packets):
            share = f"{self._bad} of {self._packets} packets cannot be decoded"
            return truncated(f"or damaged: {share} ({self._problem})")
        return None

    def _frames(self) -> Iterator[Block]:
        for packet in self._demuxed():
            try:
                frames = [frame for frame in packet.decode() if frame.samples]
                blocks = [(_samples(frame), checked_rate(frame.sample_rate)) for frame in frames]
            except (av.FFmpegError, ValueError) as error:
                if _ran_out(error):
                    raise
                self._bad += 1
                self._problem = getattr(error, "strerror", None) or str(error)
                continue
            for samples, rate in blocks:
                self._done += len(samples) / rate
                yield samples, rate

    def _demuxed(self) -> Iterator["Packet"]:
        """Read packets up to the end, or to the place where the file is damaged."""
        try:
            for packet in self._container.demux(self._track):
                self._packets += 1
                if packet.pts is not None and packet.duration:
                    self._end = packet.pts + packet.duration
                yield packet
        except av.FFmpegError as error:
            if _ran_out(error):
                raise
            self._broken = f"or damaged after {self._done:.1f} s ({error.strerror})"


def _opened(part: Part, options: dict[str, str]) -> "InputContainer":
    part.seek(0)
    with _errors():
        return av.open(part, container_options=options, metadata_errors="replace")


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        if _ran_out(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise Undecodable(f"cannot be read as sound ({reason})") from None


def _name(container: "InputContainer") -> str:
    name = container.format.name.split(",")[0]
    return _NAMES.get(name, name)


def _track(container: "InputContainer") -> "AudioStream":
    """Choose the sound track; of several, FFmpeg's choice."""
    track = container.streams.best("audio")
    if track is None:
        raise Undecodable("holds no sound track")
    if track.codec_context is None:
        raise Undecodable("holds sound of a kind that cannot be decoded")
    return track


def _find_parts(file: Part, container: "InputContainer") -> Parts:
    if _name(container) == "ogg":
        return find_ogg(file)
    if _name(container) == "mp3":
        packet = next(container.demux(_track(container)), None)
        return find_mp3(file, packet.pos or 0 if packet else 0)
    return Parts([0], [_name(container) not in _UNDECLARED])


def _samples(frame: "AudioFrame") -> NDArray[np.float32]:
    """Return the samples of a frame as float32, shape (N, C)."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels > _PLANES:
        (frame,) = av.AudioResampler(format="flt").resample(frame)
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    half = 2 ** (8 * array.dtype.itemsize - 1)
    samples = array.astype(np.float32) / np.float32(half)
    return samples - np.float32(array.dtype.kind == "u")


def _at_one_rate(blocks: Iterable[Block], rate: int, channels: int) -> Iterator[NDArray]:
    """Resample what has another rate, and mix what has other channels down to all of them."""
    resampler, found = None, rate
    for samples, its_rate in blocks:
        if samples.shape[1] != channels:
            samples = np.repeat(samples.mean(axis=1, keepdims=True), channels, axis=1)
        if its_rate != found:
            if resampler:
                yield resampler.resample_chunk(samples[:0], last=True)
            found, resampler = its_rate, None
            if its_rate != rate:
                resampler = soxr.ResampleStream(its_rate, rate, channels, dtype="float32")
        yield resampler.resample_chunk(samples) if resampler else samples
    if resampler:
        yield resampler.resample_chunk(np.empty((0, channels), np.float32), last=True)


def _ran_out(error: Exception) -> bool:
    """Whether memory ran out: a damaged file may ask FFmpeg for more than any machine has."""
    return out_of_memory(error) and not _has_room()


def _has_room() -> bool:
    try:
        return bool(bytearray(_ROOM))
    except MemoryError:
        return False
