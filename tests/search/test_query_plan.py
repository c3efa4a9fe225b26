import sqlite3

import numpy as np
import pytest

from utils.search.queries import InvalidQuery
from utils.search.query_line import InvalidLine
from utils.search.query_plan import Found, read_query

TAGS = ["Dog", "Rain", "Bark", "Speech"]


def only(line, **options):
    (part,) = read_query(line, TAGS, **options).parts
    return part


def test_a_description_is_embedded_and_its_words_are_looked_for():
    part = only("rain on roofs")
    assert part.texts == ["rain on roofs"]
    assert part.words == ('"rain"', '"rains"', '"roofs"', '"roof"')
    assert (part.codes, part.conditions, part.negated) == ((), (), ())


def test_what_is_negated_is_embedded_on_its_own_with_the_tags_it_names():
    for line in ("rain -dog", "rain without dog", "rain, no dog"):
        part = only(line)
        assert part.texts == ["rain", "dog"]
        assert part.tags == [0]
        assert part.words == ('"rain"', '"rains"')
    assert only("no dog").texts == ["dog"]
    assert read_query("rain, no dog or speech", TAGS).notes == ("without: dog, speech",)
    assert read_query("rain -dog", TAGS).notes == ()


def test_a_dash_also_excludes_files_with_the_word_and_plain_words_do_not():
    assert len(only("rain -dog").conditions) == 1
    assert only("rain without dog").conditions == ()


def test_more_conditions_than_the_database_takes_are_refused():
    many = " ".join(500 * ["-a"])
    assert len(only(many).conditions) == 500
    with pytest.raises(InvalidQuery, match="501 fields, phrases and words with a dash, more than"):
        only(f"{many} duration:<5")


@pytest.mark.parametrize("word", ["SC012", "48213", "take3b"])
def test_codes_are_looked_up(word):
    part = only(f"rain {word}")
    assert part.words == ('"rain"', '"rains"')
    assert part.codes
    assert word in part.description


def test_words_are_codes_if_the_sentence_model_knows_none_of_them():
    known = {"rain"}.__contains__
    assert only("Zildjian", knows=known).codes == ('"zildjian"', '"zildjians"')
    assert only("Zildjian rain", knows=known).codes == ()
    assert only("2 dogs").codes == ()


def test_a_line_describes_if_any_alternative_does():
    assert read_query("folder:a OR rain -dog", TAGS).describes
    assert not read_query('folder:a "tin roof" OR -dog', TAGS).describes


def test_the_texts_of_all_alternatives_are_embedded_once():
    plan = read_query("rain -dog OR hail -dog OR duration:<5", TAGS)
    assert plan.texts == ["rain", "dog", "hail"]
    assert plan.parts[2].texts == []


def test_errors_point_at_the_line():
    with pytest.raises(InvalidLine) as error:
        read_query("rain OR hail duration:soon", TAGS)
    assert error.value.column == 22
    with pytest.raises(InvalidQuery):
        read_query(" ", TAGS)


@pytest.fixture
def connection():
    """Of contents 1 to 60, the rows have the same numbers."""
    database = sqlite3.connect(":memory:")
    database.executescript(
        """
        CREATE TABLE contents (content INTEGER PRIMARY KEY, duration REAL);
        CREATE TABLE files (file INTEGER PRIMARY KEY, content INTEGER);
        CREATE TABLE passages (row INTEGER PRIMARY KEY, content INTEGER);
        CREATE VIRTUAL TABLE words USING fts5(name, folder, metadata);
        """
    )
    names = {1: "dog rain 01 wav", 2: "rain 02 wav", 3: "tin roof 03 wav"}
    for content in range(1, 61):
        name = names.get(content, f"take {content} wav")
        database.execute("INSERT INTO contents VALUES (?, ?)", (content, content))
        database.execute("INSERT INTO files VALUES (?, ?)", (content, content))
        database.execute("INSERT INTO passages VALUES (?, ?)", (content, content))
        database.execute("INSERT INTO words(rowid, name, folder, metadata) VALUES (?, ?, '', '')",
                         (content, name))  # fmt: skip
    return database


def test_rows_and_words_are_asked_of_the_database(connection):
    assert only("rain").rows(connection) is None
    part = only("rain -dog duration:<4")
    np.testing.assert_array_equal(part.rows(connection), [2, 3])
    assert part.found_by_words(connection).words.keys() == {1, 2}
    part = only('"tin roof"')
    np.testing.assert_array_equal(part.rows(connection), [3])
    assert part.found_by_words(connection).codes.keys() == {3}
    assert part.texts == []
    assert only("duration:<0").rows(connection).dtype == np.int64


SAMPLE = np.random.default_rng(0).normal(0.1, 0.1, (2, 500))


def score(line, found=None, *, likeness, dogs=(0.0, 0.0, 0.0)):
    part = only(line)
    return part.score(
        [1, 2, 3],
        found=found,
        likeness=likeness,
        sample=dict(zip(likeness, SAMPLE, strict=False)),
        probabilities={tag: np.array(dogs) for tag in part.tags},
    )


def test_the_score_of_a_description_is_its_likeness():
    likeness = np.array([0.2, 0.5, 0.4])
    np.testing.assert_array_equal(score("rain", likeness={"rain": likeness}), likeness)


def test_what_is_negated_lowers_a_sound_by_its_tags_and_by_its_likeness():
    rain, dog = np.array([0.5, 0.45, 0.1]), np.array([0.1, 0.1, 0.1])
    found = score("rain -dog", likeness={"rain": rain, "dog": dog}, dogs=[0.9, 0.0, 0.0])
    assert found.argmax() == 1
    barking = np.array([0.5, 0.1, 0.1])
    found = score("rain -dog", likeness={"rain": rain, "dog": barking})
    assert found.argmax() == 1
    found = score("no dog", likeness={"dog": dog}, dogs=[0.9, 0.1, 0.5])
    assert [*found.argsort()] == [0, 2, 1]


def test_words_raise_a_sound_together_with_meaning_and_alone():
    likeness = np.array([0.35, 0.4, 0.1])
    found = Found({1: 4.0}, {})
    assert score("rain", found, likeness={"rain": likeness}).argmax() == 0
    alone = only("rain").score_by_words([1, 2, 3], found)
    assert alone[0] > 0
    np.testing.assert_array_equal(alone[1:], [0, 0])
