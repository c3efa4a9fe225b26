import errno
import io
import os
import random
import shutil
import signal
from collections import namedtuple

import py7zr
import pytest

from tests.support import noting, run_python
from utils.files import archives
from utils.runtime.errors import InputError

# As in Clotho, and é as one character and as two.
ODD_NAMES = [" a .wav", "&quot;b&quot; .wav", "c#[d] 100% @~.wav", "caf\xe9.wav", "cafe\u0301 .wav"]
CONTENTS = {name: random.Random(name).randbytes(70_000) for name in ODD_NAMES}


def write_archive(path, contents, folder="development/"):
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(content, folder + name)
    return path


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "sounds.7z", CONTENTS)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_files_are_unpacked_under_their_own_names_and_nothing_else_stays(archive, tmp_path):
    members = archives.list_members(archive)
    assert {member.name: member.size for member in members} == dict.fromkeys(ODD_NAMES, 70_000)
    bars = []
    folder = tmp_path / "a/b"
    archives.unpack(archive, members, folder, progress=noting(bars))
    assert contents(folder) == CONTENTS
    assert {path.name for path in tmp_path.iterdir()} == {"a", "sounds.7z"}
    (bar,) = bars
    assert 0.9 < bar.done / bar.total <= 1


def test_only_the_members_asked_for_are_unpacked(archive, tmp_path):
    members = archives.list_members(archive)[1:3]
    archives.unpack(archive, members, tmp_path / "out")
    assert contents(tmp_path / "out").keys() == set(ODD_NAMES[1:3])


@pytest.mark.parametrize("name", ["../x.wav", "a/../../x.wav", "/x.wav"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, name):
    with py7zr.SevenZipFile(tmp_path / "sounds.7z", "w") as archive:
        archive._writef(io.BytesIO(b"harmless"), name)  # its public functions refuse the path
    with pytest.raises(InputError, match=r"sounds\.7z holds .*x\.wav.*Nothing was unpacked"):
        archives.list_members(tmp_path / "sounds.7z")


def test_a_link_is_refused(tmp_path):
    (tmp_path / "target.wav").write_bytes(b"")
    (tmp_path / "link.wav").symlink_to("target.wav")
    with py7zr.SevenZipFile(tmp_path / "sounds.7z", "w") as archive:
        archive.write(tmp_path / "target.wav", "development/target.wav")
        archive.write(tmp_path / "link.wav", "development/link.wav")
    with pytest.raises(InputError, match=r"link\.wav', which is a link"):
        archives.list_members(tmp_path / "sounds.7z")


def test_a_damaged_archive_leaves_what_is_there(archive, tmp_path):
    members = archives.list_members(archive)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ODD_NAMES[0]).write_bytes(b"mine")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot unpack .*sounds\.7z: .*Get it again"):
        archives.unpack(archive, members, tmp_path / "out")
    assert contents(tmp_path / "out") == {ODD_NAMES[0]: b"mine"}
    assert not (tmp_path / "sounds.7z.unpacking").exists()
    for damaged in (content[:100], b"", b"no archive" * 100):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot unpack .*sounds\.7z: "):
            archives.list_members(archive)


def test_what_does_not_fit_on_the_disk_is_not_begun(archive, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(5 * 70_000 - 1))
    with pytest.raises(InputError, match=r"what sounds\.7z holds needs .* GB"):
        archives.unpack(archive, archives.list_members(archive), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_disk_that_fills_up_leaves_nothing_half_written(archive, tmp_path, monkeypatch):
    members = archives.list_members(archive)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("py7zr.py7zr.calculate_crc32", full)  # after the first piece is written
    with pytest.raises(InputError, match=r"cannot unpack .*No space left.*disk has room"):
        archives.unpack(archive, members, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    assert not (tmp_path / "sounds.7z.unpacking").exists()


def test_an_interrupted_unpacking_leaves_nothing_half_written(archive, tmp_path):
    members = archives.list_members(archive)

    class Bar:
        def __init__(self, total):
            self.left = total // 2

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            self.left -= count
            if self.left < 0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archives.unpack(archive, members, tmp_path / "out", progress=Bar)
    assert contents(tmp_path / "out") == {}
    assert not (tmp_path / "sounds.7z.unpacking").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from utils.files import archives

archive, folder, moved = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
replace = Path.replace

def replace_until_killed(self, target):
    global moved
    if not moved:
        os.kill(os.getpid(), signal.SIGKILL)
    moved -= 1
    return replace(self, target)

Path.replace = replace_until_killed
archives.unpack(archive, archives.list_members(archive), folder)
"""


@pytest.mark.parametrize("moved", [0, 2])
def test_a_killed_unpacking_leaves_only_whole_files_and_can_be_repeated(archive, tmp_path, moved):
    run_python(KILLED, archive, tmp_path / "out", moved, status=-signal.SIGKILL)
    there = contents(tmp_path / "out")
    assert len(there) == moved
    assert there.items() <= CONTENTS.items()
    archives.unpack(archive, archives.list_members(archive), tmp_path / "out")
    assert contents(tmp_path / "out") == CONTENTS
    assert {path.name for path in tmp_path.iterdir()} == {"out", "sounds.7z"}
