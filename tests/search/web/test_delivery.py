import errno
import gc
import io
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.audio.forms import FORMS
from utils.audio.sound_file import UnusableSound, open_sound
from utils.search.web import delivery, wav
from utils.search.web.delivery import Delivery, as_utf8, open_below
from utils.search.web.guard import Refusal

RATE = 16_000


def tone(seconds=0.5, channels=1):
    time = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (c + 1) * time) for c in range(channels)], 1)


def write(path, samples=None, **options):
    soundfile.write(path, tone() if samples is None else samples, RATE, **options)
    return path


def client(path, **options):
    """A client of a server that delivers one file."""
    delivering = Delivery(**options)

    def answer(request):
        return delivering.respond(path.open("rb"), path.name, request.headers)

    return TestClient(Starlette(routes=[Route("/", answer)]))


@pytest.mark.parametrize("name", ["a.wav", "a.caf"])
def test_many_channels_are_sent_as_a_search_hears_them(tmp_path, name):
    left = tone()
    path = write(tmp_path / name, np.hstack([0.5 * left, -left, 0.5 * left]), subtype="FLOAT")
    mean, heard = (client(path, safe_mono=safe).get("/") for safe in (False, True))
    for answer, expected in ((mean, np.zeros(len(left))), (heard, -left[:, 0])):
        samples, _ = soundfile.read(io.BytesIO(answer.content))
        np.testing.assert_allclose(samples, expected, atol=1e-4)
    assert mean.headers["etag"] != heard.headers["etag"]


def open_files():
    """How many files this process has open, its temporary ones among them."""
    gc.collect()  # closes what earlier tests kept in caches
    links = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    return sum(link.is_relative_to(tempfile.gettempdir()) for link in links)


def test_files_of_the_folder_and_symlinks_within_it_are_opened(tmp_path):
    odd = os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x95.wav")
    assert as_utf8(odd) == "caf\\udce9 🐕.wav"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / odd).write_bytes(b"sound")
    (tmp_path / "b.wav").symlink_to(f"sub/{odd}")
    for name in (f"sub/{odd}", "b.wav"):
        with open_below(tmp_path, name) as file:
            assert file.read() == b"sound"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("link", lambda path: path.symlink_to("../outside/a.wav")),
        ("linked folder/a.wav", lambda path: path.parent.symlink_to("../outside")),
        ("../outside/a.wav", lambda path: None),
        ("pipe", os.mkfifo),
        ("folder", Path.mkdir),
        ("loop", lambda path: path.symlink_to("loop")),
    ],
)
def test_nothing_outside_the_folder_is_opened_and_nothing_is_waited_for(name, make, tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "a.wav").write_bytes(b"secret")
    make(folder / name)
    with pytest.raises(Refusal, match="can no longer be opened as a file of this folder") as error:
        open_below(folder, name)
    assert error.value.status == 404


def test_a_symlink_that_is_slipped_in_after_the_check_is_not_followed(tmp_path, monkeypatch):
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
def test_a_missing_file_is_reported(name, tmp_path):
    with pytest.raises(Refusal, match=r"is missing\. Look for new sounds") as error:
        open_below(tmp_path, name)
    assert error.value.status == 410


