import numpy as np
import pytest

from utils.journal import Journal, compute_missing

ORIGIN = {"model": "a"}


def rows(*values: float) -> np.ndarray:
    return np.array([[value, value + 0.5] for value in values], dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.hdf5.partial"


def test_rows_outlive_the_process(path):
    Journal(path, origin=ORIGIN, width=2).append(["a", "ü\n"], rows(1, 2))
    Journal(path, origin=ORIGIN, width=2).append(["c"], rows(3))
    again = Journal(path, origin=ORIGIN, width=2)
    assert list(again.rows) == ["a", "ü\n", "c"]
    np.testing.assert_array_equal(np.stack(list(again.rows.values())), rows(1, 2, 3))


@pytest.mark.parametrize(
    ("file", "lost"), [("rows.f32", range(1, 17)), ("keys.jsonl", range(1, 9))]
)
def test_whatever_was_cut_off_only_whole_rows_count(path, file, lost):
    for cut in lost:
        journal = Journal(path, origin=ORIGIN, width=2)
        journal.append(["a", "b"], rows(1, 2))
        content = (path / file).read_bytes()
        (path / file).write_bytes(content[:-cut])
        again = Journal(path, origin=ORIGIN, width=2)
        assert len(again.rows) < 2
        again.append(["b", "c"], rows(2, 3))
        last = Journal(path, origin=ORIGIN, width=2)
        np.testing.assert_array_equal(last.rows["b"], rows(2)[0])
        np.testing.assert_array_equal(last.rows["c"], rows(3)[0])
        last.remove()


@pytest.mark.parametrize(("origin", "width"), [({"model": "b"}, 2), (ORIGIN, 3)])
def test_rows_of_another_origin_are_dropped(path, origin, width):
    Journal(path, origin=ORIGIN, width=2).append(["a"], rows(1))
    assert Journal(path, origin=origin, width=width).rows == {}


def test_only_what_is_missing_is_computed_and_order_is_kept(path):
    Journal(path, origin=ORIGIN, width=2).append(["b"], rows(20))
    asked = []

    def compute(missing):
        asked.extend(missing)
        for i in reversed(missing):
            yield [i], rows(10 * (i + 1))

    advanced = []
    journal = Journal(path, origin=ORIGIN, width=2)
    table = compute_missing(journal, ["a", "b", "c"], compute, advance=advanced.append)
    assert asked == [0, 2]
    np.testing.assert_array_equal(table, rows(10, 20, 30))
    assert sum(advanced) == 3


def test_a_batch_that_was_computed_is_kept_when_the_next_fails(path):
    def compute(missing):
        yield [2], rows(3)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        compute_missing(Journal(path, origin=ORIGIN, width=2), ["a", "b", "c"], compute)
    assert list(Journal(path, origin=ORIGIN, width=2).rows) == ["c"]
