from dataclasses import replace

import pytest

from utils.search.hits import Hit, Reason, clock
from utils.search.moments import Moment


def test_a_hit_prints_what_a_reader_wants_to_know():
    tags = [Reason("Dog", 0.934, 0.1), Reason("Bark", 0.61, 0.1)]
    whole = Hit(1, 0.61234, 0, ("a\n.wav", "copy.wav"), 7.46, 0, 7.46, False, tags, 0.5, 0.1, [])
    part = Hit(2, 0.5, 0, ("b.wav",), 60, 20, 40, True, [], 0.5, 0, [])
    assert repr([whole, part]) == (
        r"[<1. 0.612 a\n.wav 0:07.5 Dog 0.93, Bark 0.61>, "
        "<2. 0.500 b.wav 0:20.0–0:40.0 of 1:00.0 >]"
    )


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, ""), (1, "0:12.5–0:15.0"), (3, "0:12.5–0:15.0 (also 0:40.0–0:43.5, 0:00.0–0:01.0)")],
)
def test_moments_are_written_best_first(count, written):
    moments = [Moment(12.5, 15, 0.8), Moment(40, 43.5, 0.7), Moment(0, 1, 0.6)][:count]
    hit = Hit(1, 0.5, 0, ("a",), 60, 0, 60, False, [], 0.5, 0, [], moments=moments)
    assert hit.moment_list == written


def test_a_level_is_written_with_its_unit():
    hit = Hit(1, 0.5, 0, ("a",), 60, 0, 60, False, [], 0.5, 0, [])
    assert (hit.level, replace(hit, loudness=-23.456).level) == ("", "-23.5 LUFS")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0:00.0"), (7.46, "0:07.5"), (59.97, "1:00.0"), (3599.9, "59:59.9"), (3723, "1:02:03")],
)
def test_times_are_written_as_on_a_clock(seconds, written):
    assert clock(seconds) == written
