"""Exports of small inputs, byte by byte."""

import errno
import json
import os
import struct
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from utils.audio.metadata import read_metadata
from utils.runtime.errors import InputError
from utils.search.excerpts import Excerpt
from utils.search.exports import copies, exporting, regions
from utils.search.exports.exporting import export_file, export_folder, format_of, render
from utils.search.exports.timecode import FRAME_RATES, frame_rate

RATE = 8000
CAFE = os.fsdecode(b"caf\xe9.wav")
SHA = "0" * 64


def excerpt(sound, path, start=None, end=None, duration=10.0, label="", score=None, **more):
    is_part = start is not None
    start, end = (start, end) if is_part else (0.0, duration)
    return Excerpt(sound, (path,), path, SHA, duration, start, end, is_part, label, score, **more)


def missing(one):
    return replace(one, paths=())


RAIN = excerpt(0, "sub/rain, heavy.wav", 1.5, 4.0, label="=rain", score=0.123456)
DOG = excerpt(1, 'a "dog".wav', duration=2.25, channels=1, loudness=-23.456)
ODD = excerpt(2, "=1+1.wav", 0.5, 1.25, label="a\nb")
BROKEN = excerpt(3, CAFE)
ALL = [RAIN, DOG, ODD, BROKEN]


def written(kind, excerpts, **options):
    content, exported = render(kind, excerpts, place=lambda path: path, title="list", **options)
    return content, exported


def test_csv():
    content, exported = written("csv", [*ALL, missing(DOG)])
    assert content == (
        b"query,score,path,start,end,duration,loudness,sha256,missing\n"
        b'\'=rain,0.1235,"sub/rain, heavy.wav",1.5,4.0,10.0,,%b,\n'
        b',,"a ""dog"".wav",0.0,2.25,2.25,-23.5,%b,\n'
        b'"a\nb",,./=1+1.wav,0.5,1.25,10.0,,%b,\n'
        b",,caf\\udce9.wav,0.0,10.0,10.0,,%b,\n"
        b',,"a ""dog"".wav",0.0,2.25,2.25,-23.5,%b,yes\n'
    ) % ((SHA.encode(),) * 5)
    assert exported == (5, [])


def test_json():
    content, _ = written("json", [RAIN, missing(DOG)])
    assert json.loads(content) == [
        {
            "query": "=rain", "score": 0.1235, "path": "sub/rain, heavy.wav", "start": 1.5,
            "end": 4.0, "duration": 10.0, "loudness": None, "sha256": SHA, "missing": False,
            "paths": ["sub/rain, heavy.wav"],
        },
        {
            "query": "", "score": None, "path": 'a "dog".wav', "start": 0.0, "end": 2.25,
            "duration": 2.25, "loudness": -23.5, "sha256": SHA, "missing": True, "paths": [],
        },
    ]  # fmt: skip
    assert "雷".encode() in written("json", [replace(RAIN, label="雷")])[0]
    assert json.loads(written("json", [BROKEN])[0])[0]["path"] == CAFE


def test_m3u8():
    content, exported = written("m3u8", [*ALL, excerpt(4, "#1.wav"), missing(DOG)])
    assert content.decode() == (
        "#EXTM3U\n"
        "#EXTINF:2.500,rain, heavy.wav\n"
        "#EXTVLCOPT:start-time=1.500\n"
        "#EXTVLCOPT:stop-time=4.000\n"
        "sub/rain, heavy.wav\n"
        '#EXTINF:2.250,a "dog".wav\n'
        'a "dog".wav\n'
        "#EXTINF:0.750,=1+1.wav\n"
        "#EXTVLCOPT:start-time=0.500\n"
        "#EXTVLCOPT:stop-time=1.250\n"
        "=1+1.wav\n"
        "#EXTINF:10.000,caf\\udce9.wav\n"
        "caf%E9.wav\n"
        "#EXTINF:10.000,#1.wav\n"
        "./#1.wav\n"
    )
    assert exported == (5, ['a "dog".wav is missing'])


