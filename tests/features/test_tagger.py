import threading

import numpy as np
import pytest
import soundfile
import torch

from models.architectures import CLASSES
from tests.support import DEMO_CONFIG, break_disk
from utils.audio.sound_file import UnusableSound
from utils.features import hearing
from utils.features.hearing import Hearing
from utils.features.tagger import Tagger, clip_batches, clip_units, tag_windows
from utils.runtime import pools
from utils.runtime.errors import UnreadableError
from utils.settings.loading import load_config

SETTINGS = {"sample_rate": 1000, "window": 100, "hop": 25, "shortest": 16, "batch_size": 3}


def tag(windows: torch.Tensor) -> torch.Tensor:
    """A stand-in network: mean, maximum and number of samples of each window."""
    size = torch.full((len(windows),), float(windows.shape[1]))
    return torch.stack([windows.mean(dim=1), windows.amax(dim=1), size], dim=1)


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.wav" for i in range(12)]
    for i, path in enumerate(paths):
        soundfile.write(path, rng.uniform(-1, 1, 20 + 30 * i), 1000, subtype="FLOAT")
    return paths


def test_a_clip_gets_the_mean_over_its_windows(clips):
    found = {}
    for positions, rows, _ in clip_batches(clips, [[11], [0], [4]], tag, **SETTINGS):
        found.update(zip(positions, rows, strict=True))
    assert set(found) == {0, 4, 11}
    for i, row in found.items():
        samples, _ = soundfile.read(clips[i], dtype="float32")
        if len(samples) <= 100:
            windows = samples[None]
        else:
            padded = np.pad(samples, 50, mode="reflect")
            windows = np.stack([padded[s : s + 100] for s in range(0, len(samples) + 1, 25)])
        np.testing.assert_allclose(row, tag(torch.from_numpy(windows)).mean(dim=0), atol=1e-6)


def test_decoding_stays_a_bounded_number_of_clips_ahead(clips, monkeypatch):
    decoded = []
    lock = threading.Lock()

    def counting(path, **_):
        with lock:
            decoded.append(path)
        yield np.zeros(20, np.float32)

    monkeypatch.setattr(hearing, "mono_blocks", counting)
    batches = clip_batches(clips * 10, clip_units(120), tag, **SETTINGS)
    next(batches)
    assert len(decoded) <= pools._DECODED_AHEAD + 1
    assert sum(1 for _ in batches) == 119


def test_a_clip_that_cannot_be_used_is_reported_and_the_others_are_computed(clips):
    clips[4].write_bytes(b"no sound")
    soundfile.write(clips[11], np.append(np.zeros(10**6), np.nan), 1000, subtype="FLOAT")
    units = [[11], [4], [0]]
    found = {p: rows for (p,), rows, *_ in clip_batches(clips, units, tag, **SETTINGS)}
    assert found[11] == "holds NaN or infinite samples"  # found long after the first window
    assert found[4].startswith("cannot be read as sound (")
    assert found[0].shape == (1, 3)
    with pytest.raises(UnusableSound, match=r"11\.wav holds NaN"):
        list(clip_batches(clips, units, tag, strict=True, **SETTINGS))


def test_a_clip_whose_disk_does_not_answer_does_not_stop_the_others(clips, monkeypatch):
    break_disk(monkeypatch, clips[4])
    outputs = list(tag_windows(clips, tag, **SETTINGS))
    with pytest.raises(UnreadableError, match=r"4\.wav: Input/output error"):
        list(outputs[4])
    assert all(list(output) for number, output in enumerate(outputs) if number != 4)
    with pytest.raises(UnreadableError):  # no reason to leave the clip out
        list(clip_batches(clips, [[0], [4]], tag, **SETTINGS))


