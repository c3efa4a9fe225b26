"""One short sound in every form that can be made here: for tests of all that reads sounds."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
FRAMES = 100_001  # in no block size of any codec


@dataclass(frozen=True)
class Form:
    """A form of the sound, and what should be read of it."""

    name: str  # of the file
    make: Callable[[Path], object]
    frames: int = FRAMES
    rate: int = RATE
    channels: int = 2
    error: float = 0.0  # largest difference to the sound; NaN: not compared
    offset: int = 0  # of the sound in the file, where the file does not tell it


def tone(frames: int = FRAMES, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Make the sound: tones that rise, different in each channel, and quiet noise."""
    time = np.arange(frames) / rate
    phases = [2 * np.pi * (200 + 100 * c + 150 * time) * time for c in range(channels)]
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, (frames, channels))
    samples = 0.5 * np.sin(np.stack(phases, axis=1)) + noise
    return np.round(samples * 32_767) / 32_768


def encode(
    target,
    codec: str,
    *,
    muxer: str,
    rate: int = RATE,
    channels: int = 2,
    frames: int = FRAMES,
    bit_rate: int | None = None,
    sample_format: str | None = None,
    codec_options: dict[str, str] | None = None,
    muxer_options: dict[str, str] | None = None,
    film: bool = False,
    metadata: dict[str, str] | None = None,
) -> None:
    """Encode the sound by PyAV into a path or file."""
    with av.open(target, "w", format=muxer, container_options=muxer_options or {}) as container:
        container.metadata.update(metadata or {})
        layout = {1: "mono", 2: "stereo"}[channels]
        if film:
            picture = container.add_stream("mpeg4", rate=25, width=32, height=32)
        stream = container.add_stream(codec, rate=rate, options=codec_options or {})
        stream.layout = layout
        stream.codec_context.time_base = Fraction(1, rate)
        if sample_format:
            stream.format = sample_format
        if bit_rate:
            stream.bit_rate = bit_rate
        samples = np.clip(np.round(tone(frames, rate, channels) * 32_768), -32_768, 32_767)
        samples = samples.astype(np.int16).reshape(1, -1)
        if film:
            for number in range(frames * 25 // rate):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = number
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if not stream.codec_context.is_open:
            stream.codec_context.open()
        target_format = stream.codec_context.format.name
        size = stream.codec_context.frame_size or 4096
        resampler = av.AudioResampler(format=target_format, layout=layout, rate=rate)
        for start in range(0, frames, size):
            part = samples[:, channels * start : channels * (start + size)]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
