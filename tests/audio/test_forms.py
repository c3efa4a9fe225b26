import io
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest
import soundfile

from tests.audio.forms import FORMS, FRAMES, add_pictures, by_ffmpeg, sound, write_forms
from tests.support import read_audio
from utils.audio.ffmpeg import FfmpegSound
from utils.audio.libsndfile import SndfileSound
from utils.audio.sniffing import is_sound
from utils.audio.sound_file import UnusableSound, open_sound, read_header
from utils.runtime.errors import UnreadableError
from utils.runtime.paths import PROJECT_ROOT

_ENDS = 2000  # samples that lossy codecs distort


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a file of every form."""
    folder = tmp_path_factory.mktemp("forms")
    write_forms(folder)
    return folder


def opened(content: bytes, **options):
    return open_sound(Path("a sound"), source=io.BytesIO(content), **options)


def read(content: bytes, **options) -> np.ndarray:
    with opened(content, **options) as opened_sound:
        return opened_sound.read(10**7)


@pytest.mark.parametrize("name", FORMS)
def test_a_sound_is_read_from_its_first_sample_to_its_last(name, folder, capfd):
    form = FORMS[name]
    assert read_header(folder / name) == (form.frames, form.rate)
    with open_sound(folder / name) as file:
        samples = file.read(10**7)
        assert (file.samplerate, samples.shape) == (form.rate, (form.frames, form.channels))
        assert len(file.read(1)) == 0
        file.seek(0)
        blocks = [file.read(1013) for _ in range(form.frames // 1013 + 1)]
        np.testing.assert_array_equal(np.concatenate(blocks), samples)
        file.seek(12_345)
        np.testing.assert_array_equal(file.read(100), samples[12_345:12_445])
    if form.error is not None:
        expected = np.tile(sound(form.rate, form.channels), (form.repeats, 1))
        start, skipped = max(0, form.lag), max(0, -form.lag)
        count = min(form.frames - start, len(expected) - skipped)
        difference = samples[start : start + count] - expected[skipped : skipped + count]
        assert np.abs(difference[_ENDS:-_ENDS]).max() <= form.error
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name", [name for name in FORMS if name.startswith(("16", "flac.f", "in"))]
)
def test_mono_blocks_read_the_same_samples(name, folder):
    with open_sound(folder / name) as file:
        np.testing.assert_array_equal(read_audio(folder / name), file.read(10**7).mean(axis=1))


@pytest.mark.parametrize("name", ["joined rates.mp3", "chained rates.ogg"])
def test_a_part_of_another_rate_is_resampled_to_that_of_the_first(name, folder):
    with open_sound(folder / name) as file:
        second = file.read(10**7)[FRAMES:]
    np.testing.assert_array_equal(second[:, 0], second[:, 1])
    half = second[::2, 0] - sound(22_050, 1)[:, 0]
    assert np.abs(half[_ENDS:-_ENDS]).max() < 0.2


# Forms that tell how long they are, in front.
@pytest.mark.parametrize(
    "name",
    [
        *("16.wav", "24.wav", "rf64.wav", "w64.w64", "aiff.aiff", "au.au", "svx.8svx", "avr.avr"),
        *("caf.caf", "flac.flac", "pcm.mka", "pcm.avi", "flac.mka", "info.mp3", "vbr.mp3"),
        *("vorbis.ogg", "opus.webm", "ima.wav"),
        *("ms.wav", "gsm.wav"),
    ],
)
def test_a_truncated_sound_is_reported_and_read_as_far_as_it_goes_if_accepted(
    name, folder, tmp_path
):
    form, path = FORMS[name], tmp_path / name
    content = (folder / name).read_bytes()
    path.write_bytes(content[: round(0.6 * len(content))])
    with pytest.raises(UnusableSound, match="is truncated "):
        read_audio(path)
    heard = read_audio(path, accept_truncated=True)
    assert 0.3 * form.frames < len(heard) < 0.8 * form.frames
    assert read_header(path, accept_truncated=True) == (len(heard), form.rate)
    with open_sound(folder / name) as whole:
        np.testing.assert_array_equal(heard[:-_ENDS], whole.read(len(heard)).mean(axis=1)[:-_ENDS])


def test_a_film_that_was_cut_is_reported():
    film = by_ffmpeg("mp4", "aac", film=True, options={"movflags": "faststart"})
    with pytest.raises(UnusableSound, match=r"^a sound is truncated after 0\.\d of 0\.7 s"):
        read(film[: len(film) * 2 // 3])


def test_a_wav_without_samples_is_not_read_beyond_them():
    wav = io.BytesIO()
    soundfile.write(wav, np.zeros((0, 2)), 44_100, format="WAV")
    assert len(read(wav.getvalue() + b"LIST\x0c\0\0\0INFO\0\0\0\0abcd")) == 0


@pytest.mark.parametrize("name", ["flac.flac", "info.mp3", "vorbis.ogg", "aac.m4a"])
def test_damage_within_a_sound_is_reported(name, folder):
    content = bytearray((folder / name).read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 5] = np.random.default_rng(0).bytes(len(content) // 5)
    with pytest.raises(UnusableSound, match="is truncated "):
        read(bytes(content))
    assert len(read(bytes(content), accept_truncated=True)) > 3000


# Other players lose their place in these, or do not know how long they are.
_UNINDEXED = {
    "pipe.wav", "pipe.flac", "vbr.mp3", "vbr no index.mp3", "joined.mp3", "joined rates.mp3",
    "zeros.mp3", "chained.ogg", "chained rates.ogg", "chained.opus",
}  # fmt: skip


def test_it_is_known_in_which_files_other_players_lose_their_place(folder):
    found = set()
    for name in FORMS:
        with open_sound(folder / name) as file:
            if not file.indexed:
                found.add(name)
    assert found == _UNINDEXED


@pytest.mark.parametrize(
    ("name", "container", "codec", "decoder"),
    [
        ("16.wav", "wav", "pcm_16", SndfileSound),
        ("extensible.wav", "wav", "pcm_24", SndfileSound),
        ("flac.flac", "flac", "flac", SndfileSound),
        ("pipe.flac", "flac", "flac", FfmpegSound),
        ("aac.m4a", "mp4", "aac", FfmpegSound),
        ("info.mp3", "mp3", "mp3", FfmpegSound),
        ("vorbis.ogg", "ogg", "vorbis", FfmpegSound),
        ("opus.webm", "matroska", "opus", FfmpegSound),
    ],
)
def test_container_and_codec_are_named(name, container, codec, decoder, folder):
    with open_sound(folder / name) as file:
        assert (type(file), file.container, file.codec) == (decoder, container, codec)
        assert file.frames == (FRAMES if decoder is SndfileSound else None)


# What would make FFmpeg open further files, or take anything for samples.
@pytest.mark.parametrize(
    "content",
    [
        b"ffconcat version 1.0\nfile '{}'\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff\xfe" + b"N\0o\0t\0e\0s\0" * 50,
        np.random.default_rng(0).bytes(9999),
    ],
)
def test_lists_of_other_files_pictures_and_raw_samples_are_refused(content, folder, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(content.replace(b"{}", bytes(folder / "16.wav")))
    with pytest.raises(UnusableSound, match="cannot be read as sound"):
        read_header(path)


def _silent_film() -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        add_pictures(container, container.add_stream("mpeg4", rate=25, width=32, height=32))
    return content.getvalue()


def test_what_is_a_sound_is_told_by_the_ending_or_the_content(folder, tmp_path):
    contents = {
        "broken.wav": b"",
        "A.FLAC": b"",
        "no ending": (folder / "info.mp3").read_bytes(),
        "take 1.SD": (folder / "16.wav").read_bytes(),
        "film.mp4": (folder / "film.mp4").read_bytes(),
    }
    others = {
        "silent.mp4": _silent_film(),
        "notes.txt": contents["no ending"],
        "cover.jpg": b"\xff\xd8\xff\xe0",
        "score.pdf": b"%PDF-1.7",
        "list.m3u8": b"#EXTM3U\n16.wav\n",
        "README": b"\xff\xfe" + b"R\0e\0a\0d\0 \0m\0e\0" * 99,
        "a.ts": b"export const a = 1;\n" * 99,
        "picture.webp": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(40),
        "empty": b"",
    }
    for name, content in {**contents, **others}.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    assert {path.name for path in tmp_path.iterdir() if is_sound(path)} == set(contents)


def test_pyav_is_not_imported_for_a_wav(folder):
    code = (
        "import sys, pathlib; from utils.audio.sound_file import read_header; "
        "read_header(pathlib.Path(sys.argv[1])); print('av' in sys.modules)"
    )
    command = [sys.executable, "-c", code, folder / "16.wav"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def lose_disk(file: BinaryIO) -> None:
    """Let all further reads of an open file fail as on a broken disk: by an I/O error."""
    with Path("/proc/self/mem").open("rb") as unreadable:  # its first pages are nobody's
        os.dup2(unreadable.fileno(), file.fileno())


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize("accept_truncated", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_a_sound_whose_disk_does_not_answer_is_not_called_bad(name, accept_truncated, folder):
    for again in (False, True):  # what is buffered is read all the same
        count = 1000
        with (folder / name).open("rb") as file:
            try:
                with open_sound(
                    folder / name, source=file, accept_truncated=accept_truncated
                ) as opened_sound:
                    opened_sound.read(1000)
                    lose_disk(file)
                    if again:
                        opened_sound.seek(0)
                    while read := len(opened_sound.read(5000)):
                        count += read
            except UnreadableError as error:
                assert error.reason == "cannot be read (Input/output error)"
            else:
                assert not again and count == FORMS[name].frames
