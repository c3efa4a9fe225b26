import numpy as np
import pytest

from utils.audio.windows import heard_weights

SIZES = {"window": 100, "hop": 25}


def shares_of_the_mean(samples):
    """How much each window of the longest clip counts in the mean of a clip."""
    found = np.zeros(20)
    if samples <= SIZES["window"]:
        found[2] = 1  # the window in the middle of the first 101 samples
        return found
    weights = heard_weights(range(samples // 25 + 1), length=samples, **SIZES)
    found[: len(weights)] = weights / weights.sum()
    return found


def test_a_clip_that_grows_by_a_sample_keeps_its_mean():
    for samples in range(100, 400):
        change = shares_of_the_mean(samples + 1) - shares_of_the_mean(samples)
        assert np.abs(change).max() <= 1 / SIZES["hop"] + 1e-5, samples


@pytest.mark.parametrize("window", [100, 200, 300])
def test_windows_of_sound_alone_weigh_one_and_no_window_nothing(window):
    weights = heard_weights(range(41), window=window, hop=25, length=1000)
    inside = slice(window // 50, 41 - window // 50)
    np.testing.assert_array_equal(weights[inside], 1)
    assert (weights > 0).all()
    assert weights[: inside.start].max() < 1e-5


def test_all_sound_of_a_clip_is_heard():
    """Each sample is in a window that counts, the last ones the more they are."""
    for samples in range(101, 260):
        weights = heard_weights(range(samples // 25 + 1), length=samples, **SIZES)
        heard = np.zeros(samples)
        for number, weight in enumerate(weights):
            heard[max(0, 25 * number - 50) : 25 * number + 50] += weight
        assert heard[-1] == pytest.approx(min(1, ((samples - 101) % 25 + 1) / 25), abs=1e-3)
        assert heard.min() > 0.03


def test_weights_are_the_same_in_seconds_and_of_a_part_of_the_windows():
    whole = heard_weights(range(9), length=220, **SIZES)
    part = heard_weights(range(5, 9), window=10, hop=2.5, length=22.0)
    np.testing.assert_allclose(part, whole[5:], rtol=1e-6)
    np.testing.assert_array_equal(heard_weights(range(1), length=99, **SIZES), [1])
