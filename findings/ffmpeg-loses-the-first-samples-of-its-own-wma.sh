#!/usr/bin/env bash
# FFmpeg loses the first 2048 samples of a WMA file that FFmpeg has written.
#
# Expected: the decoded sound begins where the encoded one began, as in mp3 or m4a.
# Seen with PyAV 18.1.0 at 44.1 kHz, a chirp of 88200 samples:
#     wmav1, wmav2: 88064 samples, sound 2048 early; aac in m4a: 89088, 0 early
# The first 46 ms cannot be heard, and all labels with times are 46 ms late. Files of other
# WMA encoders were not tried. With 2048 samples of silence put in front, the sound begins on time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

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


print(f"PyAV {av.__version__}, libavcodec {av.library_versions['libavcodec']}")
print(f"expected: at least {len(chirp)} samples, 0 early")
early = {}
for name, form, codec in (
    ("1.wma", "asf", "wmav1"),
    ("2.wma", "asf", "wmav2"),
    ("a.m4a", "mp4", "aac"),
):
    encode(name, form, codec)
    samples = decode(name)
    early[codec] = -delay(samples)
    print(f"{codec}: {len(samples)} samples, sound {early[codec]} early")
assert early["aac"] == 0
assert early["wmav1"] == early["wmav2"] == 2048, "FFmpeg loses another number of samples"
PYTHON
