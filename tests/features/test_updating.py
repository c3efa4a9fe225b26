import threading

import numpy as np
import pytest
import soundfile
import torch

from models import architectures, passt
from utils.audio.sound_file import UnusableSound
from utils.features import tagger
from utils.features.tagger import clip_batches, clip_units, make_tagger
from utils.features.updating import Target, update_vector_files
from utils.features.vector_file import read_vectors
from utils.features.weights import load_weights
from utils.runtime import pools
from utils.runtime.errors import InputError
from utils.settings.config import PROJECT_ROOT

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

    def counting(path, *, sample_rate):
        with lock:
            decoded.append(path)
        yield np.zeros(20, np.float32)

    monkeypatch.setattr(tagger, "mono_blocks", counting)
    batches = clip_batches(clips * 10, clip_units(120), tag, **SETTINGS)
    next(batches)
    assert len(decoded) <= pools._DECODED_AHEAD + 1
    assert sum(1 for _ in batches) == 119


def test_a_clip_that_cannot_be_used_is_told_by_reason_and_the_others_go_on(clips):
    clips[4].write_bytes(b"no sound")
    soundfile.write(clips[11], np.append(np.zeros(10**6), np.nan), 1000, subtype="FLOAT")
    units = [[11], [4], [0]]
    found = {p: rows for (p,), rows in clip_batches(clips, units, tag, **SETTINGS)}
    assert found[11] == "holds NaN or infinite samples"  # found long after the first window
    assert found[4].startswith("cannot be read as sound (")
    assert found[0].shape == (1, 3)
    with pytest.raises(UnusableSound, match=r"11\.wav holds NaN"):
        list(clip_batches(clips, units, tag, strict=True, **SETTINGS))


class Update:
    """Calls update_vector_files for two files of one and two numbers per row, counting."""

    def __init__(self, folder):
        self.paths = [folder / "a.hdf5", folder / "b.hdf5"]
        self.computed = []
        self.stop_after = None
        self.odd = set()

    def __call__(self, ids, texts, *, model="m", unusable=None):
        def compute(units):
            for (i,) in units:
                if self.stop_after is not None and len(self.computed) >= self.stop_after:
                    raise KeyboardInterrupt
                self.computed.append(ids[i])
                if ids[i] in self.odd:
                    yield [i], "is odd"
                    continue
                size = len(texts[i])
                yield [i], np.array([[size, size + 1, size + 2]], np.float32)

        return update_vector_files(
            [
                Target(path, {"what": path.stem, "model": model}, width)
                for path, width in zip(self.paths, (1, 2), strict=True)
            ],
            ids,
            columns={"texts": texts},
            unusable=unusable,
            start=lambda: (clip_units(len(ids)), compute),
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


def test_rows_that_cannot_be_computed_are_left_out_and_not_tried_again(update):
    update.odd = {"x"}
    first = update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    assert (first.computed, first.written) == (1, True)
    assert first.failed == {"x": "is odd", "z": "is a folder"}
    file = read_vectors(update.paths[1], made_by="")
    assert (file.ids, file.failed_ids) == (["y"], first.failed)
    np.testing.assert_array_equal(file.vectors, [[3, 4]])
    again = update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    assert (again.computed, again.written, again.failed) == (0, False, first.failed)
    assert update.computed == ["x", "y"]


def test_what_was_mended_is_computed(update):
    update.odd = {"x"}
    update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    mended = update(["x", "y", "z"], ["other", "22", "333"])
    assert (mended.computed, mended.failed) == (1, {"x": "is odd"})  # tried again, in vain
    update.odd = set()
    assert update(["x", "y", "z"], ["mended", "22", "333"]).failed == {}
    file = read_vectors(update.paths[0], made_by="")
    assert (file.ids, file.failed) == (["x", "y", "z"], {})


def test_where_nothing_can_be_computed_nothing_is_written(update):
    update.odd = {"x", "y"}
    with pytest.raises(InputError, match=r"none of the 2 rows .*\n  - x: is odd\n"):
        update(["x", "y"], ["1", "22"])
    assert not update.paths[0].exists()


def test_journals_that_a_finished_run_could_not_remove_go(update):
    update.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        update(["x", "y"], ["1", "22"])
    left_over = next(update.paths[0].parent.glob("*.partial"))
    left_over.rename(left_over.with_name("kept"))
    update.stop_after = None
    update(["x", "y"], ["1", "22"])
    left_over.with_name("kept").rename(left_over)
    before = [path.stat().st_mtime_ns for path in update.paths]
    update(["x", "y"], ["1", "22"])
    assert not left_over.exists()
    assert [path.stat().st_mtime_ns for path in update.paths] == before


def test_how_many_windows_go_at_once_changes_the_numbers_by_rounding_alone(small_demo):
    """Of the demo's tagger, in fp32, on clips of one to several windows."""
    network = passt.Passt(arch="demo")
    load_weights(network, PROJECT_ROOT / "data/demo/tagger.safetensors")
    tag_windows = make_tagger(network, torch.device("cpu"), "fp32")
    paths = sorted((small_demo / "clotho/evaluation").glob("*.wav"))
    rows = [
        np.concatenate(
            [
                row
                for _, row in clip_batches(
                    paths,
                    clip_units(len(paths)),
                    tag_windows,
                    sample_rate=architectures.SAMPLE_RATE,
                    window=network.window,
                    hop=network.hop,
                    shortest=architectures.MIN_SAMPLES,
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