def test_paths_of_a_playlist_are_absolute_or_relative_to_it(tmp_path):
    playlist = tmp_path / "lists/all.m3u8"
    odd = excerpt(5, "line\nbreak.wav")
    export_file("m3u8", [RAIN, odd], playlist, folder=tmp_path / "my sounds")
    lines = playlist.read_text().splitlines()
    assert lines[4] == f"{tmp_path}/my sounds/sub/rain, heavy.wav"
    assert lines[5:] == [
        "#EXTINF:10.000,line\\nbreak.wav",
        f"file://{tmp_path}/my%20sounds/line%0Abreak.wav",
    ]
    export_file("m3u8", [RAIN], playlist, folder=tmp_path / "my sounds", relative=True)
    assert playlist.read_text().splitlines()[4] == "../my sounds/sub/rain, heavy.wav"


def test_edl():
    late = excerpt(5, "sub/Rain, Heavyside.wav", 0.0, 1.0, time_reference=43_200.5)
    content, exported = written("edl", [RAIN, DOG, RAIN, late, missing(DOG), BROKEN])
    assert content.decode() == (
        "TITLE: list\n"
        "FCM: NON-DROP FRAME\n"
        "\n"
        "001  RAINHEAV AA    C        00:00:01:13 00:00:04:00 01:00:00:00 01:00:02:12\n"
        "* FROM CLIP NAME: rain, heavy.wav\n"
        "* SOURCE FILE: sub/rain, heavy.wav\n"
        "* COMMENT: =rain\n"
        "\n"
        "002  ADOG     A     C        00:00:00:00 00:00:02:06 01:00:02:12 01:00:04:18\n"
        '* FROM CLIP NAME: a "dog".wav\n'
        '* SOURCE FILE: a "dog".wav\n'
        "\n"
        "003  RAINHEAV AA    C        00:00:01:13 00:00:04:00 01:00:04:18 01:00:07:05\n"
        "* FROM CLIP NAME: rain, heavy.wav\n"
        "* SOURCE FILE: sub/rain, heavy.wav\n"
        "* COMMENT: =rain\n"
        "\n"
        "004  RAINHEA1 AA    C        12:00:00:12 12:00:01:12 01:00:07:05 01:00:08:05\n"
        "* FROM CLIP NAME: Rain, Heavyside.wav\n"
        "* SOURCE FILE: sub/Rain, Heavyside.wav\n"
        "\n"
        "005  CAF      AA    C        00:00:00:00 00:00:10:00 01:00:08:05 01:00:18:05\n"
        "* FROM CLIP NAME: caf\\udce9.wav\n"
        "* SOURCE FILE: caf\\udce9.wav\n"
    )
    assert exported.left_out == ['a "dog".wav is missing']


def test_an_edl_counts_frames_by_its_rate():
    minute = excerpt(0, "a.wav", 0.0, 61.0, duration=100.0)
    lines = written("edl", [minute], fps="29.97")[0].decode().splitlines()
    assert lines[1] == "FCM: DROP FRAME"
    assert lines[3].endswith(" 00:00:00;00 00:01:01;00 01:00:00;00 01:01:01;00")
    short = excerpt(0, "a.wav", 0.0, 0.001, duration=100.0)
    assert b"01:00:00:00 01:00:00:01\n" in written("edl", [short], fps="24")[0]


def drop_frame(number):
    """Count drop-frame timecodes one by one."""
    hours = minutes = seconds = frames = 0
    for _ in range(number):
        frames += 1
        if frames == 30:
            frames, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            frames = 0 if minutes % 10 == 0 else 2
        if minutes == 60:
            minutes, hours = 0, hours + 1
    return f"{hours:02}:{minutes:02}:{seconds:02};{frames:02}"


def test_drop_frame_timecodes_are_those_of_counting():
    rate = FRAME_RATES["29.97"]
    for number in (
        0,
        1,
        1799,
        1800,
        1801,
        3597,
        3598,
        17_981,
        17_982,
        17_983,
        19_781,
        19_782,
        107_891,
        107_892,
        200_000,
    ):
        assert rate.timecode(number) == drop_frame(number)
    assert rate.timecode(rate.per_hour) == "01:00:00;00"
    assert rate.timecode(24 * rate.per_hour) == "00:00:00;00"
    assert rate.frames(3600.0) == 107_892  # an hour of the clock
    assert FRAME_RATES["23.976"].frames(1001.0) == 24_000


