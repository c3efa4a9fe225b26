import h5py
import numpy as np
import pytest

from utils.audio.sound_file import fingerprint
from utils.features.clip_features import Clip, write_clip_features
from utils.features.vector_file import read_vectors
from utils.files.hdf5 import Contents, read_attributes
from utils.runtime.errors import InputError

TEXT = h5py.string_dtype("utf-8")
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def folder(tmp_path):
    """A folder with another vector file and a file of the user's, to which faults point."""
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["vectors"] = ROWS
        file["1"] = ROWS[0]
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    return tmp_path


def virtual(file, folder, name):
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(folder / "other.hdf5", "vectors", (3, 4))
    file.create_virtual_dataset(name, layout)


def outside(file, folder, name):
    stored = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(name, shape=(3, 4), dtype="f4", external=stored)


# What a file may have instead of a dataset of numbers, and the error.
FAULTS = {
    "a link to another file": (
        lambda f, d, n: f.__setitem__(n, h5py.ExternalLink(d / "other.hdf5", "/vectors")),
        "is a link, which could lead to another file",
    ),
    "a link to nowhere": (
        lambda f, d, n: f.__setitem__(n, h5py.ExternalLink("/nowhere.hdf5", "/x")),
        "is a link, which could lead to another file",
    ),
    "rows of another file": (virtual, "takes its values from another file"),
    "bytes of another file": (outside, "takes its values from another file"),
    "a million million rows": (
        lambda f, d, n: f.create_dataset(n, shape=(10**12, 4), dtype="f4", chunks=(10, 4)),
        r"declares \(1000000000000, 4\) values of float32, much more than the file holds",
    ),
    "more rows than are stored": (
        lambda f, d, n: f.create_dataset(n, shape=(2 * 10**6, 4), dtype="f4"),
        "much more than the file holds",
    ),
    "zeros, compressed": (
        lambda f, d, n: f.create_dataset(n, data=np.zeros((10**6, 4), "f4"), compression="gzip"),
        "much more than the file holds",
    ),
    "texts": (lambda f, d, n: f.create_dataset(n, data=["a"] * 3, dtype=TEXT), "hold numbers"),
    "nothing": (lambda f, d, n: f.__setitem__(n, h5py.Empty("f4")), "must hold numbers"),
    "a group": (lambda f, d, n: f.create_group(n), "is a Group, and must be a dataset"),
    "NaN": (lambda f, d, n: f.__setitem__(n, np.full((3, 4), np.nan)), "NaN or infinite"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("layout", ["ours", "original"])
def test_vectors_that_are_not_in_the_file_are_refused_before_they_are_read(folder, layout, fault):
    make, message = FAULTS[fault]
    path = folder / "x.hdf5"
    with h5py.File(path, "w") as file:
        if layout == "ours":
            file.create_dataset("ids", data=["a", "b", "c"], dtype=TEXT)
        make(file, folder, "vectors" if layout == "ours" else "1")
    with pytest.raises(InputError, match=rf"cannot read .*x\.hdf5: .*({message})"):
        read_vectors(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f.create_dataset("ids", data=[1, 2, 3]), "is not a column of texts"),
        (lambda f: f.create_dataset("ids", data=[["a"]] * 3, dtype=TEXT), "is not a column of"),
        (lambda f: f.create_group("ids"), "is a Group"),
        (lambda f: f.create_dataset("ids", data=["a", "a", "b"], dtype=TEXT), "an id occurs twice"),
        (lambda f: f.create_dataset("ids", data=["a", "b"], dtype=TEXT), "there are 2 ids"),
        (lambda f: f.create_dataset("ids", data=[b"\xff"] * 3, dtype=TEXT), "utf-8"),
        (lambda f: f.move("vectors", "ids"), "'vectors' is missing|neither"),
        (
            lambda f: f.create_dataset("ids", shape=(10**9,), dtype=TEXT, chunks=(100,)),
            "much more than the file holds",
        ),
    ],
)
def test_columns_that_are_not_texts_in_the_file_are_refused(tmp_path, make, message):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["vectors"] = ROWS
        make(file)
    with pytest.raises(InputError, match=rf"x\.hdf5: .*{message}"):
        read_vectors(tmp_path / "x.hdf5")


def test_what_is_in_the_file_is_read(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["whole"] = ROWS.astype(int)
        file.create_dataset("packed", data=ROWS, compression="gzip", chunks=(1, 4))
        file.create_dataset("texts", data=["é", "", "a\nb"] * 100, dtype=TEXT)
        file.create_dataset("none", shape=(0,), dtype=TEXT)
        file.attrs.update(what="é", rate=5, on=True, share=0.5, several=[1, 2])
    with h5py.File(tmp_path / "x.hdf5") as file:
        contents = Contents(file)
        for name in ("whole", "packed"):
            np.testing.assert_array_equal(contents.numbers(name, dimensions=2), ROWS)
        assert contents.numbers("whole").dtype == np.float32
        assert contents.texts("texts") == ["é", "", "a\nb"] * 100
        assert contents.texts("none") == []
        attributes = {"what": "é", "rate": 5, "on": True, "share": 0.5, "several": [1, 2]}
        assert read_attributes(file) == attributes
        with pytest.raises(ValueError, match=r"shape \(3, 4\), and must have 1 dimensions"):
            contents.numbers("whole", dimensions=1)


@pytest.mark.parametrize("fault", ["a link to another file", "rows of another file", "a group"])
def test_clip_features_that_are_not_in_the_file_are_not_copied(folder, fault):
    make, message = FAULTS[fault]
    with h5py.File(folder / "x.hdf5", "w") as file:
        make(file, folder, "1")
        file.attrs["kind"] = "waveform"
    (folder / "a.wav").touch()
    clips = [Clip(1, "split/a.wav", folder / "a.wav", fingerprint(folder / "a.wav"))]
    with pytest.raises(InputError, match=message):
        write_clip_features(folder / "x.hdf5", clips, kind="waveform")
