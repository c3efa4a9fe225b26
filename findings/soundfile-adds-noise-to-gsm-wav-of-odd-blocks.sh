#!/usr/bin/env bash
# soundfile adds 320 loud samples to a GSM 6.10 wav that has an odd number of blocks.
#
# Expected: read() returns as many samples as the fact chunk says, and as soundfile has written.
# Seen with soundfile 0.14.0 (libsndfile 1.2.2), files written by soundfile itself, 8 kHz:
#     7680 written (24 blocks): info 7680, read 7680
#     8000 written (25 blocks): info 8320, read 8320, peak of the rest 1.00 (sound: 0.30)
#     PyAV 18.1.0 decodes 8000; the fact chunk says 8000
# Seen with 1, 3 and 25 blocks of 65 bytes, not with 2, 24 and 26. Telephone recordings of this kind
# can end in 40 ms of noise at full scale that was never recorded, and that taggers hear.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 8_000
print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, av {av.__version__}")
print("expected: info and read as written")
seen = {}
for written in (7_680, 8_000):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(written) / RATE)
    soundfile.write("a.wav", tone, RATE, subtype="GSM610")
    content = Path("a.wav").read_bytes()
    (fact,) = struct.unpack_from("<I", content, content.index(b"fact") + 8)
    samples, _ = soundfile.read("a.wav")
    with av.open("a.wav") as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    frames = soundfile.info("a.wav").frames
    peak = np.abs(samples[written:]).max(initial=0)
    seen[written] = len(samples)
    print(f"{written} written: info {frames}, read {len(samples)}, peak of the rest {peak:.2f};")
    print(f"    fact chunk {fact}; PyAV {decoded}")
    assert fact == decoded == written
assert seen[7_680] == 7_680
assert seen[8_000] == 8_320, "soundfile reads another number of samples than it did"
PYTHON
