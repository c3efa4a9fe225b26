#!/usr/bin/env bash
# soundfile reads an mp3 of variable bit rate to its end only if the file has a Xing header.
#
# Expected: read() returns the whole recording, as it does for wav, flac and indexed mp3.
# Seen with soundfile 0.14.0 (libsndfile 1.2.2): without the header, which `lame -t` and encoders
# that write to a pipe leave out, the number of frames is guessed from the first bit rate, and
# read() stops there, without an error. 20 s of tone that become noise half-way:
#     with index: 882000 of 882000 frames; without: 207984
#     PyAV 18.1.0 decodes 883584 frames of the file without index
# Who tags or trains on such files hears a fraction of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import av
import numpy as np
import soundfile

RATE, SECONDS = 44_100, 20
time = np.arange(RATE * SECONDS) / RATE
noise = np.random.default_rng(0).standard_normal(len(time))
samples = np.where(time < SECONDS / 2, 0.3 * np.sin(2 * np.pi * 440 * time), 0.2 * noise)


def encode(name, index):
    with av.open(name, "w", format="mp3", options={"write_xing": index}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.codec_context.options = {"flags": "+qscale", "global_quality": "472"}  # -q:a 4
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def heard(name):
    return len(soundfile.read(name)[0])


encode("index.mp3", "1")
encode("none.mp3", "0")
with av.open("none.mp3") as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, av {av.__version__}")
print(f"encoded {len(samples)} frames")
print(f"soundfile, with index: {heard('index.mp3')}; without: {heard('none.mp3')}")
print(f"PyAV, without index: {decoded}")
assert heard("index.mp3") == len(samples)
assert heard("none.mp3") < 0.5 * len(samples), "soundfile reads more than it did"
assert decoded >= len(samples)
PYTHON
