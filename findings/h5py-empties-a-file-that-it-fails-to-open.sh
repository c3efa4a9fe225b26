#!/usr/bin/env bash
# h5py.File(path, "w") empties a file that another process has open, and then refuses to open it.
#
# Expected: HDF5 locks files. Opening one for writing that another process reads raises an error
# and leaves the file as it is, as the modes "r+" and "a" do.
# Seen with h5py 3.16.0 (HDF5 2.0.0): BlockingIOError in all three modes; after "w" the file has
# 0 bytes.
#     r+: BlockingIOError, 8048 bytes left; a: the same; w: BlockingIOError, 0 bytes left
# Who writes vectors with "w" while a training reads them loses them in spite of the error: write
# to another name, and rename.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet h5py==3.16.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import h5py

READER = """
import h5py
with h5py.File("a.hdf5", "r") as file:
    print(flush=True)
    input()
"""
print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}")
left = {}
for mode in ("r+", "a", "w"):
    with h5py.File("a.hdf5", "w") as file:
        file["vectors"] = [float(number) for number in range(750)]
    size = Path("a.hdf5").stat().st_size
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", READER], **pipes) as reader:
        reader.stdout.readline()
        try:
            h5py.File("a.hdf5", mode)
            raise SystemExit(f"{mode}: opened, although another process reads the file")
        except BlockingIOError as error:
            left[mode] = Path("a.hdf5").stat().st_size
            print(f"{mode}: {type(error).__name__}; {left[mode]} of {size} bytes left")
        reader.communicate("\n")
assert left["r+"] == left["a"] == size
assert left["w"] == 0, "the file is not emptied any more"
PYTHON