@pytest.mark.parametrize(
    ("suffix", "options", "media_type"),
    [
        ("wav", {"subtype": "PCM_16"}, "audio/wav"),
        ("wav", {"subtype": "PCM_U8"}, "audio/wav"),
        ("flac", {"subtype": "PCM_24"}, "audio/flac"),
        ("opus", {"format": "OGG", "subtype": "OPUS"}, "audio/ogg"),
    ],
)
def test_what_browsers_play_is_sent_as_it_is(suffix, options, media_type, tmp_path):
    path = write(tmp_path / f"a.{suffix}", **options)
    answer = client(path).get("/")
    assert answer.headers["content-type"] == media_type
    assert answer.content == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("info.mp3", "audio/mpeg"),
        ("no index.mp3", "audio/mpeg"),
        *((name, "audio/wav") for name in ("vbr.mp3", "vbr no index.mp3", "joined.mp3")),
        *((name, "audio/wav") for name in ("mp3.wav", "vorbis.ogg", "chained.opus", "pipe.flac")),
    ],
)
def test_compressed_sounds_are_sent_if_browsers_find_every_position(name, media_type, tmp_path):
    path = tmp_path / name
    path.write_bytes(FORMS[name].make())
    answer = client(path).get("/")
    assert answer.headers["content-type"] == media_type
    if media_type == "audio/wav":
        with open_sound(path) as sound:
            assert len(answer.content) == 44 + 2 * sound.channels * sound.count()


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        *(("wav", subtype) for subtype in ("PCM_24", "FLOAT", "MS_ADPCM")),
        *((suffix, None) for suffix in ("aiff", "w64", "caf")),
        ("au", "ULAW"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_other_sounds_are_decoded(suffix, subtype, channels, tmp_path):
    path = write(tmp_path / f"a.{suffix}", tone(channels=channels), subtype=subtype)
    data = client(path).get("/").content
    decoded, rate = soundfile.read(io.BytesIO(data), always_2d=True)
    assert rate == RATE
    assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"
    assert decoded.shape == (RATE // 2, channels)
    assert np.abs(decoded - tone(channels=channels)).mean() < 0.005


def test_a_file_that_is_not_a_sound_is_reported_by_its_name_and_closed(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    file = (tmp_path / "a.wav").open("rb")
    with pytest.raises(UnusableSound, match=r"^sub/a\.wav cannot be read as sound"):
        Delivery().respond(file, "sub/a.wav", Headers())
    assert file.closed


@pytest.fixture
def copied(monkeypatch):
    """Copies every sound that is decoded; lists what is copied."""
    made = []

    class Copy(wav.WavCopy):
        def __init__(self, sound, weights):
            made.append(sound.container)
            super().__init__(sound, weights)

    monkeypatch.setattr(delivery, "WavCopy", Copy)
    monkeypatch.setattr(delivery, "fits_as_it_is", lambda sound: False)
    return made


def test_a_sound_is_decoded_once_for_all_requests(tmp_path, copied):
    page = client(write(tmp_path / "a.aiff", tone(20)))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: page.get("/").content, range(8)))
    assert copied == ["aiff"]
    assert len(set(answers)) == 1
    write(tmp_path / "a.aiff", tone(1))
    assert len(page.get("/").content) == 44 + 2 * RATE


def test_copies_beyond_the_limit_go_but_not_while_they_are_sent(tmp_path, monkeypatch, copied):
    monkeypatch.setattr(delivery, "_COPIES", 20_000)
    paths = [write(tmp_path / f"{number}.aiff") for number in range(4)]
    before = open_files()
    delivering = Delivery()
    responses = [delivering.respond(path.open("rb"), path.name, Headers()) for path in paths]
    assert open_files() == before + len(paths)
    for response in responses:
        sent = TestClient(Starlette(routes=[Route("/", lambda _, it=response: it)])).get("/")
        assert len(sent.content) == 44 + RATE
    assert open_files() == before + 1  # the last copy
    del delivering
    assert open_files() == before


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (errno.ENOSPC, 507, r"cannot decode a\.aiff: No space left on device\. Free some space"),
        (errno.EMFILE, 503, "The server is busy"),
    ],
)
def test_a_copy_that_cannot_be_made_is_reported(
    number, status, message, tmp_path, monkeypatch, copied
):
    def full(prefix):
        raise OSError(number, os.strerror(number))

    path = write(tmp_path / "a.aiff")
    monkeypatch.setattr(wav.tempfile, "TemporaryFile", full)
    file = path.open("rb")
    with pytest.raises(Refusal, match=message) as error:
        Delivery().respond(file, path.name, Headers())
    assert (error.value.status, file.closed) == (status, True)


def test_a_sound_that_is_too_long_for_a_wav_file_is_refused(tmp_path, monkeypatch, copied):
    monkeypatch.setattr(wav, "_LARGEST", 1000)
    path = write(tmp_path / "a.aiff")
    with pytest.raises(Refusal, match=r"^a\.aiff is too long to be played here") as error:
        Delivery().respond(path.open("rb"), path.name, Headers())
    assert error.value.status == 413


def test_a_sound_is_open_once_while_it_is_sent(tmp_path):
    seen, before = [], open_files()

    async def watch(scope, receive, send):
        async def send_and_count(message):
            seen.append(open_files() - before)
            await send(message)

        response = Delivery().respond(path.open("rb"), path.name, Headers())
        await response(scope, receive, send_and_count)

    for name in ("a.wav", "a.aiff"):
        path = write(tmp_path / name, tone(10))
        TestClient(watch).get("/")
    assert set(seen) == {1}
    assert open_files() == before


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])  # as it is, and decoded
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=43-45", 43, 46),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999999", 0, None),
        ("bytes=-99999999999", 0, None),
        ("bytes=0-" + 50 * "9", 0, None),
    ],
)
def test_a_range_is_that_part_of_the_whole(name, asked, start, end, tmp_path):
    page = client(write(tmp_path / name))
    whole = page.get("/").content
    answer = page.get("/", headers={"range": asked})
    first, last = start % len(whole), (end or len(whole)) - 1
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.content == whole[start:end]


def test_several_ranges_are_sent_in_parts(tmp_path):
    path = write(tmp_path / "a.wav")
    answer = client(path).get("/", headers={"range": "bytes=0-9,100-109"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    for start in (0, 100):
        assert path.read_bytes()[start : start + 10] in answer.content


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        *((asked, 416) for asked in ("bytes=999999-", "bytes=-0")),
        *((asked, 400) for asked in ("bytes=5-3", "bytes=-", "lines=0-1", "bytes=a-b")),
    ],
)
def test_an_invalid_range_is_refused_and_the_file_closed(asked, status, tmp_path):
    path = write(tmp_path / "a.wav")
    before = open_files()
    with pytest.raises(Refusal, match=f"^Range '{asked}': ") as error:
        client(path).get("/", headers={"range": asked})
    assert error.value.status == status
    if status == 416:
        assert error.value.headers == {"content-range": f"bytes */{path.stat().st_size}"}
    assert open_files() == before


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_what_the_browser_has_already_is_not_sent_again(name, tmp_path):
    page = client(write(tmp_path / name))
    etag = page.get("/").headers["etag"]
    answer = page.get("/", headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    for condition, status in ((etag, 206), ('"older"', 200)):
        headers = {"range": "bytes=0-9", "if-range": condition}
        assert page.get("/", headers=headers).status_code == status


def test_a_head_request_gets_only_the_headers(tmp_path):
    path = write(tmp_path / "a.wav")
    before = open_files()
    answer = client(path).head("/")
    assert answer.headers["content-length"] == str(path.stat().st_size)
    assert (answer.content, open_files()) == (b"", before)
