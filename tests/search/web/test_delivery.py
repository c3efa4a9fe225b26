import io
import os
import struct

import numpy as np
import pytest
import soundfile
from starlette.datastructures import Headers

from utils.audio.sound_file import UnusableSound
from utils.search.web.delivery import as_content, open_below, respond, shown, version_of
from utils.search.web.guard import Refusal

RATE = 16_000


def tone(seconds=0.5, channels=1):
    time = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (c + 1) * time) for c in range(channels)], 1)


def write(path, samples=None, **options):
    soundfile.write(path, tone() if samples is None else samples, RATE, **options)
    return path


def all_of(content):
    return b"".join(content.read(0, content.size))


def test_a_file_of_the_folder_is_opened_and_so_is_a_link_that_stays_in_it(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.wav").write_bytes(b"sound")
    (tmp_path / "b.wav").symlink_to("sub/a.wav")
    for name in ("sub/a.wav", "b.wav"):
        with open_below(tmp_path, name) as file:
            assert file.read() == b"sound"


@pytest.mark.parametrize("kind", ["link", "linked folder", "dots", "pipe", "folder", "loop"])
def test_nothing_outside_the_folder_is_opened_and_nothing_is_waited_for(kind, tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "a.wav").write_bytes(b"secret")
    name = "sub/a.wav" if kind == "linked folder" else "a.wav"
    if kind == "link":
        (folder / name).symlink_to(outside / "a.wav")
    elif kind == "linked folder":
        (folder / "sub").symlink_to(outside)
    elif kind == "dots":
        name = "../outside/a.wav"
    elif kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to(name)
    with pytest.raises(Refusal, match="can no longer be opened as a file of this folder") as error:
        open_below(folder, name)
    assert error.value.status == 404


def test_a_link_that_is_slipped_in_after_the_check_is_not_followed(tmp_path, monkeypatch):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for place in (outside, folder / "sub"):
        place.mkdir(parents=True)
        (place / "a.wav").write_bytes(place.name.encode())
    opened = os.open

    def swap(path, flags, **options):
        if path == folder:
            (folder / "sub").rename(tmp_path / "gone")
            (folder / "sub").symlink_to(outside)
        return opened(path, flags, **options)

    monkeypatch.setattr("utils.search.web.delivery.os.open", swap)
    with pytest.raises(Refusal, match=r"sub/a\.wav"):
        open_below(folder, "sub/a.wav")


@pytest.mark.parametrize("name", ["gone.wav", "gone/a.wav"])
def test_a_file_that_has_gone_is_told(name, tmp_path):
    with pytest.raises(Refusal, match=r"is no longer there\. Look for new sounds") as error:
        open_below(tmp_path, name)
    assert error.value.status == 410


def test_names_that_are_not_utf8_can_be_shown_and_opened(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x95.wav")
    (tmp_path / name).write_bytes(b"sound")
    assert shown(name) == "caf\\udce9 🐕.wav"
    with open_below(tmp_path, name) as file:
        assert file.read() == b"sound"


@pytest.mark.parametrize(
    ("suffix", "options", "media_type"),
    [
        ("wav", {"subtype": "PCM_16"}, "audio/wav"),
        ("wav", {"subtype": "PCM_U8"}, "audio/wav"),
        ("flac", {"subtype": "PCM_24"}, "audio/flac"),
        ("mp3", {}, "audio/mpeg"),
        ("ogg", {}, "audio/ogg"),
        ("opus", {"format": "OGG", "subtype": "OPUS"}, "audio/ogg"),
    ],
)
def test_what_browsers_play_is_sent_as_it_is(suffix, options, media_type, tmp_path):
    path = write(tmp_path / f"a.{suffix}", **options)
    with path.open("rb") as file:
        content = as_content(file, path.name)
        assert content.media_type == media_type
        assert all_of(content) == path.read_bytes()
        assert b"".join(content.read(10, 20)) == path.read_bytes()[10:20]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"subtype": "MS_ADPCM"}),
        ("aiff", {}),
        ("w64", {}),
        ("caf", {}),
        ("au", {"subtype": "ULAW"}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_they_do_not_play_is_decoded(suffix, options, channels, tmp_path):
    path = write(tmp_path / f"a.{suffix}", tone(channels=channels), **options)
    with path.open("rb") as file:
        content = as_content(file, path.name)
        data = all_of(content)
    assert len(data) == content.size
    decoded, rate = soundfile.read(io.BytesIO(data), always_2d=True)
    expected, _ = soundfile.read(path, always_2d=True)
    assert rate == RATE
    assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"
    np.testing.assert_allclose(decoded, expected, atol=2 / 32_768)


def test_any_part_of_what_is_decoded_is_the_part_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.search.web.delivery._CHUNK", 1000)
    path = write(tmp_path / "a.aiff", tone(channels=2))
    rng = np.random.default_rng(0)
    with path.open("rb") as file:
        content = as_content(file, path.name)
        whole = all_of(content)
        spans = [(0, 1), (0, 44), (43, 45), (44, 45), (45, 4000), (content.size - 1, content.size)]
        spans += [sorted(rng.integers(0, content.size, 2)) for _ in range(50)]
        for start, end in spans:
            assert b"".join(content.read(int(start), int(end))) == whole[start:end]


def test_many_channels_become_one_loud_samples_are_clipped_and_nan_is_silence(tmp_path):
    samples = np.array([[3.0, 3.0, 3.0], [-9.0, -9.0, 0.0], [np.nan, 0.0, 0.0], [0.3, 0.0, 0.3]])
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    with path.open("rb") as file:
        data = all_of(as_content(file, path.name))
    assert struct.unpack("<4h", data[44:]) == (32_767, -32_767, 0, round(0.2 * 32_767))


def test_what_a_damaged_file_lacks_is_silence(tmp_path, monkeypatch):
    path = write(tmp_path / "a.flac", tone(4))
    with path.open("rb") as file:
        content = as_content(file, path.name, decode=True)
        path.write_bytes(path.read_bytes()[:2000] + bytes(3000))  # the same open file
        data = all_of(content)
    assert len(data) == content.size
    assert data.endswith(bytes(10_000))


def test_a_sound_larger_than_wav_can_say_says_the_most(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.search.web.delivery._LARGEST_WAV", 1000)
    with write(tmp_path / "a.aiff").open("rb") as file:
        content = as_content(file, "a.aiff")
        header = b"".join(content.read(0, 44))
    assert content.size == 44 + 2 * RATE // 2
    assert struct.unpack("<I", header[4:8]) == (992,)
    assert struct.unpack("<I", header[40:]) == (956,)


def test_what_is_no_sound_any_more_is_told_by_its_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with (
        (tmp_path / "a.wav").open("rb") as file,
        pytest.raises(UnusableSound, match=r"^sub/a\.wav cannot be read as sound"),
    ):
        as_content(file, "sub/a.wav")


def answer(path, *, head=False, **headers):
    file = path.open("rb")
    content = as_content(file, path.name)
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    response = respond(content, file, given, head=head)
    return response, file, f'"{version_of(path.open("rb"))}"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999999", 0, None),
        ("bytes=-99999999999", 0, None),
    ],
)
def test_one_range_is_sent_alone(asked, start, end, tmp_path):
    path = write(tmp_path / "a.wav")
    whole = path.read_bytes()
    response, _, _ = answer(path, range=asked)
    first = start % len(whole)
    last = (end or len(whole)) - 1
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    assert response.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-3", "bytes=0-1,4-5", "bytes=-", "lines=0-1", "bytes=a-b", "bytes=0-" + 50 * "9"],
)
def test_other_ranges_are_ignored(asked, tmp_path):
    path = write(tmp_path / "a.wav")
    response, _, _ = answer(path, range=asked)
    assert response.status_code == 200
    assert response.headers["content-length"] == str(path.stat().st_size)


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(asked, tmp_path):
    path = write(tmp_path / "a.wav")
    response, file, _ = answer(path, range=asked)
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{path.stat().st_size}"
    assert file.closed


def test_what_the_browser_has_already_is_not_sent_again(tmp_path):
    path = write(tmp_path / "a.wav")
    _, _, etag = answer(path)
    response, file, _ = answer(path, if_none_match=etag)
    assert (response.status_code, file.closed) == (304, True)
    assert answer(path, range="bytes=0-9", if_range=etag)[0].status_code == 206
    assert answer(path, range="bytes=0-9", if_range='"older"')[0].status_code == 200


def test_only_the_headers_are_sent_where_only_they_are_asked_for(tmp_path):
    path = write(tmp_path / "a.wav")
    response, file, _ = answer(path, head=True)
    assert response.headers["content-length"] == str(path.stat().st_size)
    assert (response.body, file.closed) == (b"", True)
