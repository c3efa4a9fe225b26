import io
import struct

import numpy as np
import pytest
import soundfile

from utils.audio.sound import Sound
from utils.search.web import wav
from utils.search.web.wav import TooLong, WavCopy, WavView, fits_as_it_is


class Samples(Sound):
    """An open sound in memory."""

    container, codec = "made", "up"

    def __init__(self, samples, rate=16_000, *, stated=None):
        self.samples = np.asarray(samples, np.float32)
        self.samplerate, self.channels = rate, self.samples.shape[1]
        self.frames = stated
        self.most = 0  # read at once

    def _read(self, frames):
        self.most = max(self.most, frames)
        return self.samples[self._position : self._position + frames]

    def _seek(self, frame):
        return min(frame, len(self.samples))

    def close(self):
        pass


def noise(frames, channels=2):
    return np.random.default_rng(0).uniform(-0.9, 0.9, (frames, channels))


def whole(content):
    return content.read_at(0, content.size)


def decoded(content):
    return soundfile.read(io.BytesIO(whole(content)), always_2d=True)


@pytest.mark.parametrize("channels", [1, 2])
def test_view_and_copy_are_the_same_wav_file(channels, monkeypatch):
    monkeypatch.setattr(wav, "_BLOCK_NUMBERS", 1000)
    samples = noise(5000, channels)
    view, copy = WavView(Samples(samples, stated=5000)), WavCopy(Samples(samples))
    assert whole(view) == whole(copy)
    assert view.size == copy.size == len(copy) == 44 + 2 * channels * 5000
    heard, rate = decoded(copy)
    assert (rate, soundfile.info(io.BytesIO(whole(copy))).subtype) == (16_000, "PCM_16")
    np.testing.assert_allclose(heard, samples, atol=2 / 32_768)


def test_any_part_of_a_view_is_that_part_of_the_whole():
    view = WavView(Samples(noise(300), stated=300))
    expected = whole(WavCopy(Samples(noise(300))))
    for start in (0, 1, 43, 44, 45, 47, 48, 700, view.size - 1, view.size):
        for count in (1, 3, 4, 50, 5000):
            assert view.read_at(start, count) == expected[start : start + count], (start, count)


def test_many_channels_become_one_loud_samples_are_clipped_and_nan_is_silence():
    samples = [[3.0, 3.0, 3.0], [-9.0, -9.0, 0.0], [np.nan, 0.0, 0.0], [0.3, 0.0, 0.3]]
    for content in (WavView(Samples(samples, stated=4)), WavCopy(Samples(samples))):
        pcm = struct.unpack("<4h", whole(content)[44:])
        assert pcm == (32_767, -32_767, 0, round(0.2 * 32_767))


def test_channels_that_cancel_in_their_mean_are_played_as_they_are_heard():
    left = noise(500, 1)
    sound = Samples(np.hstack([0.5 * left, -left, 0.5 * left]), stated=500)
    weights = wav.safe_weights(sound)
    for content in (WavView(sound, weights), WavCopy(sound, weights)):
        heard, _ = decoded(content)
        np.testing.assert_allclose(heard, -left, atol=2 / 32_768)
    assert wav.safe_weights(Samples(np.hstack([left] * 3))) is None
    assert wav.safe_weights(Samples(np.hstack([left, -left]))) is None  # both are played


def test_the_missing_rest_of_a_damaged_sound_is_silence():
    view = WavView(Samples(noise(100), stated=300))
    assert whole(view)[44 + 4 * 100 :] == bytes(4 * 200)
    assert view.read_at(1000, 10) == bytes(10)


@pytest.mark.parametrize(("rate", "played"), [(1_000, 8_000), (1_000_000, 48_000)])
def test_rates_that_browsers_do_not_play_are_resampled(rate, played):
    tone = np.sin(2 * np.pi * 100 * np.arange(3 * rate) / rate)[:, None] * [0.5, 0.25]
    sound = Samples(tone, rate, stated=len(tone))
    assert not fits_as_it_is(sound)
    heard, found = decoded(WavCopy(sound))
    assert (found, len(heard)) == (played, 3 * played)
    expected = np.sin(2 * np.pi * 100 * np.arange(3 * played) / played)[:, None] * [0.5, 0.25]
    np.testing.assert_allclose(heard[played:-played], expected[played:-played], atol=0.01)


@pytest.mark.parametrize("stated", [None, 48_000])
def test_what_is_too_large_for_a_wav_file_has_a_lower_rate_and_all_of_its_length(
    stated, monkeypatch
):
    monkeypatch.setattr(wav, "_LARGEST", 60_000)
    sound = Samples(noise(48_000), stated=stated)
    heard, rate = decoded(WavCopy(sound))
    assert (rate, len(heard)) == (4_000, 12_000)
    assert not fits_as_it_is(sound)
    monkeypatch.setattr(wav, "_LARGEST", 6_000)
    with pytest.raises(TooLong):
        WavCopy(sound)


def test_long_sounds_are_copied_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(wav, "_BLOCK_NUMBERS", 1000)
    sound = Samples(noise(50_000, 4))
    WavCopy(sound)
    assert sound.most == 250
