import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from utils.audio import spectrogram
from utils.audio.libsndfile import SndfileSound

RATE = 32_000


def picture(samples, rate=RATE):
    """The opacities of the drawn picture, from 0 to 1."""
    written = io.BytesIO()
    soundfile.write(written, samples, rate, format="WAV", subtype="FLOAT")
    written.seek(0)
    with SndfileSound(written) as sound:
        image = Image.open(io.BytesIO(spectrogram.draw(sound)))
    assert (image.mode, image.size) == ("LA", (800, 72))
    return np.asarray(image)[..., 1] / 255


def sine(frequency, seconds, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def test_time_runs_to_the_right_and_pitch_upwards():
    drawn = picture(np.concatenate([sine(200, 1), sine(5000, 1)]))
    rows = drawn.argmax(axis=0)
    assert rows[100] > 60  # of 72, counted from above
    assert rows[700] < 35
    assert drawn[:, 100].max() == 1


def test_a_click_is_drawn_at_its_time():
    samples = np.zeros(10 * RATE)
    samples[round(2.5 * RATE)] = 1
    loudness = picture(samples).sum(axis=0)
    assert loudness.argmax() == pytest.approx(200, abs=8)
    assert loudness[:150].max() == loudness[250:].max() == 0


@pytest.mark.parametrize("samples", [100, 2048, 5000])
def test_short_sounds_fill_the_picture(samples):
    assert picture(np.random.default_rng(0).normal(0, 0.1, samples)).max(axis=0).min() > 0.5


def test_silence_nan_and_low_rates_are_drawn_without_error_or_noise():
    assert picture(np.zeros(RATE)).max() == picture(np.zeros(1)).max() == 0
    assert picture(np.full(RATE, np.nan)).max() == 0
    assert picture(sine(300, 2, rate=1000), rate=1000).max() == 1


def test_channels_are_drawn_as_one():
    left, right = sine(300, 1), sine(4000, 1)
    both = picture(np.stack([left, right], axis=1))
    np.testing.assert_array_equal(both, picture((left + right) / 2))


def test_a_long_sound_is_not_read_whole(monkeypatch):
    read = 0
    original = SndfileSound.read

    def counting(self, frames):
        nonlocal read
        read += frames
        return original(self, frames)

    samples = np.concatenate([np.zeros(2400 * 1000), sine(200, 2400, rate=1000)])
    monkeypatch.setattr(spectrogram, "_FRAME", 64)
    monkeypatch.setattr(SndfileSound, "read", counting)
    spectrogram._bands.cache_clear()
    drawn = picture(samples, rate=1000)
    spectrogram._bands.cache_clear()
    assert read <= 2400 * 64
    assert drawn[:, :395].max() == 0
    assert drawn[:, 405:].max(axis=0).min() > 0.9
