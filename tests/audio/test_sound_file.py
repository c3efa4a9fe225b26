import errno
import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch.nn import functional as F

from tests.support import read_audio
from utils.audio import ffmpeg, sound_file
from utils.audio.sound_file import (
    UnusableSound,
    check_sound_file,
    fingerprint,
    open_sound,
    read_header,
)
from utils.audio.windows import cut_windows
from utils.runtime.errors import InputError


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_pitch_level_and_length(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate)
    mono = read_audio(tmp_path / "a.wav", sample_rate=32_000)
    assert len(mono) == pytest.approx(32_000, abs=2)
    spectrum = np.abs(np.fft.rfft(mono[:32_000], 32_000))
    assert spectrum.argmax() == 1000
    assert np.abs(mono[2000:-2000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("samples", [101, 124, 125, 150, 151, 250, 1000, 1003])
@pytest.mark.parametrize("at_once", [1, 3, 16])
@pytest.mark.parametrize("block", [7, 100, 5000])
def test_windows_of_a_long_clip_equal_reflect_padding_and_unfold(samples, at_once, block):
    clip = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    blocks = [clip[start : start + block] for start in range(0, samples, block)]
    found = list(cut_windows(blocks, window=100, hop=25, shortest=16, at_once=at_once))
    padded = F.pad(torch.from_numpy(clip)[None], (50, 50), mode="reflect")
    expected = padded[0].unfold(0, 100, 25)
    assert len(expected) == samples // 25 + 1
    assert all(len(windows) == at_once for windows in found[:-1])
    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize(("samples", "length"), [(0, 16), (1, 16), (16, 16), (40, 40), (100, 100)])
def test_a_short_clip_is_one_window_of_its_own_length(samples, length):
    clip = np.ones(samples, np.float32)
    (windows,) = cut_windows([clip[:1], clip[1:]], window=100, hop=25, shortest=16)
    assert windows.shape == (1, length)
    assert windows.sum() == samples


@pytest.mark.parametrize("place", [0, 60_000, 99_999])
def test_the_fingerprint_depends_on_content_not_date(tmp_path, place):
    path, copy = tmp_path / "a.wav", tmp_path / "b.wav"
    content = bytearray(100_000)
    path.write_bytes(content)
    copy.write_bytes(content)
    os.utime(copy, (1, 1))
    first = fingerprint(path)
    assert fingerprint(copy) == first
    content[place] ^= 1
    path.write_bytes(content)
    assert fingerprint(path) != first
    copy.write_bytes(b"")
    assert fingerprint(copy) != first
    with pytest.raises(InputError, match="gone"):
        fingerprint(tmp_path / "gone")


def noise(frames, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((frames, channels))


@pytest.mark.parametrize("rate", [8_000, 11_025, 32_000, 44_100, 192_000])
def test_a_file_decoded_in_pieces_is_the_file_resampled_at_once(tmp_path, rate, monkeypatch):
    soundfile.write(tmp_path / "a.wav", noise(3 * rate + 17, 2), rate, subtype="FLOAT")
    monkeypatch.setattr(sound_file, "_BLOCK_NUMBERS", 10_000)
    pieces = list(sound_file.mono_blocks(tmp_path / "a.wav", sample_rate=32_000))
    assert len(pieces) > 5
    mono = soundfile.read(tmp_path / "a.wav", dtype="float32")[0].mean(axis=1)
    expected = soxr.resample(mono, rate, 32_000) if rate != 32_000 else mono
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert pieces[0].dtype == np.float32


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read(tmp_path, suffix, channels):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(44_100, channels), 44_100)
    assert read_audio(path, sample_rate=32_000).shape == (32_000,)
    assert read_header(path) == (44_100, 44_100)


def test_silence_and_samples_beyond_full_scale_are_sound(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(1000), 32_000)
    assert not read_audio(tmp_path / "silence.wav").any()
    soundfile.write(tmp_path / "loud.wav", np.array([3.5, -7.0]), 32_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "loud.wav"), [3.5, -7.0])


def test_a_wav_from_a_pipe_that_declares_no_length_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 44_100)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read_audio(path)) == 1000


@pytest.mark.parametrize("rate", [999, 2_000_000])
def test_an_impossible_sample_rate_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", noise(100), rate)
    with pytest.raises(UnusableSound, match=rf"has an impossible sample rate \({rate} Hz"):
        read_header(tmp_path / "a.wav")


