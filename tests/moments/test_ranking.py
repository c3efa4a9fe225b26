import numpy as np
import pytest

from utils.moments.ranking import candidates, likely_cells, rank_windows


def inside_of(count, *windows):
    inside = np.zeros(count)
    for start, end in windows:
        inside[start:end] = 1
    return inside


@pytest.mark.parametrize("window", [(0, 1), (3, 5), (7, 47), (200, 240), (0, 240)])
def test_a_clear_moment_comes_first(window):
    start, end = window
    (first, *_) = rank_windows(inside_of(240, window), duration=120.0)
    shared = min(first[1], end / 2) - max(first[0], start / 2)
    assert shared / (max(first[1], end / 2) - min(first[0], start / 2)) > 0.9
    assert first[2] > 0.9


def test_several_moments_are_apart_from_another_and_best_first():
    inside = 0.9 * inside_of(240, (10, 14)) + 0.7 * inside_of(240, (100, 130)) + 0.01
    windows = rank_windows(inside, duration=120.0)
    assert windows[0, :2] == pytest.approx([5, 7], abs=0.1)
    assert windows[1, :2] == pytest.approx([50, 65], abs=1)
    assert (np.diff(windows[:, 2]) <= 0).all()
    assert len(windows) == 10
    for number, (start, end, _) in enumerate(windows):
        for other, until, _ in windows[:number]:
            shared = max(0, min(end, until) - max(start, other))
            assert shared <= 0.6 * (max(end, until) - min(start, other))


def test_no_window_is_empty_or_outside_of_the_recording():
    windows = rank_windows(np.random.default_rng(1).random(21), duration=10.2, count=50)
    assert (windows[:, 0] >= 0).all()
    assert (windows[:, 1] <= 10.2).all()
    assert (windows[:, 0] < windows[:, 1]).all()


def test_edges_are_found_within_cells():
    """Two fifths of the cell before a moment belong to it, and a tenth of its last cell."""
    inside = inside_of(60, (20, 31))
    inside[19], inside[30] = 0.4, 0.1
    (first, *_) = rank_windows(inside, duration=30.0)
    assert first[:2] == pytest.approx([9.8, 15.05])


def test_a_recording_of_one_cell_is_one_window():
    assert rank_windows(np.array([0.3]), duration=0.4).tolist() == [[0.0, 0.4, 0.3]]


def test_lengths_are_dense_where_they_are_short():
    lengths = candidates(7200)
    assert lengths[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(lengths) < 90
    assert lengths[-1] > 0.85 * 7200
    ratios = np.array(lengths[1:]) / lengths[:-1]
    assert (ratios[8:] < 1.17).all()


def test_likeness_becomes_a_probability_that_is_half_between_usual_and_best():
    likeness = np.array([0.1] * 8 + [0.2, 0.3])
    inside = likely_cells(likeness)
    assert inside[8] == pytest.approx(0.5)
    assert inside[9] > 0.95
    assert (inside[:8] < 0.05).all()
    np.testing.assert_allclose(likely_cells(5 + 3 * likeness), inside, rtol=1e-4)


def test_a_recording_without_any_difference_has_windows_nevertheless():
    assert len(rank_windows(likely_cells(np.full(20, 0.3)), duration=10.0)) > 0
