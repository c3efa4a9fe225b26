import contextlib
from types import SimpleNamespace

import pytest

from utils.benchmark.build_stages import Step
from utils.benchmark.builds import Sample
from utils.benchmark.comparing import HEADER, Comparison, compare

BUILDS = [SimpleNamespace(name="this"), SimpleNamespace(name="other")]


def compared(measure, *, rounds, order):
    """Compare two builds whose measurements are noted in a list."""

    @contextlib.contextmanager
    def stage():
        yield [
            Step(lambda build: measure("one", build), before=lambda: order.append("before one")),
            Step(lambda build: measure("two", build)),
        ]
        order.append("cleaned up")

    plan = SimpleNamespace(builds=BUILDS, report=lambda text: None)
    return list(compare(plan, stage(), rounds=rounds))


def test_builds_are_measured_in_turn_in_each_round():
    order = []

    def measure(step, build):
        order.append(f"{step} {build.name}")
        return {(step, "s"): Sample(len(order))}

    one, two = compared(measure, rounds=2, order=order)
    each = ["before one", "one this", "one other", "two this", "two other"]
    assert order == [*each, *each, "cleaned up"]
    assert one.seconds == {"this": [2, 7], "other": [3, 8]}
    assert (two.stage, two.unit) == ("two", "s")


def test_what_one_build_does_not_measure_is_left_out():
    def measure(step, build):
        return {(step, "s"): Sample(1.0)} if (step, build.name) != ("two", "other") else {}

    assert [row.stage for row in compared(measure, rounds=1, order=[])] == ["one"]


@pytest.fixture
def comparison():
    this = [Sample(1.0, 50.0), Sample(4.0, 40.0), Sample(2.0, 60.0, "so")]
    other = [Sample(9.0, 500.0), Sample(8.0, 400.0), Sample(10.0, 400.0, "thus")]
    return Comparison("library", "1e+06", {"this": this, "other": other})


def test_ratios_are_of_medians(comparison):
    assert comparison.ratio == 4.5
    assert comparison.ratio_mb == 8
    described = comparison.as_json()
    assert described["ratio"] == 4.5
    assert described["seconds"]["this"] == {
        "median": 2.0, "least": 1.0, "most": 4.0, "all": [1.0, 4.0, 2.0]
    }  # fmt: skip


def test_medians_and_spreads_are_below_their_headings(comparison):
    line = comparison.line()
    place = 0
    for heading, value in (
        ("unit", "1e+06"), ("this, s [least-most]", "2 [1-4]"), ("other", "9 [8-10]"),
        ("ratio", "4.50"), ("this, MB", "50 [40-60]"), ("other", "400 [400-500]"),
        ("ratio", "8.00"),
    ):  # fmt: skip
        place = HEADER.index(heading, place) + len(heading)
        assert line[:place].endswith(f" {value}")
    assert line.endswith("  this: so; other: thus")


def test_memory_that_was_not_measured_is_blank_and_has_no_ratio():
    comparison = Comparison("query", "s", {"this": [Sample(2.0)], "other": [Sample(1.0)]})
    assert comparison.ratio_mb is None
    assert comparison.line().endswith("0.50")
    assert comparison.as_json()["mb"] == {"this": None, "other": None}


def test_memory_that_is_not_beyond_that_of_a_few_sounds_has_no_ratio():
    samples = {"this": [Sample(1.0, -0.4)], "other": [Sample(1.0, 3.0)]}
    comparison = Comparison("library", "s", samples)
    assert comparison.ratio_mb is None
    assert comparison.line().split()[-4:] == ["0", "[0-0]", "3", "[3-3]"]


def test_one_build_alone_is_a_row_without_reference():
    row = Comparison("query", "s", {"this": [Sample(2.0, 7.0), Sample(4.0, 9.0)]}).as_row()
    assert (row.ours, row.reference, row.ratio, row.ours_mb) == (3.0, None, None, 8.0)
    assert row.note == "3 [2-4] s"
    assert row.line().split() == ["query", "s", "3000.000", "8", "3", "[2-4]", "s"]
