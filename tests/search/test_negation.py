import numpy as np
import pytest

from utils.search.fusion import Usual
from utils.search.negation import named_tags, penalty, split_negation


@pytest.mark.parametrize(
    ("text", "description", "without"),
    [
        ("rain without thunder", "rain", ["thunder"]),
        ("rain, no dogs", "rain", ["dogs"]),
        ("no dogs", "", ["dogs"]),
        ("No dog, just rain", "just rain", ["dog"]),
        ("a street with no cars and no voices", "a street", ["cars", "voices"]),
        ("rain without any wind or thunder", "rain", ["wind", "thunder"]),
        ("waves but no birds while a boat passes", "waves while a boat passes", ["birds"]),
        ("a man walks without speaking, then sits", "a man walks, then sits", ["speaking"]),
        ("there are no dogs, only rain", "only rain", ["dogs"]),
        ("rain (no wind)", "rain", ["wind"]),
        ("rain NOT wind", "rain", ["wind"]),
        ("rain without traffic noise", "rain", ["traffic noise"]),
    ],
)
def test_what_a_description_negates_is_taken_out(text, description, without):
    assert split_negation(text) == (description, tuple(without))


@pytest.mark.parametrize(
    "text",
    [
        "a tap drips without a break",
        "an engine no longer runs",
        "take no 3",
        "casino noises, a piano",
        "nothing but rain",
        "pipes are struck in no particular order",
        "rain with no other sounds",
        "it is not rain",
        "no",
        "a radio without",
    ],
)
def test_what_negates_no_sound_stays(text):
    assert split_negation(text) == (text, ())


@pytest.mark.parametrize(
    "text", ["with " * 20_000, "no x, " * 3000, "(" * 20_000, "and no " * 3000]
)
def test_long_texts_are_read_in_time(text):
    split_negation(text)  # it took minutes when a pattern was quadratic


def test_a_text_names_tags_by_any_of_their_names_in_other_forms():
    tags = ["Dog", "Walk, footsteps", "Vehicle horn, car horn, honking", "Car", "Whimper (dog)"]
    assert named_tags("dogs", tags) == [0, 4]
    assert named_tags("footstep", tags) == [1]
    assert named_tags("car horns", tags) == [2]
    assert named_tags("a car and its car horn", tags) == [2]
    assert named_tags("nothing of these", tags) == []


USUAL = Usual(0.1, 0.05)


def penalties(likeness, probability=0.0, *, described=0.0, correlation=0.0):
    likeness = np.atleast_1d(likeness)
    return penalty(
        likeness,
        np.full(len(likeness), probability),
        usual=USUAL,
        described=np.full(len(likeness), described),
        correlation=correlation,
    )


def test_a_penalty_grows_with_unusual_likeness_and_with_the_probability_of_tags():
    by_meaning = penalties([0.0, 0.1, 0.2, 0.3])
    assert (np.diff(by_meaning) > 0).all()
    assert by_meaning[1] < 0.1  # what is usual costs nothing
    assert by_meaning[3] > 4.5
    assert penalties(0.1, 1.0) == pytest.approx(5)
    assert penalties(0.1, 0.4) == pytest.approx(2)


def test_likeness_that_comes_with_the_description_is_not_held_against_a_sound():
    assert penalties(0.25, described=3.0, correlation=0.8) < penalties(0.25) / 3
    assert penalties(0.25, described=3.0, correlation=-0.8) == penalties(0.25)
    assert np.isfinite(penalties(0.25, described=3.0, correlation=1.0)).all()
