import numpy as np
import pytest

from utils.audio.downmix import Channels, mix_down

RATE = 32_000


def noise(seed, seconds=1.0):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def measured(*channels):
    """Stack channels, shape (N, C), and measure them in blocks of unequal length."""
    samples = np.stack(channels, axis=1).astype(np.float32)
    found = Channels()
    for block in np.array_split(samples, [7, 10_000, 10_001]):
        found.add(block)
    return samples, found


def encoded(*sources):
    """Encode (azimuth in degrees, sound) as ambisonics of first order: ACN, SN3D."""
    angles = np.radians([azimuth for azimuth, _ in sources])
    sounds = np.stack([sound for _, sound in sources])
    flat = np.zeros(sounds.shape[1])
    return sounds.sum(axis=0), np.sin(angles) @ sounds, flat, np.cos(angles) @ sounds


def decibels(one, other):
    return 10 * np.log10(np.mean(one**2) / np.mean(other**2))


A, B = noise(1), noise(2)
QUIET = 0.001 * noise(3)
SAFE_IN_THE_MEAN = {
    "equal": (A, A),
    "stereo": (A, B),
    "one side alone": (A, 0 * A),
    "delayed": (A, np.roll(A, 16)),
    "a little inverted": (A, -0.3 * A),
    "three of six": (A, B, noise(4), QUIET, QUIET, QUIET),
    "four unrelated": tuple(map(noise, range(4))),
    "stereo and two empty channels": (A, B, 0 * A, 0 * A),
    "with offsets": (A + 0.4, B - 0.4),
}


@pytest.mark.parametrize("channels", SAFE_IN_THE_MEAN.values(), ids=SAFE_IN_THE_MEAN)
def test_a_mean_that_keeps_the_sound_is_taken(channels):
    assert measured(*channels)[1].safe_downmix() is None


CANCELLING = {
    "inverted": ((-A, A), 1),
    "partly inverted": ((A, -0.9 * A), 1),
    "inverted with an offset": ((A + 0.3, -A + 0.3), 1),
    "inverted and delayed noise beside it": ((A, QUIET - A), 1),
    "three of four inverted": ((A, -A, A, -A), 1),
    "ambisonic, from the back": (encoded((180, A)), 1),
    "ambisonic, from the right": (encoded((-90, A)), 1),
    "ambisonic, from all round": (
        encoded((0, noise(1)), (90, noise(2)), (180, noise(3)), (270, noise(4))),
        1,
    ),
}


@pytest.mark.parametrize(("channels", "taken"), CANCELLING.values(), ids=CANCELLING)
def test_where_channels_cancel_one_is_taken_that_has_the_sound(channels, taken):
    samples, found = measured(*channels)
    downmix = found.safe_downmix()
    assert downmix.reason.startswith(f"is tagged from channel {taken} of {len(channels)}, because")
    mixed = mix_down(samples, downmix.weights)
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, samples[:, taken - 1])


@pytest.mark.parametrize("count", [6, 8, 16])
def test_one_live_channel_of_many_is_not_made_quiet(count):
    samples, found = measured(*[0 * A] * (count - 1), A)
    downmix = found.safe_downmix()
    assert "from the sum of its" in downmix.reason
    np.testing.assert_allclose(mix_down(samples, downmix.weights), samples[:, -1], atol=1e-6)


@pytest.mark.parametrize("count", [9, 16])
def test_many_unrelated_channels_are_all_in_the_sum(count):
    samples, found = measured(*map(noise, range(count - 1)), 1.1 * noise(count))
    mixed = mix_down(samples, found.safe_downmix().weights)
    assert decibels(mixed, samples[:, -1]) == pytest.approx(0, abs=0.1)
    for channel in samples.T:
        assert np.corrcoef(mixed, channel)[0, 1] == pytest.approx(count**-0.5, abs=0.05)


def test_the_limit_is_nine_decibels_below_the_channels():
    for share, cancels in ((-0.4, False), (-0.5, True)):
        # The mean has (1 + share)² / 4, the channels (1 + share²) / 2: -8.1 and -10 dB.
        assert (measured(A, share * A)[1].safe_downmix() is not None) == cancels


def test_silence_and_one_channel_need_no_downmix():
    assert measured(0 * A, 0 * A)[1].safe_downmix() is None
    assert measured(0 * A + 0.5, 0 * A - 0.5)[1].safe_downmix() is None
    assert measured(A)[1].safe_downmix() is None


def test_the_covariance_is_that_of_the_whole_sound():
    samples, found = measured(A + 0.2, B - 3 * A, 0.01 * B)
    expected = np.cov(samples.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-3, atol=1e-8)


def test_the_mean_is_that_of_numpy():
    samples = np.random.default_rng(0).standard_normal((100, 5)).astype(np.float32)
    np.testing.assert_array_equal(mix_down(samples), samples.mean(axis=1))
    np.testing.assert_array_equal(mix_down(samples[:, :1]), samples[:, 0])
