#!/usr/bin/env bash
# soundfile cannot read a flac file whose header does not tell its length.
#
# Expected: `flac -` and ffmpeg, when they write to a pipe, leave the total number of samples at 0,
# which the format defines as "unknown" (RFC 9639, 8.2). read() reads such a file to its end.
# Seen with soundfile 0.14.0 (libsndfile 1.2.2):
#     info().frames is 9223372036854775807, and read() raises ValueError: array is too big
#     blocks() raises LibsndfileError: Internal psf_fseek() failed. at the end of the file
# The samples are all there: PyAV 18.1.0 decodes 44100 of 44100 frames.
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
soundfile.write("a.flac", 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), RATE)
content = bytearray(Path("a.flac").read_bytes())
content[21] &= 0xF0  # STREAMINFO: the total number of samples has 36 bits
content[22:26] = bytes(4)
Path("pipe.flac").write_bytes(content)


def outcome(read):
    try:
        return read()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


whole = outcome(lambda: len(soundfile.read("pipe.flac")[0]))
blocks = outcome(lambda: sum(len(block) for block in soundfile.blocks("pipe.flac", 4096)))
with av.open("pipe.flac") as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}")
print(f"frames: {soundfile.info('pipe.flac').frames}")
print(f"read(): {whole}")
print(f"blocks(): {blocks}")
print(f"PyAV {av.__version__}: {decoded} of {RATE} frames")
assert isinstance(whole, str), "read() works now"
assert isinstance(blocks, str), "blocks() works now"
assert decoded == RATE
PYTHON
