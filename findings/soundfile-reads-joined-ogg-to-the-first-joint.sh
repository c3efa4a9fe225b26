#!/usr/bin/env bash
# soundfile reads a chained Ogg file to the end of its first part only.
#
# Expected: two Ogg files joined by `cat` are one valid Ogg file (RFC 3533, "chaining"; recorders
# and internet radio write them), and read() returns both parts.
# Seen with soundfile 0.14.0 (libsndfile 1.2.2): the second part is missing, without an error or a
# warning, although both have the same sample rate and channels:
#     44100 of 88200 frames
# Who tags or trains on such files never hears what comes after the joint.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
for name, pitch in (("a.ogg", 440), ("b.ogg", 880)):
    tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)
    soundfile.write(name, tone, RATE, format="OGG", subtype="VORBIS")
Path("both.ogg").write_bytes(Path("a.ogg").read_bytes() + Path("b.ogg").read_bytes())
samples, _ = soundfile.read("both.ogg")
with av.open("both.ogg") as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}")
print(f"soundfile: {len(samples)} of {2 * RATE} frames; PyAV {av.__version__}: {decoded}")
assert len(samples) == RATE, "soundfile reads another number of frames than it did"
PYTHON