def test_what_an_edl_cannot_hold_is_refused():
    with pytest.raises(
        InputError, match=r"'59\.94' frames per second: give one of 23\.976, 24, 25"
    ):
        frame_rate("59.94")
    with pytest.raises(InputError, match="holds 999 events, and there are 1000"):
        written("edl", [RAIN] * 1000)
    day = excerpt(0, "a.wav", duration=23 * 3600.0)
    assert b"01:00:00:00 00:00:00:00\n" in written("edl", [day])[0]
    with pytest.raises(InputError, match="longer than an edit list of 24 hours"):
        written("edl", [day, RAIN])


def test_reels_are_different_names_of_eight_letters():
    names = [f"rain on the roof {n}.wav" for n in range(12)] + ["雷雨.wav", "BL.wav", "ax.wav"]
    lines = written("edl", [excerpt(n, name) for n, name in enumerate(names)])[0].decode()
    reels = [line[5:13] for line in lines.splitlines() if line[:3].isdecimal()]
    assert reels[:3] == ["RAINONTH", "RAINONT1", "RAINONT2"]
    assert reels[11:] == ["RAINON11", "1       ", "BL1     ", "AX1     "]
    assert len(set(reels)) == 15


def test_reaper_regions_are_on_sounds_that_follow_one_another():
    again = replace(RAIN, start=61.0, end=62.5, duration=100.0, label="")
    content, _ = written("reaper", [again, DOG, replace(again, start=0.0, end=0.25), missing(ODD)])
    assert content.decode() == (
        "#,Name,Start,End,Length\n"
        'R1,"rain, heavy.wav",1:01.000,1:02.500,0:01.500\n'
        'R2,"a ""dog"".wav",1:40.000,1:42.250,0:02.250\n'
        'R3,"rain, heavy.wav",0:00.000,0:00.250,0:00.250\n'
    )


def test_the_ending_names_the_format_unless_the_option_does():
    assert format_of(Path("a.CSV"), None) == "csv"
    assert format_of(Path("a.csv"), "reaper") == "reaper"
    assert format_of(Path("folder"), "links") == "links"
    with pytest.raises(InputError, match=r"none of \.csv, \.edl, \.json, \.m3u8\. Name the format"):
        format_of(Path("a.txt"), None)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.edl"
    path.write_text("older")
    with pytest.raises(InputError):
        export_file("edl", [RAIN] * 1000, path, folder=tmp_path)
    assert path.read_text() == "older"
    assert export_file("edl", [RAIN], path, folder=tmp_path) == (1, [])
    assert path.read_text().startswith("TITLE: a\n")
    with pytest.raises(InputError, match="cannot write"):
        export_file("csv", [RAIN], path / "b.csv", folder=tmp_path)


def progress(total):
    return nullcontext(SimpleNamespace(update=lambda count: None))


def to_folder(kind, excerpts, target, folder):
    return export_folder(kind, excerpts, target, folder=folder, progress=progress)


@pytest.fixture
def sounds(tmp_path):
    folder = tmp_path / "sounds"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("rain.wav", "sub/rain.wav", CAFE)):
        samples = np.random.default_rng(number).integers(-9999, 9999, 3 * RATE).astype(np.int16)
        with (folder / name).open("w+b") as file:
            soundfile.write(file, samples, RATE, format="WAV")
    os.utime(folder / "rain.wav", ns=(10**18, 10**18))
    return folder


CHOSEN = [
    excerpt(0, "rain.wav", 0.5, 1.0),
    excerpt(1, "sub/rain.wav"),
    excerpt(2, CAFE),
    excerpt(0, "rain.wav", 2.0, 2.5),
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["copies", "links", "hardlinks"])
def test_each_sound_is_copied_or_linked_once_and_nothing_is_overwritten(kind, sounds, tmp_path):
    target = tmp_path / "out/new"
    gone = excerpt(9, "gone.wav")
    assert to_folder(kind, [*CHOSEN, gone, missing(replace(DOG, sound=7))], target, sounds) == (
        3,
        ["gone.wav is missing", 'a "dog".wav is missing'],
    )
    assert names(target) == sorted([CAFE, "rain (2).wav", "rain.wav"])
    first, second = target / "rain.wav", target / "rain (2).wav"
    assert first.read_bytes() == (sounds / "rain.wav").read_bytes()
    assert second.read_bytes() == (sounds / "sub/rain.wav").read_bytes()
    assert first.stat().st_mtime_ns == 10**18
    assert first.is_symlink() == (kind == "links")
    assert first.samefile(sounds / "rain.wav") == (kind != "copies")
    before = {path: path.read_bytes() for path in target.iterdir()}
    assert to_folder(kind, CHOSEN, target, sounds).count == 3
    assert len(names(target)) == 6
    assert {path: path.read_bytes() for path in before} == before


