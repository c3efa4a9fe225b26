import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.search.queries import InvalidQuery
from utils.search.query_line import (
    FIELDS,
    Alternative,
    FieldTerm,
    InvalidLine,
    Phrase,
    QueryLine,
    parse_line,
)


def only(line: str) -> Alternative:
    (alternative,) = parse_line(line).alternatives
    return alternative


@pytest.mark.parametrize(
    "line",
    [
        "rain on a tin roof, while a dog barks",
        "lo-fi drums - a loop",
        "don't stop",
        "at 12:30 in the morning",
        "title: rain",
        'a 12" vinyl record',
        "-! --x",
        "ORcas fOR example",
        "nor or and",
        "rain <5",
    ],
)
def test_plain_text_is_a_description(line):
    assert only(line) == Alternative(line)


def test_white_space_between_words_does_not_matter():
    assert only("  rain \t on\n roofs ") == Alternative("rain on roofs")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rain -wind", Alternative("rain", without=("wind",))),
        ('rain "tin roof"', Alternative("rain", phrases=(Phrase("tin roof"),))),
        ('-"tin roof" rain', Alternative("rain", phrases=(Phrase("tin roof", True),))),
        ("“tin roof”", Alternative(phrases=(Phrase("tin roof"),))),
        ("Duration:<5", Alternative(fields=(FieldTerm("duration", "<5"),))),
        ('-name:"a b" x', Alternative("x", fields=(FieldTerm("name", "a b", negated=True),))),
        ("tag:dog", Alternative(fields=(FieldTerm("tag", "dog"),))),
        ("tag:dog>0.3", Alternative(fields=(FieldTerm("tag", "dog", ">0.3"),))),
        ("tag:dog > 0.3 x", Alternative("x", fields=(FieldTerm("tag", "dog", ">0.3"),))),
        ('tag:"Rain on"<=.2', Alternative(fields=(FieldTerm("tag", "Rain on", "<=.2"),))),
    ],
)
def test_a_line_is_read(line, expected):
    assert only(line) == expected


def test_or_separates_whole_alternatives():
    assert parse_line("heavy rain duration:<5 OR hail").alternatives == (
        Alternative("heavy rain", fields=(FieldTerm("duration", "<5"),)),
        Alternative("hail"),
    )


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ('rain "tin roof', 5, "this quotation mark is not closed"),
        ('rain "" x', 5, "expected words between"),
        ('"tin"roof', 5, "expected a space after the quotation mark"),
        ('rain"tin roof"', 4, "a phrase begins with a quotation mark after a space"),
        ("rain titel:x", 5, "there is no field 'titel'. Fields are name, folder,"),
        ("-durration:5", 1, "Did you mean duration:?"),
        ("duration: <5", 9, "write the value directly after “duration:”"),
        ("rain tag:dog>", 12, "expected > or < and a probability"),
        ("tag:>0.3", 4, "expected the name of a tag"),
        ("tag:dog>0.3x", 11, "expected > or <"),
        ('name:a"b"', 6, "quotation marks belong around the whole value"),
        ("OR rain", 0, "nothing is before OR"),
        ("rain OR", 5, "nothing is after OR"),
        ("rain OR OR hail", 5, "nothing is after OR"),
    ],
)
def test_an_error_points_at_its_place(line, column, message):
    with pytest.raises(InvalidLine) as error:
        parse_line(line)
    assert message in error.value.problem
    assert error.value.column == column
    assert str(error.value).splitlines()[1:] == [f"  {line}", f"  {' ' * column}^"]


def test_of_a_long_line_an_error_shows_the_part_around_its_place():
    with pytest.raises(InvalidLine) as error:
        parse_line("a " * 500 + "x:y" + " z" * 500)
    _, shown, caret = str(error.value).splitlines()
    assert len(shown) < 130
    assert shown[caret.index("^") :].startswith("x:y")


def test_an_error_shows_no_control_characters():
    with pytest.raises(InvalidLine) as error:
        parse_line("\x1b[31m x:y")
    assert str(error.value).splitlines()[1] == "   [31m x:y"


@pytest.mark.parametrize("line", ["", "  ", "caf\udce9"])
def test_an_empty_line_and_one_that_is_not_utf8_are_refused(line):
    with pytest.raises(InvalidQuery):
        parse_line(line)


characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"“”-:<>OR .,'5a")
pieces = st.sampled_from(
    ["OR", "-", '"', '"tin roof"', "tag:", "tag:dog", ">0.3", "name:", "-name:x", "rain", "12:30"]
) | st.text(characters, max_size=6)
lines = st.lists(pieces, max_size=8).map(" ".join) | st.text(characters, max_size=30)


@given(lines)
@settings(max_examples=200, derandomize=True, deadline=None, database=None)
def test_any_line_is_read_or_refused_and_what_was_read_can_be_written(line):
    try:
        found = parse_line(line)
    except InvalidQuery:
        return
    assert parse_line(str(found)) == found


values = st.text(
    string.ascii_letters + string.digits + " <>.-_:“ü", min_size=1, max_size=12
).filter(lambda text: any(map(str.isalnum, text)))
fields = st.builds(
    FieldTerm,
    st.sampled_from([name for name in FIELDS if name != "tag"]),
    values,
    negated=st.booleans(),
)
tag_fields = st.builds(
    FieldTerm, st.just("tag"), values, st.sampled_from(["", ">0.3", "<=1"]), st.booleans()
)
texts = st.text(string.ascii_lowercase, min_size=1, max_size=5)
alternatives = st.builds(
    Alternative,
    st.lists(texts, max_size=3).map(" ".join),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(st.builds(Phrase, values, st.booleans()), max_size=2).map(tuple),
    st.lists(fields | tag_fields, max_size=3).map(tuple),
).filter(lambda alternative: alternative != Alternative())


@given(st.lists(alternatives, min_size=1, max_size=3))
@settings(max_examples=150, derandomize=True, deadline=None, database=None)
def test_what_is_written_is_read_as_the_same(found):
    written = QueryLine(tuple(found))
    assert parse_line(str(written)) == written
