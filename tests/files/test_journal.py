import shutil
import tracemalloc

import numpy as np
import pytest

from tests.crashes import crashes
from utils.files.journal import Journal
from utils.files.writing import atomic_write

ORIGIN = {"model": "a"}


def rows(*values: float) -> np.ndarray:
    return np.array([[value, value + 0.5] for value in values], dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.hdf5.partial"


def opened(path, *, origin=ORIGIN, width=2):
    return Journal(path, origin=origin, width=width)


def append(path, keys, values):
    with opened(path) as journal:
        journal.append(keys, rows(*values))


def kept(path, **options):
    with opened(path, **options) as journal:
        return dict(journal.rows)


def test_rows_outlive_the_process(path):
    append(path, ["a", "ü\n"], [1, 2])
    append(path, ["c"], [3])
    again = kept(path)
    assert list(again) == ["a", "ü\n", "c"]
    np.testing.assert_array_equal(np.stack(list(again.values())), rows(1, 2, 3))


def test_rows_that_were_appended_take_no_memory(path):
    tracemalloc.start()
    with opened(path, width=10_000) as journal:
        for number in range(50):
            journal.append([str(number)], np.full((1, 10_000), number, np.float32))
        found = journal.rows
        assert [row[0] for row in found.values()] == list(range(50))
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert held < 10 * 4 * 10_000


@pytest.mark.parametrize(
    ("file", "lost"), [("rows.f32", range(1, 17)), ("keys.jsonl", range(1, 9))]
)
def test_of_truncated_files_only_complete_rows_count(path, file, lost):
    for cut in lost:
        append(path, ["a", "b"], [1, 2])
        content = (path / file).read_bytes()
        (path / file).write_bytes(content[:-cut])
        assert len(kept(path)) < 2
        append(path, ["b", "c"], [2, 3])
        with opened(path) as last:
            np.testing.assert_array_equal(last.rows["b"], rows(2)[0])
            np.testing.assert_array_equal(last.rows["c"], rows(3)[0])
            last.remove()


@pytest.mark.parametrize("torn", [b"\0\0\0", b'"b', b"7", b"\xff", b"", b'"b", "c"'])
def test_a_key_that_a_crash_of_the_machine_damaged_is_dropped_with_all_after_it(path, torn):
    append(path, ["a", "b", "c"], [1, 2, 3])
    (path / "keys.jsonl").write_bytes(b'"a"\n' + torn + b'\n"c"\n')
    assert list(kept(path)) == ["a"]
    append(path, ["b"], [2])
    assert list(kept(path)) == ["a", "b"]


@pytest.mark.parametrize("options", [{"origin": {"model": "b"}}, {"width": 3}])
def test_rows_of_another_origin_are_dropped(path, options):
    append(path, ["a"], [1])
    assert kept(path, **options) == {}


def test_wherever_it_is_killed_whole_rows_are_kept_and_in_the_end_all(path):
    """From the first row to the file that is made of all: opened, appended to twice, removed."""
    result = path.with_name("x.hdf5")
    batches = [(["a", "b"], rows(1, 2)), (["c"], rows(3))]
    expected = {key: row for keys, values in batches for key, row in zip(keys, values, strict=True)}

    def sequence():
        if result.exists():
            return
        with opened(path) as journal:
            for keys, values in batches:
                new = [n for n, key in enumerate(keys) if key not in journal.rows]
                if new:
                    journal.append([keys[n] for n in new], values[new])
            with atomic_write(result) as file:
                file.write(np.stack([journal.rows[key] for key in expected]).tobytes())
            journal.remove()

    seen = set()
    for _ in crashes(sequence, path.parent):
        found = kept(path)
        for key, row in found.items():
            np.testing.assert_array_equal(row, expected[key])
        if result.exists():
            assert result.read_bytes() == rows(1, 2, 3).tobytes()
            result.unlink()
        seen.add(len(found))
        shutil.rmtree(path)
    assert seen == {0, 1, 2, 3}
    assert result.read_bytes() == rows(1, 2, 3).tobytes()
    assert not path.exists()
    result.unlink()
    # Nor does it matter how often: each process resumes from what the last one left.
    most = 0
    for _ in crashes(sequence, path.parent):
        if result.exists():
            break
        kept_now = len(kept(path))
        assert kept_now >= most
        most = kept_now
    sequence()
    assert result.read_bytes() == rows(1, 2, 3).tobytes()