def test_a_copy_takes_another_file_of_the_content_if_one_is_gone(sounds, tmp_path):
    both = replace(CHOSEN[0], paths=("gone.wav", "rain.wav"))
    assert to_folder("copies", [both], tmp_path / "out", sounds) == (1, [])
    assert names(tmp_path / "out") == ["rain.wav"]


def test_a_full_disk_is_one_error_and_leaves_whole_files(sounds, tmp_path, monkeypatch):
    target = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
        with pytest.raises(InputError, match=r"needs 0\.00 GB, and the disk of"):
            to_folder("copies", CHOSEN, target, sounds)
    assert names(target) == []
    full, written = copies._blocks, []

    def blocks(path):
        for block in full(path):
            yield block
            written.append(path)
            if len(written) == 2:
                raise InputError("cannot write: no room")

    monkeypatch.setattr(copies, "_blocks", blocks)
    with pytest.raises(InputError, match="no room"):
        to_folder("copies", CHOSEN, target, sounds)
    assert names(target) == ["rain.wav"]


def test_a_sound_that_cannot_be_read_is_left_out_with_its_reason(sounds, tmp_path, monkeypatch):
    opened = Path.open

    def broken(self, mode="r", *more, **options):
        if self == sounds / "rain.wav" and mode == "rb":
            raise OSError(errno.EIO, "Input/output error")
        return opened(self, mode, *more, **options)

    monkeypatch.setattr(Path, "open", broken)
    count, (why,) = to_folder("copies", CHOSEN, tmp_path / "out", sounds)
    assert (count, why.startswith("rain.wav cannot be read (")) == (2, True)
    assert len(names(tmp_path / "out")) == 2
    monkeypatch.undo()
    (sounds / "rain.wav").write_bytes(b"no sound")
    count, (first, *_) = to_folder("regions", CHOSEN, tmp_path / "cut", sounds)
    assert (count, first.startswith("rain.wav cannot be read as sound")) == (2, True)


def test_links_that_cannot_be_made_are_refused(sounds, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"is a file\. Name a folder for links"):
        to_folder("links", CHOSEN, tmp_path / "file", sounds)

    def other_disk(self, place):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    with pytest.raises(InputError, match=r"Invalid cross-device link\. Export copies instead"):
        to_folder("hardlinks", CHOSEN, tmp_path / "out", sounds)


def chunks(data):
    place, found = 12, {}
    while place < len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        found[name] = data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    assert place == len(data)
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    return found


