"""One short sound in every form that can be made here, for tests of all that reads sounds."""

import io
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
FRAMES = 30_001  # a multiple of no codec's blocks
# Names of channels, which FFmpeg wants to know.
_LAYOUTS = {1: "mono", 2: "stereo", 8: "7.1"}


@dataclass(frozen=True)
class Form:
    """A form of the sound.

    Attributes
    ----------
    make : callable
        Returns the content of the file.
    frames, rate, channels : int
        Of what is read. More frames than FRAMES are those of an encoder of which the file tells
        nothing.
    lag : int
        Where the sound begins.
    error : float
        Largest difference to the sound, but for the first and last 2000 samples; None if it is
        another.
    repeats : int
        How often the sound is in the file.

    """

    make: Callable[[], bytes]
    frames: int = FRAMES
    rate: int = RATE
    channels: int = 2
    lag: int = 0
    error: float | None = 0.0
    repeats: int = 1


def sound(rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Make the sound, 16-bit numbers: in each channel another tone that rises, and some noise."""
    time = np.arange(FRAMES) / rate
    phases = [2 * np.pi * (200 + 60 * c + 100 * time) * time for c in range(channels)]
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, (FRAMES, channels))
    return np.round((0.5 * np.sin(np.stack(phases, axis=1)) + noise) * 32_768) / 32_768


def by_soundfile(kind: str, subtype: str | None = None, *, rate: int = RATE, channels: int = 2):
    """Write the sound by libsndfile; returns the content of the file."""
    content = io.BytesIO()
    soundfile.write(content, sound(rate, channels), rate, format=kind, subtype=subtype)
    return content.getvalue()


def by_ffmpeg(
    muxer: str,
    codec: str,
    *,
    rate: int = RATE,
    channels: int = 2,
    bit_rate: int | None = None,
    sample_format: str | None = None,
    film: bool = False,
    options: dict[str, str] | None = None,
    **codec_options: str,
) -> bytes:
    """Write the sound by FFmpeg, beside pictures if `film`; returns the content of the file."""
    with (
        tempfile.NamedTemporaryFile() as file,
        av.open(file.name, "w", format=muxer, container_options=options or {}) as container,
    ):
        if film:
            pictures = container.add_stream("mpeg4", rate=25, width=32, height=32)
        track = container.add_stream(codec, rate=rate, options=codec_options)
        track.layout, track.time_base = _LAYOUTS[channels], Fraction(1, rate)
        if bit_rate:
            track.bit_rate = bit_rate
        if sample_format:
            track.codec_context.format = av.AudioFormat(sample_format)
        if film:
            add_pictures(container, pictures)
        if not track.codec_context.is_open:
            track.codec_context.open()
        size = track.codec_context.frame_size or 4096
        convert = av.AudioResampler(format=track.codec_context.format.name).resample
        samples = (sound(rate, channels) * 32_768).astype(np.int16)
        for start in range(0, FRAMES, size):
            part = samples[start : start + size].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, "s16", _LAYOUTS[channels])
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for converted in convert(frame):
                container.mux(track.encode(converted))
        container.mux(track.encode(None))
        container.close()
        return file.read()


def add_pictures(container: av.container.OutputContainer, track: av.VideoStream) -> None:
    """Write half a second of pictures of 32 × 32 pixels."""
    for number in range(13):
        picture = av.VideoFrame(32, 32, "yuv420p")
        picture.pts = number
        container.mux(track.encode(picture))
    container.mux(track.encode(None))


def with_size(content: bytes, marker: bytes, size: int, *, form: str = "<I", riff: int) -> bytes:
    """Write another size behind a chunk's name, and into the header of the file."""
    changed = bytearray(content)
    place = changed.index(marker) + len(marker)
    changed[place : place + struct.calcsize(form)] = struct.pack(form, size)
    changed[4:8] = struct.pack("<I", riff)
    return bytes(changed)


def from_pipe(flac: bytes) -> bytes:
    """Write the length of a flac as unknown."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def dsf(channels: int = 2) -> bytes:
    """Write one-bit noise of 4096 * 48 samples at 2.8 MHz by hand."""
    bits = np.random.default_rng(0).bytes(channels * 6 * 4096)
    kind = (1, 0, channels, channels, 2_822_400, 1, 6 * 8 * 4096, 4096, 0)
    chunk = b"fmt " + struct.pack("<Q6IQ2I", 52, *kind)
    chunk += b"data" + struct.pack("<Q", 12 + len(bits)) + bits
    return b"DSD " + struct.pack("<3Q", 28, 28 + len(chunk), 0) + chunk


def _id3(size: int) -> bytes:
    """Write a tag of so many bytes, with nothing in it."""
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + digits + bytes(size)


def _unsized(size: int, riff: int) -> bytes:
    return with_size(by_soundfile("WAV", "PCM_16"), b"data", size, riff=riff)


def _zero_rf64() -> bytes:
    content = by_soundfile("RF64", "PCM_16")
    place = content.index(b"ds64") + 8
    return content[:place] + bytes(24) + content[place + 24 :]


def _unknown_au() -> bytes:
    content = by_soundfile("AU", "PCM_16")
    return content[:8] + b"\xff" * 4 + content[12:]


_mp3 = partial(by_ffmpeg, "mp3", "libmp3lame")
_VBR = {"flags": "+qscale", "global_quality": "472"}
_NO_XING = {"write_xing": "0"}
_SLOW = {"rate": 8000, "channels": 1}  # what telephones are made for
_LOSSY = 0.2  # largest difference of codecs that keep the wave form
_MP3 = {"error": _LOSSY}
FORMS = {
    # Plain samples and flac.
    "16.wav": Form(partial(by_soundfile, "WAV", "PCM_16")),
    "24.wav": Form(partial(by_soundfile, "WAV", "PCM_24")),
    "32.wav": Form(partial(by_soundfile, "WAV", "PCM_32")),
    "float.wav": Form(partial(by_soundfile, "WAV", "FLOAT")),
    "double.wav": Form(partial(by_soundfile, "WAV", "DOUBLE")),
    "8.wav": Form(partial(by_soundfile, "WAV", "PCM_U8"), error=0.01),
    "ulaw.wav": Form(partial(by_soundfile, "WAV", "ULAW"), error=0.02),
    "alaw.wav": Form(partial(by_soundfile, "WAV", "ALAW"), error=0.02),
    "extensible.wav": Form(partial(by_soundfile, "WAVEX", "PCM_24", channels=6), channels=6),
    "rf64.wav": Form(partial(by_soundfile, "RF64", "PCM_16")),
    "bw64.wav": Form(lambda: b"BW64" + by_soundfile("RF64", "PCM_16")[4:]),
    "w64.w64": Form(partial(by_soundfile, "W64", "PCM_16")),
    "aiff.aiff": Form(partial(by_soundfile, "AIFF", "PCM_16")),
    "sowt.aifc": Form(partial(by_ffmpeg, "aiff", "pcm_s16le")),
    "au.au": Form(partial(by_soundfile, "AU", "PCM_16")),
    "caf.caf": Form(partial(by_soundfile, "CAF", "PCM_16")),
    "voc.voc": Form(partial(by_soundfile, "VOC", "PCM_16")),
    "nist.sph": Form(partial(by_soundfile, "NIST", "PCM_16")),
    "svx.8svx": Form(partial(by_soundfile, "SVX", "PCM_16", channels=1), channels=1),
    "ircam.sf": Form(partial(by_soundfile, "IRCAM", "PCM_16")),
    "paf.paf": Form(partial(by_soundfile, "PAF", "PCM_16")),
    "avr.avr": Form(partial(by_soundfile, "AVR", "PCM_16")),
    "pvf.pvf": Form(partial(by_soundfile, "PVF", "PCM_16")),
    "mat5.mat5": Form(partial(by_soundfile, "MAT5", "PCM_16")),
    "sox.sox": Form(partial(by_ffmpeg, "sox", "pcm_s32le")),
    "flac.flac": Form(partial(by_soundfile, "FLAC", "PCM_16")),
    "24.flac": Form(partial(by_soundfile, "FLAC", "PCM_24")),
    "tagged.flac": Form(lambda: _id3(99) + by_soundfile("FLAC", "PCM_16")),
    # Lengths that are unknown, or zero because a recorder stopped.
    "pipe.wav": Form(partial(_unsized, 2**32 - 1, 2**32 - 1)),
    "zero.wav": Form(partial(_unsized, 0, 0)),
    "zero data.wav": Form(partial(_unsized, 0, 36)),
    "zero.rf64": Form(_zero_rf64),
    "pipe.flac": Form(lambda: from_pipe(by_soundfile("FLAC", "PCM_16"))),
    "pipe.caf": Form(
        lambda: with_size(by_ffmpeg("caf", "pcm_s16le"), b"data", -1, form=">q", riff=256)
    ),
    "pipe.au": Form(_unknown_au),
    # Lossless codecs.
    "alac.m4a": Form(partial(by_ffmpeg, "ipod", "alac")),
    "alac.caf": Form(partial(by_ffmpeg, "caf", "alac")),
    "flac.mka": Form(partial(by_ffmpeg, "matroska", "flac")),
    "flac.ogg": Form(partial(by_ffmpeg, "ogg", "flac")),
    "flac.wav": Form(partial(by_ffmpeg, "wav", "flac")),
    "tta.tta": Form(partial(by_ffmpeg, "tta", "tta", sample_format="s16")),
    "wavpack.wv": Form(partial(by_ffmpeg, "wv", "wavpack", sample_format="s16p")),
    "pcm.mov": Form(partial(by_ffmpeg, "mov", "pcm_s16le")),
    "pcm.mka": Form(partial(by_ffmpeg, "matroska", "pcm_s16le")),
    "pcm.avi": Form(partial(by_ffmpeg, "avi", "pcm_s16le")),
    # mp3.
    "info.mp3": Form(_mp3, **_MP3),
    "vbr.mp3": Form(partial(_mp3, **_VBR), **_MP3),
    "no index.mp3": Form(partial(_mp3, options=_NO_XING), 32_256, lag=1105, **_MP3),
    "vbr no index.mp3": Form(partial(_mp3, options=_NO_XING, **_VBR), 32_256, lag=1105, **_MP3),
    "joined.mp3": Form(lambda: _mp3() + _mp3(**_VBR), 2 * FRAMES, repeats=2, **_MP3),
    "joined rates.mp3": Form(lambda: _mp3() + _mp3(rate=22_050, channels=1), 3 * FRAMES, **_MP3),
    "zeros.mp3": Form(lambda: bytes(100_000) + _mp3(), **_MP3),
    "cover.mp3": Form(lambda: _id3(2_000_000) + _mp3() + b"TAG" + bytes(125), **_MP3),
    "mp3.wav": Form(partial(by_ffmpeg, "wav", "libmp3lame"), 31_106, lag=1105, **_MP3),
    "vbr mp3.wav": Form(partial(by_ffmpeg, "wav", "libmp3lame", **_VBR), 31_106, lag=1105, **_MP3),
    "mp3.mka": Form(partial(by_ffmpeg, "matroska", "libmp3lame"), **_MP3),
    "mp2.mp2": Form(partial(by_ffmpeg, "mp2", "mp2"), 31_104, lag=481, error=_LOSSY),
    # Ogg.
    "vorbis.ogg": Form(partial(by_soundfile, "OGG", "VORBIS"), error=_LOSSY),
    "opus.opus": Form(partial(by_ffmpeg, "ogg", "libopus", rate=48_000), rate=48_000, error=_LOSSY),
    "chained.ogg": Form(
        lambda: 2 * by_soundfile("OGG", "VORBIS"), 2 * FRAMES, error=_LOSSY, repeats=2
    ),
    "chained rates.ogg": Form(
        lambda: by_soundfile("OGG") + by_soundfile("OGG", rate=22_050, channels=1),
        3 * FRAMES,
        error=_LOSSY,
    ),
    "chained.opus": Form(
        lambda: 2 * by_ffmpeg("ogg", "libopus", rate=48_000),
        2 * FRAMES,
        48_000,
        error=_LOSSY,
        repeats=2,
    ),
    # Other lossy codecs.
    "aac.m4a": Form(partial(by_ffmpeg, "ipod", "aac", bit_rate=192_000), error=_LOSSY),
    "aac.mov": Form(partial(by_ffmpeg, "mov", "aac", bit_rate=192_000), error=_LOSSY),
    "film.mp4": Form(partial(by_ffmpeg, "mp4", "aac", bit_rate=192_000, film=True), error=_LOSSY),
    "aac.aac": Form(
        partial(by_ffmpeg, "adts", "aac", bit_rate=192_000), 31_744, lag=1024, error=_LOSSY
    ),
    "opus.webm": Form(
        partial(by_ffmpeg, "webm", "libopus", rate=48_000), rate=48_000, error=_LOSSY
    ),
    "ac3.ac3": Form(partial(by_ffmpeg, "ac3", "ac3"), 30_720, lag=256, error=_LOSSY),
    "ac3.wav": Form(partial(by_ffmpeg, "wav", "ac3"), 30_720, lag=256, error=_LOSSY),
    # FFmpeg's decoder expects two blocks of padding in front, and its encoder adds one.
    "wma.wma": Form(
        partial(by_ffmpeg, "asf", "wmav2", bit_rate=192_000), 28_672, lag=-2048, error=_LOSSY
    ),
    "amr.amr": Form(
        partial(by_ffmpeg, "amr", "libopencore_amrnb", bit_rate=12_200, **_SLOW),
        30_080,
        lag=39,
        error=0.3,
        **_SLOW,
    ),
    "amr.3gp": Form(
        partial(by_ffmpeg, "3gp", "libopencore_amrnb", bit_rate=12_200, **_SLOW),
        lag=-11,
        error=0.3,
        **_SLOW,
    ),
    "ima.wav": Form(partial(by_ffmpeg, "wav", "adpcm_ima_wav"), 30_510, error=_LOSSY),
    "ms.wav": Form(partial(by_soundfile, "WAV", "MS_ADPCM"), error=0.4),
    "gsm.wav": Form(partial(by_soundfile, "WAV", "GSM610", **_SLOW), error=_LOSSY, **_SLOW),
    "g721.wav": Form(partial(by_soundfile, "WAV", "G721_32", **_SLOW), error=_LOSSY, **_SLOW),
    "g722.wav": Form(
        partial(by_ffmpeg, "wav", "g722", rate=16_000, channels=1),
        FRAMES + 1,
        16_000,
        1,
        lag=22,
        error=_LOSSY,
    ),
    "dsf.dsf": Form(dsf, 24_576, 352_800, error=None),
    "8 channels.wv": Form(
        partial(by_ffmpeg, "wv", "wavpack", sample_format="s16p", channels=8), channels=8
    ),
}


def write_forms(folder: Path) -> dict[str, Form]:
    """Write a file of every form into a folder; returns the forms by file name."""
    for name, form in FORMS.items():
        (folder / name).write_bytes(form.make())
    return FORMS
