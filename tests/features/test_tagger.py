import threading

import numpy as np
import pytest
import soundfile
import torch

from tests.support import DEMO_CONFIG
from utils.audio.sound_file import UnusableSound
from utils.features import tagger
from utils.features.tagger import Tagger, clip_batches, clip_units
from utils.runtime import pools
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
    for positions, rows in clip_batches(clips, [[11], [0], [4]], tag, **SETTINGS):
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

    def counting(path, **options):
        with lock:
            decoded.append(path)
        yield np.zeros(20, np.float32)

    monkeypatch.setattr(tagger, "mono_blocks", counting)
    batches = clip_batches(clips * 10, clip_units(120), tag, **SETTINGS)
    next(batches)
    assert len(decoded) <= pools._DECODED_AHEAD + 1
    assert sum(1 for _ in batches) == 119


def test_a_clip_that_cannot_be_used_is_reported_and_the_others_are_computed(clips):
    clips[4].write_bytes(b"no sound")
    soundfile.write(clips[11], np.append(np.zeros(10**6), np.nan), 1000, subtype="FLOAT")
    units = [[11], [4], [0]]
    found = {p: rows for (p,), rows in clip_batches(clips, units, tag, **SETTINGS)}
    assert found[11] == "holds NaN or infinite samples"  # found long after the first window
    assert found[4].startswith("cannot be read as sound (")
    assert found[0].shape == (1, 3)
    with pytest.raises(UnusableSound, match=r"11\.wav holds NaN"):
        list(clip_batches(clips, units, tag, strict=True, **SETTINGS))


def test_the_batch_size_changes_the_numbers_only_by_rounding(small_demo):
    """Of the demo's tagger, in fp32, on clips of one to several windows."""
    demo = Tagger(load_config(DEMO_CONFIG, ["training.device=cpu", "precision=fp32"]))
    paths = sorted((small_demo / "clotho/evaluation").glob("*.wav"))
    rows = []
    for batch_size in (1, 2, 5):
        cutting = {**demo.cutting, "batch_size": batch_size}
        batches = clip_batches(paths, clip_units(len(paths)), demo.load(), **cutting)
        rows.append(np.concatenate([row for _, row in batches]))
    assert rows[0].shape == (10, 527 + 144)
    assert not np.array_equal(rows[0][0], rows[0][1])
    for other in rows[1:]:
        np.testing.assert_allclose(other, rows[0], rtol=0, atol=1e-5)
