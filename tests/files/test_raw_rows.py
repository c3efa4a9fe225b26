import numpy as np
import pytest

from tests.support import Bar
from utils.files.raw_rows import append_missing

WIDTH = 3


def records(first, count):
    return np.arange(first * WIDTH, count * WIDTH, dtype=np.float32).reshape(-1, WIDTH)


def grown(path, count, *, stop_at=None):
    """Grow a file to so many records, two at a time; returns its content, and what was computed."""
    computed, bars = [], []

    def compute(first):
        for start in range(first, count, 2):
            if start == stop_at:
                raise KeyboardInterrupt
            part = records(start, min(start + 2, count))
            computed.extend(range(start, start + len(part)))
            yield part

    def progress(total):
        bars.append(Bar(total))
        return bars[-1]

    append_missing(path, count=count, width=WIDTH, compute=compute, progress=progress)
    assert [bar.total for bar in bars] == [bar.done for bar in bars]
    return np.fromfile(path, np.float32).reshape(-1, WIDTH), computed


def test_only_what_is_missing_is_computed(tmp_path):
    path = tmp_path / "x.f32"
    for count, expected in ((5, range(5)), (5, []), (8, range(5, 8)), (2, [])):
        content, computed = grown(path, count)
        assert computed == list(expected)
        np.testing.assert_array_equal(content, records(0, max(count, len(content))))
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_stopped_run_wrote_is_kept_and_half_a_record_is_not(tmp_path):
    path = tmp_path / "x.f32"
    with pytest.raises(KeyboardInterrupt):
        grown(path, 9, stop_at=4)
    with path.open("ab") as file:
        file.write(b"half")
    content, computed = grown(path, 9)
    np.testing.assert_array_equal(content, records(0, 9))
    assert computed == [4, 5, 6, 7, 8]
