import numpy as np
import pytest
import soxr

from utils.audio.fingerprint import STEP, Fingerprinter, is_same, keys_of, likeness, sounding_part

RATE = 16_000


def fingerprint(samples, rate=RATE, block=10_000):
    fingerprinter = Fingerprinter(rate)
    samples = np.atleast_2d(np.asarray(samples, np.float32).T).T
    for first in range(0, len(samples), block):
        fingerprinter.add(samples[first : first + block])
    return fingerprinter.finish()


def noise(seed, seconds=6.0):
    """Noise that swells and changes its colour, of its own for each seed."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    pitch = np.geomspace(1, 100, len(spectrum))
    coloured = np.fft.irfft(spectrum / pitch ** rng.uniform(0, 0.5), count)
    swell = 1 + 0.5 * np.sin(np.linspace(0, rng.uniform(5, 20), count))
    return (0.2 * coloured / np.abs(coloured).max() * swell).astype(np.float32)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


SAME = {
    "at another level": lambda x: 0.1 * x,
    "inverted": lambda x: -x,
    "with silence around it": lambda x: np.concatenate([silence(0.7), x, silence(2.0)]),
    "trimmed by a little": lambda x: x[round(0.2 * RATE) : -round(0.3 * RATE)],
    "in stereo": lambda x: np.stack([x, 0.5 * x], axis=1),
    "in 8 bits": lambda x: np.round(127 * x) / 127,
    "with the noise of coding": lambda x: x + 0.1 * np.std(x) * noise(99) / np.std(noise(99)),
}
OTHER = {
    "of another sound": lambda x: noise(2),
    "of its first half": lambda x: x[: len(x) // 2],
    "that begins later and ends later": lambda x: np.concatenate([x[2 * RATE :], noise(3, 2.0)]),
    "with another last second": lambda x: np.concatenate([x[:-RATE], noise(3, 1.0)]),
    "with another second in the middle": lambda x: np.concatenate(
        [x[: 2 * RATE], noise(3, 1.0), x[3 * RATE :]]
    ),
    "with another sound in it": lambda x: x + noise(4),
    "with silence for a second": lambda x: np.concatenate([x[:-RATE], silence(1.0)]),
    "played slower": lambda x: soxr.resample(x, 100, 105),
}


@pytest.mark.parametrize("form", SAME)
def test_a_form_of_the_same_sound_is_the_same(form):
    sound, other = fingerprint(noise(1)), fingerprint(SAME[form](noise(1)))
    assert is_same(sound, other)
    assert is_same(other, sound)
    assert len(set(keys_of(sound)) & set(keys_of(other))) >= 3


@pytest.mark.parametrize("form", OTHER)
def test_a_sound_that_differs_is_another(form):
    sound, other = fingerprint(noise(1)), fingerprint(OTHER[form](noise(1)))
    assert not is_same(sound, other)
    assert not is_same(other, sound)


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_another_sample_rate_is_the_same_sound(rate):
    assert is_same(fingerprint(noise(1)), fingerprint(soxr.resample(noise(1), RATE, rate), rate))


def test_a_click_is_recognised_and_told_from_another():
    click, other = (noise(seed, 0.3) for seed in (1, 2))
    padded = np.concatenate([silence(0.5), 0.3 * click, silence(0.5)])
    assert is_same(fingerprint(click), fingerprint(padded))
    assert not is_same(fingerprint(click), fingerprint(other))


def test_what_has_no_changes_is_never_the_same():
    time = np.arange(5 * RATE) / RATE
    tone, close = (0.5 * np.sin(2 * np.pi * pitch * time) for pitch in (1000, 1010))
    for one, other in [(tone, close), (silence(3.0), silence(3.0)), (silence(3.0), tone)]:
        assert not is_same(fingerprint(one), fingerprint(other))
    nothing = np.empty(0, STEP)
    assert not is_same(nothing, nothing)
    assert len(keys_of(nothing)) == 0


def test_the_length_of_blocks_does_not_matter():
    whole, in_pieces = fingerprint(noise(1), block=10**6), fingerprint(noise(1), block=777)
    np.testing.assert_array_equal(whole, in_pieces)


def test_likeness_says_what_is_cut():
    sound = noise(1)
    found = likeness(fingerprint(sound), fingerprint(sound[round(0.64 * RATE) :]))
    assert found.cut == pytest.approx(20, abs=1)
    begin, end = sounding_part(fingerprint(np.concatenate([silence(1.0), sound])))
    assert (begin, end) == pytest.approx((32, 32 + 6 * 31), abs=10)
