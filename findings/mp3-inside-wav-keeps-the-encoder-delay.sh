#!/usr/bin/env bash
# The encoder delay of an mp3 stream is removed or kept depending on the file around it.
#
# Expected: the same mp3 encoder gives the same samples from .mp3, .mka, .mp4 and .wav, as decoders
# remove the silence that LAME puts in front (1105 samples with the decoder's share).
# Seen with PyAV 18.1.0 and soundfile 0.14.0 (libsndfile 1.2.2), a chirp of 88200 samples:
#     PyAV: mp3 0 late, mka 0 late, mp4 0 late, wav 1105 late; soundfile: mp3 0 late, wav 1105 late
#     soundfile, wav: info().frames is 90347, read() returns 89856, the fact chunk says 89305
# Labels with times are 25 ms off in mp3 inside wav, and a sound in both files is not the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
time = np.arange(2 * RATE) / RATE
chirp = (0.3 * np.sin(2 * np.pi * (200 * time + 1000 * time**2))).astype(np.float32)


def encode(name, form, codec):
    with av.open(name, "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(chirp[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def decode(name):
    with av.open(name) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def delay(samples):
    """Samples by which the sound comes later than in the chirp (the peak of the correlation)."""
    size = 1 << 19
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(chirp, size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size // 2 else peak - size


print(f"PyAV {av.__version__}; soundfile {soundfile.__version__}", soundfile.__libsndfile_version__)
print("expected: 0 late everywhere")
late = {}
for name, form in (("mp3", "mp3"), ("mka", "matroska"), ("mp4", "mp4"), ("wav", "wav")):
    encode(f"a.{name}", form, "libmp3lame")
    late[name] = delay(decode(f"a.{name}"))
    print(f"PyAV, {name}: {late[name]} late")
for name in ("mp3", "wav"):
    samples, _ = soundfile.read(f"a.{name}")
    late[f"soundfile {name}"] = delay(samples)
    print(f"soundfile, {name}: {late[f'soundfile {name}']} late")
content = Path("a.wav").read_bytes()
(fact,) = struct.unpack_from("<I", content, content.index(b"fact") + 8)
frames = soundfile.info("a.wav").frames
print(f"soundfile, wav: info().frames {frames}, read() {len(samples)}, fact chunk {fact}")
assert [late[name] for name in ("mp3", "mka", "mp4", "soundfile mp3")] == [0] * 4
assert late["wav"] == late["soundfile wav"] == 1105, "the delay in wav is another one"
assert frames != len(samples), "info() and read() agree now"
PYTHON
