from collections import namedtuple

import pytest

from utils.search.queries import InvalidQuery, check_query, notes_on, require_words

Reading = namedtuple("Reading", "has_words unread pieces most")


def test_a_text_without_a_known_word_is_refused():
    require_words(["rain"], [Reading(True, (), 1, 9)])
    with pytest.raises(InvalidQuery, match=r"reads no word of '雨'\. Describe a sound in English"):
        require_words(["rain", "雨"], [Reading(True, (), 1, 9), Reading(False, ("雨",), 1, 9)])


def test_an_empty_text_and_one_that_is_not_utf8_are_refused():
    check_query("雨")
    for text in ("", " \n", "caf\udce9"):
        with pytest.raises(InvalidQuery):
            check_query(text)


def test_notes_name_what_is_not_read_and_that_a_text_is_read_in_parts():
    assert notes_on(Reading(True, (), 9, 9)) == []
    assert notes_on(Reading(True, ("雨", "it's"), 12, 9), parts=2) == [
        "not read by the sentence model, and left out: '雨', \"it's\"",
        "long: 12 word pieces, read in 2 parts of at most 9; the parts are averaged",
    ]
