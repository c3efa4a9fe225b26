import numpy as np
import pytest

from utils.features.tagger import clip_units
from utils.features.updating import Target, update_vector_files
from utils.features.vector_file import read_vectors
from utils.runtime.errors import InputError


class Update:
    """Calls update_vector_files for two files of one and two numbers per row, counting."""

    def __init__(self, folder):
        self.paths = [folder / "a.hdf5", folder / "b.hdf5"]
        self.computed = []
        self.stop_after = None
        self.odd = set()

    def __call__(self, ids, texts, *, model="m", unusable=None, **options):
        def compute(units):
            for (i,) in units:
                if self.stop_after is not None and len(self.computed) >= self.stop_after:
                    raise KeyboardInterrupt
                self.computed.append(ids[i])
                if ids[i] in self.odd:
                    yield [i], "is odd"
                    continue
                size = len(texts[i])
                note = f"has {size} letters" if size > 1 else ""
                yield [i], np.array([[size, size + 1, size + 2]], np.float32), note

        return update_vector_files(
            [
                Target(path, {"what": path.stem, "model": model}, width)
                for path, width in zip(self.paths, (1, 2), strict=True)
            ],
            ids,
            columns={"texts": texts},
            unusable=unusable or {},
            start=lambda: (clip_units(len(ids)), compute),
            **options,
        )


@pytest.fixture
def update(tmp_path):
    return Update(tmp_path)


def test_rows_are_cut_into_their_files_and_up_to_date_files_are_not_touched(update):
    assert update(["x", "y"], ["1", "22"]).computed == 2
    first, second = (read_vectors(path) for path in update.paths)
    np.testing.assert_array_equal(first.vectors, [[1], [2]])
    np.testing.assert_array_equal(second.vectors, [[2, 3], [3, 4]])
    assert sorted(p.name for p in update.paths[0].parent.iterdir()) == ["a.hdf5", "b.hdf5"]
    before = [path.stat().st_mtime_ns for path in update.paths]
    assert update(["x", "y"], ["1", "22"]).computed == 0
    assert [path.stat().st_mtime_ns for path in update.paths] == before


def test_only_new_and_changed_rows_are_computed(update):
    update(["x", "y"], ["1", "22"])
    update.computed.clear()
    assert update(["y", "z", "x"], ["22", "333", "changed"]).computed == 2
    assert update.computed == ["z", "x"]
    np.testing.assert_array_equal(read_vectors(update.paths[0]).vectors, [[2], [3], [7]])


def test_another_model_or_a_missing_file_computes_everything_again(update):
    update(["x", "y"], ["1", "22"])
    assert update(["x", "y"], ["1", "22"], model="other").computed == 2
    update.paths[1].unlink()
    assert update(["x", "y"], ["1", "22"], model="other").computed == 2
    assert update.paths[1].is_file()


def test_an_interrupted_extraction_resumes(update):
    update.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        update(["x", "y", "z"], ["1", "22", "333"])
    assert not any(path.exists() for path in update.paths)
    update.stop_after = None
    assert update(["x", "y", "z"], ["1", "22", "333"]).computed == 1
    assert update.computed == ["x", "y", "z"]
    np.testing.assert_array_equal(read_vectors(update.paths[0]).vectors, [[1], [2], [3]])


def test_rows_that_cannot_be_computed_are_left_out_and_not_tried_again(update):
    update.odd = {"x"}
    first = update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    assert (first.computed, first.written) == (1, True)
    assert first.failed == {"x": "is odd", "z": "is a folder"}
    file = read_vectors(update.paths[1])
    assert (file.ids, file.failed_ids) == (["y"], first.failed)
    np.testing.assert_array_equal(file.vectors, [[3, 4]])
    again = update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    assert (again.computed, again.written, again.failed) == (0, False, first.failed)
    assert update.computed == ["x", "y"]


def test_what_was_fixed_is_computed(update):
    update.odd = {"x"}
    update(["x", "y", "z"], ["1", "22", ""], unusable={"z": "is a folder"})
    fixed = update(["x", "y", "z"], ["other", "22", "333"])
    assert (fixed.computed, fixed.failed) == (1, {"x": "is odd"})  # tried again, without success
    update.odd = set()
    assert update(["x", "y", "z"], ["fixed", "22", "333"]).failed == {}
    file = read_vectors(update.paths[0])
    assert (file.ids, file.failed) == (["x", "y", "z"], {})


def test_where_nothing_can_be_computed_nothing_is_written(update):
    update.odd = {"x", "y"}
    with pytest.raises(InputError, match=r"none of the 2 rows .*\n  - x: is odd\n"):
        update(["x", "y"], ["1", "22"])
    assert not update.paths[0].exists()


def test_journals_that_a_finished_run_could_not_remove_are_removed(update):
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


def test_notes_stay_with_their_rows(update):
    assert update(["x", "y"], ["1", "22"]).notes == {"y": "has 2 letters"}
    again = update(["x", "y"], ["1", "22"])
    assert (again.computed, again.notes) == (0, {"y": "has 2 letters"})
    more = update(["y", "z"], ["22", "333"])
    assert (more.computed, more.notes) == (1, {"y": "has 2 letters", "z": "has 3 letters"})
    assert update(["y", "z"], ["2", "333"]).notes == {"z": "has 3 letters"}
    assert read_vectors(update.paths[0]).notes == read_vectors(update.paths[1]).notes != {}


def test_rows_that_failed_for_some_reasons_are_tried_again_if_asked(update):
    update.odd = {"x"}
    unusable = {"y": "is a folder"}
    update(["x", "y", "z"], ["1", "22", "333"], unusable=unusable)
    update.computed.clear()
    update.odd = set()
    given = {"unusable": unusable, "retried": lambda reason: reason == "is odd"}
    assert update(["x", "y", "z"], ["1", "22", "333"], **given).failed == unusable
    assert update.computed == ["x"]
    assert read_vectors(update.paths[0]).ids == ["x", "z"]
    assert update(["x", "y", "z"], ["1", "22", "333"], **given).computed == 0
