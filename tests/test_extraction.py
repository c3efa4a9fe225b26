import threading

import numpy as np
import pytest
import soundfile
import torch

from models import passt
from utils import extraction
from utils.config import PROJECT_ROOT
from utils.extraction import clip_batches, clip_units, tagger
from utils.vectors import read_vectors
from utils.weights import load_weights

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
    for positions, rows in extraction.clip_batches(clips, [[11], [0], [4]], tag, **SETTINGS):
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

    def counting(path, *, sample_rate):
        with lock:
            decoded.append(path)
        return np.zeros(20, np.float32)

    monkeypatch.setattr(extraction, "read_audio", counting)
    batches = extraction.clip_batches(clips * 10, extraction.clip_units(120), tag, **SETTINGS)
    next(batches)
    assert len(decoded) <= extraction._DECODED_AHEAD + 1
    assert sum(1 for _ in batches) == 119


class Update:
    """Calls update_vector_files for two files of one and two numbers per row, counting."""

    def __init__(self, folder):
        self.paths = [folder / "a.hdf5", folder / "b.hdf5"]
        self.computed = []
        self.stop_after = None

    def __call__(self, ids, texts, *, model="m"):
        def compute(units):
            for (i,) in units:
                if self.stop_after is not None and len(self.computed) >= self.stop_after:
                    raise KeyboardInterrupt
                self.computed.append(ids[i])
                size = len(texts[i])
                yield [i], np.array([[size, size + 1, size + 2]], np.float32)

        return extraction.update_vector_files(
            self.paths,
            ids,
            attributes=[{"what": "a", "model": model}, {"what": "b", "model": model}],
            columns={"texts": texts},
            widths=[1, 2],
            start=lambda: (extraction.clip_units(len(ids)), compute),
        )


@pytest.fixture
def update(tmp_path):
    return Update(tmp_path)


def test_rows_are_cut_into_their_files(update):
    assert update(["x", "y"], ["1", "22"]).computed == 2
    first, second = (read_vectors(path, made_by="") for path in update.paths)
    np.testing.assert_array_equal(first.vectors, [[1], [2]])
    np.testing.assert_array_equal(second.vectors, [[2, 3], [3, 4]])
    assert sorted(p.name for p in update.paths[0].parent.iterdir()) == ["a.hdf5", "b.hdf5"]


def test_an_up_to_date_file_is_not_touched(update):
    update(["x", "y"], ["1", "22"])
    before = [path.stat().st_mtime_ns for path in update.paths]
    assert update(["x", "y"], ["1", "22"]).computed == 0
    assert [path.stat().st_mtime_ns for path in update.paths] == before


def test_only_new_and_changed_rows_are_computed(update):
    update(["x", "y"], ["1", "22"])
    update.computed.clear()
    assert update(["y", "z", "x"], ["22", "333", "changed"]).computed == 2
    assert update.computed == ["z", "x"]
    np.testing.assert_array_equal(
        read_vectors(update.paths[0], made_by="").vectors, [[2], [3], [7]]
    )


def test_another_model_computes_everything_again(update):
    update(["x", "y"], ["1", "22"])
    assert update(["x", "y"], ["1", "22"], model="other").computed == 2


def test_one_missing_file_brings_both_back(update):
    update(["x", "y"], ["1", "22"])
    update.paths[1].unlink()
    assert update(["x", "y"], ["1", "22"]).computed == 2
    assert update.paths[1].is_file()


def test_an_interrupted_extraction_goes_on(update):
    update.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        update(["x", "y", "z"], ["1", "22", "333"])
    assert not any(path.exists() for path in update.paths)
    update.stop_after = None
    assert update(["x", "y", "z"], ["1", "22", "333"]).computed == 1
    assert update.computed == ["x", "y", "z"]
    np.testing.assert_array_equal(
        read_vectors(update.paths[0], made_by="").vectors, [[1], [2], [3]]
    )


def test_how_many_windows_go_at_once_changes_the_numbers_by_rounding_alone(small_demo):
    """Of the demo's tagger, in fp32, on clips of one to several windows."""
    network = passt.Passt(arch="demo")
    load_weights(network, PROJECT_ROOT / "data/demo/tagger.safetensors")
    tag_windows = tagger(network, torch.device("cpu"), "fp32")
    paths = sorted((small_demo / "clotho/evaluation").glob("*.wav"))
    rows = [
        np.concatenate(
            [
                row
                for _, row in clip_batches(
                    paths,
                    clip_units(len(paths)),
                    tag_windows,
                    sample_rate=passt.SAMPLE_RATE,
                    window=network.window,
                    hop=network.hop,
                    shortest=passt.MIN_SAMPLES,
                    batch_size=batch_size,
                )
            ]
        )
        for batch_size in (1, 2, 5)
    ]
    assert rows[0].shape == (10, 527 + 144)
    assert not np.array_equal(rows[0][0], rows[0][1])
    for other in rows[1:]:
        np.testing.assert_allclose(other, rows[0], rtol=0, atol=1e-5)
