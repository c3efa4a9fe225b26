import doctest

import numpy as np
import pytest

from tests import libraries
from utils.runtime.errors import InputError
from utils.search import sorting
from utils.search.hits import Hit
from utils.search.sorting import KEYS, Order, hits_in_order, in_order, natural, note_on, parse_order

NAMES = ["b/take10.wav", "b/Take2.wav", "a/take2.wav", "Été.wav", "etf.wav"]
FACTS = [(-23.0, "2021"), (None, None), (-40.5, "2020-12-31"), (-23.0, "2021-01"), (None, "2019")]


@pytest.fixture
def database(tmp_path):
    """Five sounds; the first has a copy, which is listed after it."""
    names = [(name,) for name in NAMES]
    names[0] = ("b/take10.wav", "c/a.wav")
    table, peaks = np.zeros((5, 1), np.float32), np.zeros((5, 1), np.float16)
    seconds = [3.0, 1.0, 2.0, 1.0, 5.0]
    made = libraries.make_library(
        tmp_path / "library.sqlite", names, table, peaks, seconds=seconds
    ).database
    with made.writing() as connection:
        for number, facts in enumerate(FACTS):
            update = "UPDATE contents SET loudness = ?, date = ? WHERE content = ?"
            connection.execute(update, (*facts, number))
    return made


BEST = [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("key", "expected", "reversed_"),
    [
        ("score", [4, 3, 2, 1, 0], [0, 1, 2, 3, 4]),
        ("name", [3, 4, 2, 1, 0], [0, 1, 2, 4, 3]),
        ("duration", [3, 1, 2, 0, 4], [4, 0, 2, 3, 1]),
        ("date", [4, 2, 0, 3, 1], [3, 0, 2, 4, 1]),
        ("loudness", [2, 3, 0, 4, 1], [3, 0, 2, 4, 1]),
    ],
)
def test_equal_sounds_stay_best_first_and_those_without_a_value_come_last(
    database, key, expected, reversed_
):
    assert in_order(database, BEST, Order(key)) == expected
    assert in_order(database, BEST, parse_order(f"-{key}")) == reversed_


def test_names_are_sorted_as_people_count_and_spell():
    ordered = ["²b", "9", "10", "a", "eta", "étb", "etc", "take 1", "take 02", "Take 3", "TAKE 10"]
    assert sorted(sorted(ordered), key=natural) == ordered
    assert natural("Take 2") == natural("take 02")
    natural("caf\udce9")


def test_more_sounds_are_sorted_than_a_statement_takes(database, monkeypatch):
    monkeypatch.setattr(sorting, "_AT_ONCE", 2)
    assert in_order(database, BEST, Order("name")) == [3, 4, 2, 1, 0]
    assert in_order(database, [], Order("name")) == []


def test_hits_are_numbered_anew(database):
    hits = [Hit(1, 0.9, 2, ("c",), 2, 0, 2, False, [], 0, 0, []),
            Hit(2, 0.5, 1, ("b",), 1, 0, 1, False, [], 0, 0, [])]  # fmt: skip
    found = hits_in_order(database, hits, Order("duration"))
    assert [(hit.rank, hit.sound, hit.score) for hit in found] == [(1, 1, 0.5), (2, 2, 0.9)]


def test_a_note_says_if_only_the_best_are_sorted():
    only = {"found": 3, "top": 3, "ranked": True}
    assert note_on(Order("name", True), **only) == ["the 3 best by score, sorted by name"]
    assert note_on(Order("score", True), **only) == []
    for all_of_them in ({"found": 2}, {"ranked": False}):
        assert note_on(Order("name"), **{**only, **all_of_them}) == []


@pytest.mark.parametrize("text", ["size", "", "-", "--name", "Name", " name"])
def test_an_unknown_key_is_refused(text):
    with pytest.raises(InputError, match=f"sort by {', '.join(KEYS)}"):
        parse_order(text)


def test_the_examples_in_docstrings_are_true():
    assert doctest.testmod(sorting).failed == 0
