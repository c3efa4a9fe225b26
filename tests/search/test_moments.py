from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.architectures import CLASSES, SILENCE
from models.moment_net import MomentNet
from utils.features.fine_grid import GridFolder
from utils.features.hearing import mark_silence
from utils.search.library import LibrarySound
from utils.search.moments import MomentFinder

WIDTH = CLASSES + 1
QUERY = np.array([1.0, 0.0], np.float32)


def embed(rows):
    """The first logit is the angle to the query."""
    return np.stack([np.cos(rows[:, 0]), np.sin(rows[:, 0])], axis=1)


@pytest.fixture
def make_finder(tmp_path):
    """Make a finder for one sound, whose cells are as like the query as given."""

    def make(likeness, *, silent=(), seconds=None, asks=False, net=None):
        grid = GridFolder(tmp_path / "grid", origin={}, width=WIDTH)
        grid.prepare()
        cells = np.zeros((len(likeness), WIDTH), np.float32)
        cells[:, 0] = np.arccos(np.clip(likeness, -1, 1))
        rows = torch.from_numpy(cells[list(silent)])
        mark_silence(rows, np.zeros((len(rows), 8), np.float32))
        cells[list(silent)] = rows.numpy()
        if len(cells):
            grid.append("a", cells, at=0)
        sound = LibrarySound(("a.wav",), seconds or len(likeness) / 2, "a")
        return MomentFinder(
            SimpleNamespace(sounds=lambda numbers: dict.fromkeys(numbers, sound)),
            grid,
            embed=embed,
            asks_for_silence=lambda query: asks,
            net=net,
        )

    return make


def likeness_of(cells, *moments):
    likeness = np.full(cells, 0.1)
    for first, last, value in moments:
        likeness[first:last] = value
    return likeness


def test_moments_come_best_first_and_do_not_overlap(make_finder):
    finder = make_finder(likeness_of(80, (20, 26, 0.9), (60, 64, 0.8)))
    found = finder.find(QUERY, 0, at=0, count=5)
    assert [(round(m.start), round(m.end)) for m in found.moments] == [(10, 13), (30, 32)]
    assert found.moments[0].score > found.moments[1].score
    assert (found.begin, len(found.curve)) == (0, 80)
    assert found.curve[22] == pytest.approx(0.9, abs=1e-3)
    assert len(finder.find(QUERY, 0, at=0).moments) == 1


@pytest.mark.parametrize(("at", "begin"), [(0, 0), (1800, 1500), (3600, 3000), (9999, 3000)])
def test_of_a_long_sound_ten_minutes_are_looked_at(make_finder, at, begin):
    finder = make_finder(likeness_of(7200, (100, 110, 0.9), (3600, 3610, 0.9), (7190, 7200, 0.9)))
    found = finder.find(QUERY, 0, at=at)
    (moment,) = found.moments
    assert (found.begin, len(found.curve)) == (begin, 1200)
    assert begin <= moment.start < moment.end <= begin + 600
    start = {0: 50, 1500: 1800, 3000: 3595}[begin]
    assert (moment.start, moment.end) == (
        pytest.approx(start, abs=0.3),
        pytest.approx(start + 5, abs=0.3),
    )


@pytest.mark.parametrize("asks", [True, False])
def test_silence_is_found_by_who_asks_for_it_alone(make_finder, asks):
    finder = make_finder(likeness_of(40, (30, 34, 0.6)), silent=range(4, 12), asks=asks)
    finder._embed = lambda rows: np.where(rows[:, :1] < -1, QUERY, embed(rows))
    (moment,) = finder.find(QUERY, 0, at=0).moments
    assert round(moment.start) == (2 if asks else 15)
    assert SILENCE != 0


def test_a_sound_that_is_all_silent_or_shorter_than_a_cell_has_a_moment(make_finder):
    for likeness, silent, seconds in (([0.5] * 3, range(3), 1.5), ([0.5], (), 0.1)):
        (moment,) = (
            make_finder(likeness, silent=silent, seconds=seconds).find(QUERY, 0, at=0).moments
        )
        assert 0 <= moment.start < moment.end <= seconds


def test_an_incomplete_last_cell_is_no_moment_by_itself(make_finder):
    finder = make_finder(likeness_of(15, (14, 15, 0.9)), seconds=7.01)
    moments = finder.find(QUERY, 0, at=0, count=5).moments
    assert all(moment.end - moment.start >= 0.25 for moment in moments)


def test_cells_that_were_deleted_give_no_moments(make_finder):
    found = make_finder([], seconds=5).find(QUERY, 0, at=0)
    assert (found.moments, found.curve) == ([], [])


def test_a_trained_network_decides_instead_of_likeness(make_finder):
    class Last(MomentNet):
        def likely_cells(self, curves):
            return (torch.arange(curves.shape[1]) >= 30).float()

    finder = make_finder(likeness_of(40, (0, 4, 0.9)), net=Last())
    (moment,) = finder.find(QUERY, 0, at=0).moments
    assert (moment.start, moment.end) == (15, 20)
