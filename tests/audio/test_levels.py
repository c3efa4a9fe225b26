import numpy as np
import pytest

from utils.audio.levels import Levels, silent

RATE = 32_000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
ONE_BIT = np.random.default_rng(0).integers(-1, 2, RATE) / 2**15


def measured(samples):
    levels = Levels()
    for block in np.array_split(np.asarray(samples, np.float32), 3):
        levels.add(block)
    return levels


@pytest.mark.parametrize(
    ("samples", "notes"),
    [
        (0.5 * TONE, []),
        (0.011 * TONE, []),
        (90 * TONE, []),  # far too loud, but no integers
        (0 * TONE, ["is digital silence"]),
        (0 * TONE + 0.25, ["is digital silence"]),
        (ONE_BIT, ["is digital silence"]),
        (0.001 * TONE, ["is very quiet (peak -60 dBFS)"]),
        (0.5 * TONE + 0.12, ["has a DC offset of +0.12"]),
        (0.005 * TONE - 0.3, ["has a DC offset of -0.30", "is very quiet (peak -46 dBFS)"]),
        (
            np.rint(12_345 * TONE),
            ["holds integers up to 12345 as floating-point samples, whose full scale is 1"],
        ),
        (
            np.rint(2**22 * TONE),
            ["holds integers up to 4194304 as floating-point samples, whose full scale is 1"],
        ),
    ],
)
def test_what_is_odd_about_levels_is_noted(samples, notes):
    assert measured(samples).notes == notes


def test_the_gain_brings_a_sound_to_the_same_loudness():
    for level in (0.5, 0.05, 0.01):
        assert level * measured(level * TONE).gain == pytest.approx(0.1, rel=0.01)  # -23 dB RMS
    assert measured(0.05 * TONE + 0.5).gain == pytest.approx(2, rel=0.01)
    # A click in silence: its peak is the limit.
    click = np.zeros(RATE)
    click[1000:1010] = 0.25
    assert measured(click).gain == pytest.approx(4, rel=0.01)
    assert measured(1e-4 * TONE).gain == 100
    assert measured(0 * TONE).gain == measured(ONE_BIT).gain == 1
    assert measured(np.rint(30_000 * TONE)).gain == pytest.approx(0.1 / 30_000, rel=0.01)


def test_a_window_is_silent_without_anything_above_the_last_bit():
    windows = np.stack([0 * TONE, ONE_BIT, 0 * TONE + 0.5, 1e-4 * TONE]).astype(np.float32)
    np.testing.assert_array_equal(silent(windows), [True, True, True, False])
    windows[0, -1] = 0.01
    assert not silent(windows)[0]
