import time

import pytest

from utils.benchmark import timing
from utils.benchmark.timing import HEADER, Row


def test_values_are_aligned_with_their_headings():
    row = Row("ranking", "query", 0.0123, 0.246, share_of_ceiling=0.5, ours_mb=81.6, note="so")
    assert row.ratio == pytest.approx(20)
    line = row.line()
    for heading, value in (
        ("unit", "query"), ("ours, ms", "12.300"), ("reference", "246.0"), ("ratio", "20.0"),
        ("of ceiling", "50%"), ("MB", "82"),
    ):  # fmt: skip
        end = HEADER.index(heading) + len(heading)
        assert line[:end].endswith(value)
    assert line.endswith("  so")


def test_calls_are_timed_and_loading_is_not(monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 3.0, 3.0, 103.0, 110.0, 112.5])  # before and after each call
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    seen = []
    median, high = timing.latencies(seen.append, "abc")
    assert seen == ["a", "b", "c"]
    assert median == 2
    assert high == pytest.approx(98.04)
    assert timing.timed_with(lambda: "loaded", seen.append) == 2.5
    assert seen[3:] == ["loaded"]


def test_the_peak_counts_memory_that_was_freed_again():
    result, before = timing.with_peak(lambda: "x")
    if before is None:
        pytest.skip("this system does not report memory")
    _, held = timing.with_peak(lambda: len(bytes(200_000_000).replace(b"\0", b"1")))
    assert result == "x"
    assert held > before + 150
    assert timing.peak_memory(2**31) is None
