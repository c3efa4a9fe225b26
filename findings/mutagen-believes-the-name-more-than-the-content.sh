#!/usr/bin/env bash
# mutagen.File chooses the format of a sound by the ending of its name, even if the first bytes say
# that it is another one.
#
# Expected: a FLAC named .wav is opened as FLAC, as by FFmpeg and libsndfile; its first four bytes
# are fLaC. The documentation says that "the file type is decided by several things", among them
# the first 128 bytes, and that None is returned if no type is found.
# Seen with mutagen 1.48.1: an ending of .flac or .wav outweighs the content (a matching ending
# counts as much as or more than matching bytes), and File raises:
#     FLAC named .wav: InvalidChunk: Root chunk must be a RIFF chunk, got fLaC
#     FLAC named .mp3: HeaderNotFoundError: can't sync to MPEG frame
#     Ogg Vorbis named .flac: FLACNoHeaderError
# The same content as a file object without a name is opened. An avi, which begins with RIFF as a
# wav does, raises under any name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet mutagen==1.48.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import io
import shutil

import mutagen
import numpy as np
import soundfile

for name in ("a.flac", "a.ogg"):
    with soundfile.SoundFile(name, "w", 16_000, 1) as sound:
        sound.title = "Rain"
        sound.write(np.zeros(8000))


def opened(source):
    try:
        return type(mutagen.File(source)).__name__
    except mutagen.MutagenError as error:
        return f"{type(error).__name__}: {error}"


print(f"mutagen {mutagen.version_string}")
results = {}
for content, name in (("a.flac", "b.wav"), ("a.flac", "b.mp3"), ("a.ogg", "b.flac")):
    shutil.copy(content, name)
    results[content, name] = opened(name)
    print(f"{content} named {name}: {results[content, name]}")
    with open(content, "rb") as file:
        nameless = opened(io.BytesIO(file.read()))
    print(f"{content} without a name: {nameless}")
    assert nameless in ("FLAC", "OggVorbis")
    assert soundfile.info(name).frames == 8000
avi = b"RIFF" + (4).to_bytes(4, "little") + b"AVI "
print(f"an avi without a name: {opened(io.BytesIO(avi))}")
assert all("Error" in found or "Invalid" in found for found in results.values()), "it is mended"
PYTHON
