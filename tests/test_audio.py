import os

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

from utils.audio import cut_windows, fingerprint, read_audio
from utils.errors import InputError


def test_channels_are_averaged_not_taken_for_two_sounds(tmp_path):
    left, right = np.full(800, 0.5, np.float32), np.full(800, -0.25, np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 32_000, subtype="FLOAT")
    mono = read_audio(tmp_path / "a.wav", sample_rate=32_000)
    assert mono.shape == (800,)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, 0.125)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_pitch_level_and_length(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate)
    mono = read_audio(tmp_path / "a.wav", sample_rate=32_000)
    assert len(mono) == pytest.approx(32_000, abs=2)
    spectrum = np.abs(np.fft.rfft(mono[:32_000], 32_000))
    assert spectrum.argmax() == 1000
    assert np.abs(mono[2000:-2000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not sound at all" * 100])
def test_what_is_no_sound_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.wav as sound"):
        read_audio(path, sample_rate=32_000)


def test_empty_and_non_finite_sound_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 32_000)
    with pytest.raises(InputError, match="no samples"):
        read_audio(tmp_path / "empty.wav", sample_rate=32_000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 32_000, subtype="FLOAT")
    with pytest.raises(InputError, match="NaN"):
        read_audio(tmp_path / "nan.wav", sample_rate=32_000)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.wav"):
        read_audio(tmp_path / "gone.wav", sample_rate=32_000)


@pytest.mark.parametrize("samples", [101, 250, 1000])
def test_windows_of_a_long_clip_equal_reflect_padding_and_unfold(samples):
    clip = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    windows = cut_windows(clip, window=100, hop=25, shortest=16)
    padded = F.pad(torch.from_numpy(clip)[None], (50, 50), mode="reflect")
    expected = padded[0].unfold(0, 100, 25)
    assert len(windows) == samples // 25 + 1
    np.testing.assert_array_equal(windows, expected)


@pytest.mark.parametrize(("samples", "length"), [(1, 16), (16, 16), (40, 40), (100, 100)])
def test_a_short_clip_is_one_window_of_its_own_length(samples, length):
    clip = np.ones(samples, np.float32)
    windows = cut_windows(clip, window=100, hop=25, shortest=16)
    assert windows.shape == (1, length)
    assert windows.sum() == samples


@pytest.mark.parametrize("place", [0, 60_000, 99_999])
def test_the_fingerprint_tells_content_not_date(tmp_path, place):
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