@pytest.mark.parametrize(
    ("ending", "subtype", "written", "dtype"),
    [
        (".wav", "PCM_U8", "PCM_U8", "int32"),
        (".wav", "PCM_16", "PCM_16", "int32"),
        (".wav", "PCM_24", "PCM_24", "int32"),
        (".wav", "PCM_32", "PCM_32", "int32"),
        (".wav", "FLOAT", "FLOAT", "float64"),
        (".wav", "DOUBLE", "DOUBLE", "float64"),
        (".wav", "ULAW", "ULAW", "int32"),
        (".wav", "ALAW", "ALAW", "int32"),
        (".aiff", "PCM_S8", "PCM_U8", "int32"),
        (".aiff", "PCM_24", "PCM_24", "int32"),
        (".flac", "PCM_16", "PCM_16", "int32"),
        (".flac", "PCM_24", "PCM_24", "int32"),
        (".rf64", "PCM_24", "PCM_24", "int32"),
        (".ogg", "VORBIS", "FLOAT", "float64"),
    ],
)
def test_regions_have_the_samples_of_the_file(
    ending, subtype, written, dtype, tmp_path, monkeypatch
):
    monkeypatch.setattr(regions, "_NUMBERS_AT_ONCE", 1001)  # of several blocks
    samples = np.random.default_rng(0).uniform(-1, 1, (3 * RATE, 2))
    path = tmp_path / f"noise{ending}"
    form = {".rf64": "RF64"}.get(ending)
    soundfile.write(path, samples, RATE, subtype, format=form)
    original, _ = soundfile.read(path, dtype=dtype)
    to_folder("regions", [excerpt(0, path.name, 1.001, 2.0)], tmp_path / "cut", tmp_path)
    (cut,) = (tmp_path / "cut").iterdir()
    assert cut.name == "noise 1.001-2.000.wav"
    info = soundfile.info(cut)
    assert (info.subtype, info.samplerate, info.channels) == (written, RATE, 2)
    heard, _ = soundfile.read(cut, dtype=dtype)
    if ending == ".ogg":  # another decoder
        np.testing.assert_allclose(heard, original[8008:16_000], atol=1e-4)
    else:
        np.testing.assert_array_equal(heard, original[8008:16_000])
    chunks(cut.read_bytes())


def with_bext(path, bext, at_the_end=False):
    data = path.read_bytes()
    chunk = b"bext" + struct.pack("<I", len(bext)) + bext
    body = data[12:] + chunk if at_the_end else chunk + data[12:]
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_the_time_reference_of_a_region_is_that_of_its_first_sample(sounds, tmp_path, at_the_end):
    fields = (b"A storm", b"Recorder", b"R1", b"2023-05-06", b"12:34:56", 8000 * 3600 * 13 + 1, 2)
    bext = struct.pack("<256s32s32s10s8sQH64s190x", *fields, b"umid") + b"A=PCM\r\n"
    with_bext(sounds / "rain.wav", bext + b"\0", at_the_end)
    rain = excerpt(0, "rain.wav", 0.5, 1.0, label="rain")
    to_folder("regions", [rain], tmp_path / "cut", sounds)
    (cut,) = (tmp_path / "cut").iterdir()
    data = cut.read_bytes()
    found = chunks(data)
    assert list(found) == [b"bext", b"fmt ", b"data"]
    reference = 8000 * 3600 * 13 + 1 + 4000
    expected = (*fields[:5], reference, 1, b"")
    assert found[b"bext"] == struct.pack("<256s32s32s10s8sQH64s190x", *expected) + b"A=PCM\0"
    said = dict(read_metadata(cut).fields)
    assert said["description"] == "A storm"
    assert float(said["time_reference"]) == pytest.approx(reference / 8000, abs=1e-6)


def test_a_region_of_a_file_that_says_nothing_says_its_offset_and_query(sounds, tmp_path):
    one = excerpt(1, "sub/rain.wav", 0.25, 1.0, label="é" * 200)
    to_folder("regions", [one], tmp_path / "cut", sounds)
    (cut,) = (tmp_path / "cut").iterdir()
    bext = chunks(cut.read_bytes())[b"bext"]
    assert bext[:256] == ("é" * 128).encode()
    assert struct.unpack_from("<QH", bext, 338) == (2000, 1)
    assert len(bext) == 602


def test_a_region_that_a_wav_cannot_hold_is_refused(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "_LARGEST", 100)
    with pytest.raises(InputError, match="too large for a wav"):
        to_folder("regions", CHOSEN, tmp_path / "cut", sounds)
    assert names(tmp_path / "cut") == []


def test_a_full_disk_leaves_no_part_of_a_region(sounds, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(regions.shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"cannot write .* No space left on device"):
        to_folder("regions", CHOSEN, tmp_path / "cut", sounds)
    assert names(tmp_path / "cut") == []


def test_long_names_leave_room_for_numbers(tmp_path):
    stem = "é" * 126
    for _ in range(3):
        path = exporting.copies.free_name(tmp_path, stem, ".wav")
        path.touch()
    assert all(len(os.fsencode(name)) <= 255 for name in names(tmp_path))
    assert len(names(tmp_path)) == 3
