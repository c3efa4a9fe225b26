import csv

import numpy as np
import pytest
from scipy import signal

from utils.demo.sound_events import EVENT_KINDS, dsp
from utils.runtime.paths import PROJECT_ROOT

COUNTABLE = sorted(name for name, kind in EVENT_KINDS.items() if kind.countable)


def render(name: str, *, seed: int = 0, seconds: float = 1.7, count: int = 1, rate: int = 32000):
    return EVENT_KINDS[name].synthesise(np.random.default_rng(seed), seconds, count, rate)


def power(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return signal.welch(sound, 32000, nperseg=min(len(sound), 32000))


def envelope(sound: np.ndarray, *, frame: float = 0.01) -> np.ndarray:
    n = round(frame * 32000)
    frames = sound[: len(sound) // n * n].reshape(-1, n)
    return np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))


def share_above(sound: np.ndarray, hertz: float) -> float:
    frequencies, density = power(sound)
    return density[frequencies > hertz].sum() / density.sum()


@pytest.mark.parametrize("name", sorted(EVENT_KINDS))
def test_every_kind_is_sound_of_exact_length_and_peak_that_depends_on_the_generator(name) -> None:
    count = EVENT_KINDS[name].counts[0]
    seconds = 1.0 / 3 + 0.9  # not a whole number of samples
    for rate in (32000, 44100):
        sound = render(name, seconds=seconds, count=count, rate=rate)
        assert sound.dtype == np.float32
        assert sound.shape == (round(seconds * rate),)
        assert np.isfinite(sound).all()
        assert 0.5 < np.abs(sound).max() <= 1
        assert abs(sound.mean()) < 0.05
    for rate in (16000, 22050, 48000):
        short = render(name, seconds=0.31, rate=rate)
        assert len(short) == round(0.31 * rate)
        assert np.isfinite(short).all()
        assert np.abs(short).max() > 0.1
    first = render(name, seed=1, count=count)
    assert np.array_equal(first, render(name, seed=1, count=count))
    assert not np.array_equal(first, render(name, seed=2, count=count))


def test_tags_are_audioset_classes_and_distinguish_the_kinds() -> None:
    table = PROJECT_ROOT / "data/audioset/class_labels_indices.csv"
    with table.open(newline="", encoding="utf-8") as file:
        known = {row["display_name"] for row in csv.DictReader(file)}
    tags = [kind.tags for kind in EVENT_KINDS.values()]
    assert {tag for some in tags for tag in some} <= known
    assert all(len(set(some)) == len(some) for some in tags)
    assert len({some[0] for some in tags}) == len(EVENT_KINDS) >= 28


def test_kinds_are_named_by_their_keys_and_have_possible_counts_and_durations() -> None:
    for name, kind in EVENT_KINDS.items():
        assert kind.name == name
        assert 1 <= kind.counts[0] <= kind.counts[1]
        assert 0 < kind.period[0] <= kind.period[1]
        assert 0 < kind.seconds[0] < kind.seconds[1]
        assert not (kind.sustained and kind.countable)
        assert kind.clauses
        assert all((noun.plural is not None) == kind.countable for noun in kind.nominals)


@pytest.mark.parametrize("name", ["dog", "frog", "knock", "hammer", "owl", "drum", "glass_clink"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_countable_kinds_have_as_many_onsets_as_asked_for(name: str, count: int) -> None:
    kind = EVENT_KINDS[name]
    seconds = count * kind.period[1] + kind.rings_seconds
    sound = render(name, seed=count, seconds=seconds, count=count)
    level = envelope(sound)
    apart = round(0.6 * kind.period[1] / 0.01)
    peaks, _ = signal.find_peaks(np.pad(level, 1), height=0.3 * level.max(), distance=apart)
    assert len(peaks) == count


@pytest.mark.parametrize("name", COUNTABLE)
def test_repeats_are_one_period_apart(name: str) -> None:
    kind = EVENT_KINDS[name]
    two = render(name, seconds=2 * kind.period[1] + kind.rings_seconds, count=2)
    half = round((dsp.FIRST_ONSET + 0.8 * kind.period[1]) * 32000)
    assert np.abs(two[half:]).max() > 0.3


@pytest.mark.parametrize(("name", "tones"), [("dial_tone", (350, 440)), ("busy", (480, 620))])
def test_telephone_tones_are_those_of_the_precise_tone_plan(name: str, tones) -> None:
    frequencies, density = power(render(name, seconds=4.0))
    peaks = frequencies[signal.find_peaks(density, height=0.2 * density.max(), distance=20)[0]]
    assert sorted(peaks) == pytest.approx(tones, abs=1)


def test_busy_signal_is_off_every_other_half_second() -> None:
    level = envelope(render("busy", seconds=4.0), frame=0.5)
    assert level[1::2].max() < 0.05 * level[::2].min()


def test_siren_sweeps_over_an_octave_or_so() -> None:
    frequencies, _, spectrum = signal.stft(render("siren", seconds=6.0), 32000, nperseg=2048)
    pitch = frequencies[np.abs(spectrum).argmax(axis=0)]
    assert np.percentile(pitch, 5) < 1000
    assert np.percentile(pitch, 95) > 1100
    assert np.percentile(pitch, 95) > 1.5 * np.percentile(pitch, 5)


def test_bell_dies_away_and_its_high_partials_go_first() -> None:
    bell = render("church_bell", seconds=6.0)
    level = envelope(bell, frame=0.5)
    assert np.all(np.diff(level[:10]) < 0.1 * level[0])
    assert level[9] < 0.3 * level[0]
    early, late = bell[:16000], bell[-64000:-16000]
    assert share_above(late, 900) < 0.3 * share_above(early, 900)


def test_alarm_clock_beeps_at_the_quartz_frequency() -> None:
    frequencies, density = power(render("alarm_clock", seconds=3.0))
    assert frequencies[density.argmax()] == pytest.approx(2048, rel=0.04)


def test_cricket_sings_and_thunder_rumbles_in_their_bands() -> None:
    assert share_above(render("cricket", seconds=3.0), 3800) > 0.95
    assert share_above(render("thunder", seconds=3.0), 1000) < 0.2
    assert share_above(render("rain", seconds=3.0), 1000) > 0.5


def test_damped_equals_the_sine_times_the_exponential() -> None:
    t = np.arange(1000) / 8000
    expected = np.sin(2 * np.pi * 440 * t) * 10 ** (-3 * t / 0.2)  # 60 dB, so 10^-3, in 0.2 s
    assert dsp.damped(440, 0.2, 1000, 8000) == pytest.approx(expected, abs=1e-12)


def test_harmonics_equal_the_sum_of_sines() -> None:
    cycles = np.linspace(0, 3, 500)
    gains = [1.0, 0.5, 0.0, 0.25]
    expected = sum(g * np.sin(2 * np.pi * k * cycles) for k, g in enumerate(gains, start=1))
    assert dsp.harmonics(cycles, gains) == pytest.approx(expected, abs=1e-12)


def test_resonance_peaks_at_its_frequency_with_its_gain_and_is_left_out_above_nyquist() -> None:
    impulse = np.zeros(32000)
    impulse[0] = 1
    response = np.abs(np.fft.rfft(dsp.resonances(impulse, [1000], [100], [2.0], 32000)))
    assert response.argmax() == pytest.approx(1000, abs=2)
    assert response.max() == pytest.approx(2.0, rel=0.01)
    assert response[950] == pytest.approx(2.0 / np.sqrt(2), rel=0.05)  # half the bandwidth away
    assert not dsp.resonances(np.ones(100), [9000], [100], [1.0], 16000).any()