@pytest.mark.parametrize("first", [0, 1, 3, 4, 20, 40])
def test_windows_are_tagged_alike_from_any_of_them_on(tmp_path, first):
    path = tmp_path / "clip.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-1, 1, 1010), 1000, subtype="FLOAT")
    seen = []

    def noting(windows):
        seen.append(windows.numpy().copy())
        return tag(windows)

    (whole,) = [list(batches) for batches in tag_windows([path], noting, **SETTINGS)]
    assert [len(rows) for rows in whole] == [3] * 13 + [2]
    in_all, seen = np.concatenate(seen), []
    (later,) = [list(b) for b in tag_windows([path], noting, first=[first], **SETTINGS)]
    np.testing.assert_array_equal(np.concatenate(later), np.concatenate(whole)[first:])
    # In the batches of the whole clip, because other batches are rounded otherwise.
    np.testing.assert_array_equal(np.concatenate(seen), in_all[first // 3 * 3 :])


def test_windows_come_while_a_clip_is_still_decoded(clips, monkeypatch):
    decoded = 0

    def endless(path, **_):
        nonlocal decoded
        while True:
            decoded += 1
            yield np.zeros(25, np.float32)  # a hop

    monkeypatch.setattr(hearing, "mono_blocks", endless)
    (batches,) = tag_windows(clips[:1], tag, **SETTINGS)
    for number, _ in zip(range(1000), batches, strict=False):
        assert decoded <= 3 * number + 20 + 100 // 25


def test_windows_count_by_their_share_of_real_sound_if_they_are_heard(clips):
    samples, _ = soundfile.read(clips[3], dtype="float32")
    assert len(samples) == 110  # one window and 0.4 of a hop

    def logits(windows):
        return windows.mean(dim=1, keepdim=True).expand(-1, CLASSES)

    def mean(*options):
        ((_, row, _),) = clip_batches(clips, [[3]], logits, hearing=Hearing(*options), **SETTINGS)
        return row[0, 0]

    first, later = samples[:100].mean(), np.append(samples[25:], samples[-2:-17:-1]).mean()
    assert mean("mean", "heard") == pytest.approx((first + 0.4 * later) / 1.4, abs=1e-6)
    assert mean("mean", "published") != pytest.approx(mean("mean", "heard"), abs=1e-3)


def test_logits_do_not_jump_where_a_clip_grows_beyond_one_window(tmp_path):
    """Of a plucked string, which is another sound when it is mirrored, by the demo's tagger."""
    time = np.arange(336_000) / 32_000
    harmonics = sum(np.sin(2 * np.pi * 196 * n * time) / n for n in range(1, 9))
    pluck = 0.2 * harmonics * np.exp(-1.2 * (time % 2.5))
    paths = [tmp_path / f"{samples}.wav" for samples in (320_000, 320_001, 320_320, 336_000)]
    for path in paths:
        soundfile.write(path, pluck[: int(path.stem)], 32_000, subtype="FLOAT")
    changes = {}
    for windows in ("published", "heard"):
        config = load_config(DEMO_CONFIG, ["precision=fp32", f"passt.windows={windows}"])
        demo = Tagger(config)
        batches = clip_batches(paths, clip_units(len(paths)), demo.load(), **demo.cutting)
        logits = np.concatenate([row[:, :CLASSES] for _, row, _ in batches])
        changes[windows] = np.abs(logits - logits[0]).mean(axis=1)
    assert changes["published"][1:].min() > 0.1
    assert changes["heard"][1] < 1e-3
    assert changes["heard"][2] < 0.02
    assert changes["heard"][3] < 0.5 * changes["published"][3]


def test_the_batch_size_changes_the_numbers_only_by_rounding(small_demo):
    """Of the demo's tagger, in fp32, on clips of one to several windows."""
    demo = Tagger(load_config(DEMO_CONFIG, ["training.device=cpu", "precision=fp32"]))
    paths = sorted((small_demo / "clotho/evaluation").glob("*.wav"))
    rows = []
    for batch_size in (1, 2, 5):
        cutting = {**demo.cutting, "batch_size": batch_size}
        batches = clip_batches(paths, clip_units(len(paths)), demo.load(), **cutting)
        rows.append(np.concatenate([row for _, row, _ in batches]))
    assert rows[0].shape == (10, 527 + 144)
    assert not np.array_equal(rows[0][0], rows[0][1])
    for other in rows[1:]:
        np.testing.assert_allclose(other, rows[0], rtol=0, atol=1e-5)