def test_only_regular_files_inside_the_data_set_are_opened(tmp_path):
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (root / "split").mkdir(parents=True)
    elsewhere.mkdir()
    for folder in (root, root / "split", elsewhere):
        (folder / "a.wav").touch()
    (root / "folder.wav").mkdir()
    os.mkfifo(root / "pipe.wav")
    links = {"within": root / "a.wav", "gone": root / "nothing", "out": elsewhere / "a.wav"}
    for name, target in links.items():
        (root / f"split/{name}.wav").symlink_to(target)
    (root / "loop.wav").symlink_to(root / "loop.wav")
    check_sound_file(root / "a.wav", root=root)
    check_sound_file(root / "split/within.wav", root=root)
    for name, reason in (
        ("none.wav", "is missing"),
        ("folder.wav", "is a folder"),
        ("pipe.wav", "is not a regular file"),
        ("loop.wav", "cannot be opened"),
        ("split/gone.wav", r"is a broken symlink \(to .*nothing\)"),
        ("split/out.wav", r"is a symlink that leaves .*data \(to .*elsewhere/a\.wav\)"),
    ):
        with pytest.raises(UnusableSound, match=reason):
            check_sound_file(root / name, root=root)
    # A whole folder may be elsewhere.
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "b.wav").symlink_to("a.wav")
    check_sound_file(root / "linked/a.wav", root=root)
    check_sound_file(root / "linked/b.wav", root=root)


def test_an_open_file_is_read_and_named_by_the_given_path(tmp_path):
    path = tmp_path / "tone.flac"
    soundfile.write(path, np.linspace(-0.5, 0.5, 2000), 16_000)
    with path.open("rb") as source, sound_file.open_sound(Path("gone.flac"), source=source) as file:
        assert (file.frames, file.samplerate) == (2000, 16_000)
    with (
        io.BytesIO(b"no sound") as source,
        pytest.raises(UnusableSound, match=r"^gone\.flac cannot be read as sound"),
        sound_file.open_sound(Path("gone.flac"), source=source),
    ):
        pass


@pytest.mark.parametrize("use", [read_header, fingerprint])
def test_a_sound_is_not_called_unusable_for_want_of_descriptors(use, tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100, np.float32), 32_000)

    def refuse(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        use(path)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize("declared", [0, 43_500])
def test_the_number_of_samples_in_the_header_does_not_shorten_plain_samples(
    subtype, declared, tmp_path
):
    content = io.BytesIO()
    soundfile.write(content, noise(44_100), 44_100, format="WAV", subtype=subtype)
    content = content.getvalue()
    place = content.index(b"data")
    fact = b"fact" + struct.pack("<II", 4, declared)
    path = tmp_path / "a.wav"
    path.write_bytes(content[:4] + struct.pack("<I", len(content) + 4) + content[8:place])
    with path.open("ab") as file:
        file.write(fact + content[place:])
    assert read_header(path) == (44_100, 44_100)
    np.testing.assert_array_equal(read_audio(path), soundfile.read(path, dtype="float32")[0])


def test_what_a_failed_read_leaves_in_memory_is_not_sound(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 44_100)

    def fail(self, *, out):
        raise soundfile.LibsndfileError(2)

    with open_sound(path, accept_truncated=True) as sound:
        monkeypatch.setattr(soundfile.SoundFile, "read", fail)
        assert len(sound.read(1000)) == 0
        assert sound.fault.startswith("is truncated or damaged after 0.0 s (")


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
def test_a_sound_is_not_called_damaged_for_want_of_memory(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(10_000), 44_100)

    def refuse(*args, **kwargs):
        raise error

    with open_sound(path) as sound:
        sound.read(10)
        if suffix == ".wav":
            error = soundfile.LibsndfileError(1, "System error: Cannot allocate memory: ")
            monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
        else:
            error = av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")
            monkeypatch.setattr(ffmpeg, "_samples", refuse)
            monkeypatch.setattr(ffmpeg, "_has_room", lambda: False)
        with pytest.raises((soundfile.LibsndfileError, MemoryError), match="allocate memory"):
            sound.read(10_000)


def test_a_file_that_asks_for_more_memory_than_there_is_is_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.m4a"

    def refuse(*_, **__):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(ffmpeg.av, "open", refuse)
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    message = r"a\.m4a cannot be read as sound \(Cannot allocate"
    with pytest.raises(UnusableSound, match=message), open_sound(path):
        pass
