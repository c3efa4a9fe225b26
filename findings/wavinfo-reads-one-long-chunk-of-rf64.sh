#!/usr/bin/env bash
# wavinfo reads only the first entry of the table of long chunks in an RF64 file.
#
# Expected: every chunk whose size does not fit into 32 bits has an entry in the table of `ds64`
# (EBU Tech 3306: its name, and a size of 64 bits, 12 bytes together). A file with two of them opens.
# Seen with wavinfo 4.0.1: the place in the table is never advanced, and an entry is taken to be 8
# bytes long, so that the second entry is the first again:
#     0 long chunks beside the sound: Rain
#     1 long chunk beside the sound: Rain
#     2 long chunks beside the sound: KeyError b'efgh'
# For the same reason the upper half of a size is ignored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet wavinfo==4.0.1
venv/bin/python - <<'PYTHON'
import io
import struct
from importlib.metadata import version

import wavinfo

LONG = b"\xff" * 4


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content


def rf64(*long):
    """Write four samples, long chunks of zeros, and a description."""
    bext = struct.pack("<256s32s32s10s8sQH254s", b"Rain", b"me", b"", b"", b"", 0, 1, b"")
    rest = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 48_000, 96_000, 2, 16))
    rest += b"data" + LONG + bytes(8)
    rest += b"".join(name + LONG + bytes(size) for name, size in long) + chunk(b"bext", bext)
    table = b"".join(struct.pack("<4sQ", name, size) for name, size in long)
    size = 4 + 8 + 28 + len(table) + len(rest)
    ds64 = chunk(b"ds64", struct.pack("<QQQI", size, 8, 4, len(long)) + table)
    return b"RF64" + LONG + b"WAVE" + ds64 + rest


def description(content):
    try:
        return wavinfo.WavInfoReader(io.BytesIO(content)).bext.description
    except KeyError as error:
        return f"KeyError {error}"


print(f"wavinfo {version('wavinfo')}")
none, one, two = rf64(), rf64((b"abcd", 6)), rf64((b"abcd", 6), (b"efgh", 10))
print(f"0 long chunks beside the sound: {description(none)}")
print(f"1 long chunk beside the sound: {description(one)}")
print(f"2 long chunks beside the sound: {description(two)}")
assert description(none) == description(one) == "Rain"
assert description(two) != "Rain", "it is mended"
PYTHON
