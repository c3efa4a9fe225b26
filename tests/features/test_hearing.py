import numpy as np
import pytest
import soundfile
import torch

from models.architectures import CLASSES, SILENCE
from utils.audio import sound_file
from utils.audio.sound_file import UnusableSound
from utils.features import hearing
from utils.features.hearing import HeardSound, Hearing, heard_mean, mark_silence, mark_silent_cells

RATE = 32_000
CUTTING = {"sample_rate": RATE, "window": 10_000, "hop": 2_500, "shortest": 4_801, "at_once": 4}
SHORT, LONG = 8_000, 40_000  # samples: one part, several
SAFE = Hearing(mono="safe")


def noise(samples, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


@pytest.fixture
def hear(tmp_path, monkeypatch):
    """Write channels to a file and hear them; returns the samples of the windows, and the sound.

    The first time, the file is decoded in small blocks; `hear.decoded` counts how often it is.
    """
    monkeypatch.setattr(sound_file, "_BLOCK_NUMBERS", 5_000)
    original = hearing.mono_blocks

    def counting(*arguments, **options):
        hear.decoded += 1
        return original(*arguments, **options)

    monkeypatch.setattr(hearing, "mono_blocks", counting)

    def hear(way, *channels):
        hear.decoded = 0
        path = tmp_path / "a.wav"
        soundfile.write(path, np.stack(channels, axis=1), RATE, subtype="FLOAT")
        sound = HeardSound(path, way, **CUTTING)
        parts = list(sound.parts())
        assert sound.samples == len(channels[0])
        windows = np.concatenate([part[:, :10_000] for part in parts])
        assert len(windows) == (1 if len(channels[0]) <= 10_000 else len(channels[0]) // 2_500 + 1)
        whole = windows[0] if len(windows) == 1 else windows[2]  # the first without mirrored sound
        return whole, sound

    return hear


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_only_channels_that_cancel_are_mixed_otherwise(hear, length):
    sound = noise(length)
    for way, channels, expected, notes in (
        (SAFE, (sound,), sound, []),
        (SAFE, (sound, 0.5 * sound), 0.75 * sound, []),
        (
            SAFE,
            (-0.5 * sound, sound),
            sound,
            ["is tagged from channel 2 of 2, because its channels cancel in the mean"],
        ),
        (Hearing(), (sound, 0.5 * sound), 0.75 * sound, []),
        (
            Hearing(),
            (-0.5 * sound, sound),
            0.25 * sound,
            ["loses sound in the mean over its channels"],
        ),
    ):
        heard, of = hear(way, *channels)
        np.testing.assert_allclose(heard, expected[: len(heard)], atol=1e-6)
        assert of.notes == notes


def test_a_file_is_decoded_again_only_if_it_must_be(hear):
    for way, length, channels, times in (
        (Hearing(), LONG, (1, -1), 1),
        (SAFE, LONG, (1,), 1),
        (SAFE, SHORT, (1, 1), 1),
        (SAFE, SHORT, (1, -1), 2),
        (SAFE, LONG, (1, 1), 2),
        (SAFE, LONG, (1, -1), 3),
    ):
        hear(way, *(sign * noise(length) for sign in channels))
        assert hear.decoded == times, (way, length, channels)


def test_channels_that_cancel_late_in_a_long_sound_count(hear):
    loud = np.concatenate([0.01 * noise(LONG), noise(LONG)])
    other = np.concatenate([0.01 * noise(LONG), -noise(LONG)])
    heard, sound = hear(SAFE, loud, other)
    assert "channel 1 of 2" in sound.notes[0]
    np.testing.assert_allclose(heard, loud[: len(heard)], atol=1e-7)


@pytest.mark.parametrize("length", [SHORT, LONG])
@pytest.mark.parametrize("channels", [(1,), (1, 1), (1, -1)])
def test_sounds_are_brought_to_the_same_loudness_and_noted_as_they_are(hear, length, channels):
    way = Hearing(mono="safe", normalise=True)
    for level in (0.002, 0.5, 30_000):
        heard, sound = hear(way, *(sign * level * noise(length) for sign in channels))
        assert 0.07 < np.sqrt(np.mean(heard**2)) <= 0.11 or level == 0.002
        assert ("is very quiet (peak" in " ".join(sound.notes)) == (level == 0.002)


def test_an_unusable_file_is_an_error_before_or_after_some_parts(hear, tmp_path):
    bad = np.append(noise(LONG), np.nan)
    with pytest.raises(UnusableSound, match="holds NaN"):
        hear(SAFE, bad, bad)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    with pytest.raises(UnusableSound, match="cannot be read as sound"):
        next(HeardSound(tmp_path / "b.wav", SAFE, **CUTTING).parts())


@pytest.mark.parametrize("way", [Hearing(), SAFE, Hearing(mono="safe", normalise=True)])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1)])
def test_a_truncated_sound_is_noted_as_such(tmp_path, way, signs):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sign * noise(LONG) for sign in signs], axis=1), RATE)
    path.write_bytes(path.read_bytes()[: 44 + 4 * LONG // 2])
    sound = HeardSound(path, way, accept_truncated=True, **CUTTING)
    list(sound.parts())
    note = "is truncated after 80000 of 160000 bytes of sound, heard as far as 0.6 s"
    assert sound.notes[0] == note
    soundfile.write(path, noise(SHORT), RATE)
    sound = HeardSound(path, way, accept_truncated=True, **CUTTING)
    list(sound.parts())
    assert sound.notes == []


def test_what_is_recorded_differs_from_what_was_published():
    assert Hearing().recorded == {}
    assert Hearing("safe", "heard", True).recorded == {
        "mono": "safe",
        "windows": "heard",
        "normalise": True,
    }


def test_silent_windows_have_one_tag_and_count_nothing_beside_sound():
    windows = np.zeros((4, 100), np.float32)
    windows[[0, 2]] = noise(100)
    rows = torch.randn(4, CLASSES + 8)
    before = rows.clone()
    mark_silence(rows, windows)
    torch.testing.assert_close(rows[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(rows[:, CLASSES:], before[:, CLASSES:])
    probabilities = rows[[1, 3], :CLASSES].sigmoid()
    assert (probabilities[:, SILENCE] > 0.99).all()
    assert (probabilities.sum(dim=1) < 1.01).all()

    weights = torch.tensor([1.0, 1.0, 0.5, 1.0])
    expected = (before[0] + 0.5 * before[2]) / 1.5
    torch.testing.assert_close(heard_mean(rows, weights), expected, rtol=0, atol=1e-4)
    silence = heard_mean(rows[[1, 3]], weights[[1, 3]])
    torch.testing.assert_close(silence[:CLASSES], rows[1, :CLASSES])


def test_silent_cells_of_a_window_have_the_tag_silence_alone():
    windows = noise(100)[None].copy()
    windows[:, 40:60] = 0
    cells = torch.zeros(1, 5, 530)
    mark_silent_cells(cells, windows, size=20)
    assert (cells[0, 2, :527].abs() == 12.1).all()
    assert cells[0, 2, 500] == 12.1
    assert (cells[0, [0, 1, 3, 4]] == 0).all()
