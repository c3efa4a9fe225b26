import sqlite3
import unicodedata

import pytest

from utils.search import words
from utils.search.words import find_contents, phrase_match, split_words, word_forms, word_matches


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FootstepsGravel_02-take3.wav", "Footsteps Gravel 02 take 3 wav"),
        ("HTTPServer iPhone", "HTTP Server i Phone"),
        ("ÉcoleRue straße", "École Rue straße"),
        (unicodedata.normalize("NFD", "Café"), "Café"),
        ("雷雨 5.1", "雷雨 5 1"),
        ("...", ""),
    ],
)
def test_words_are_split_at_case_digits_and_marks(text, words):
    assert split_words(text) == words.split()


def test_words_are_found_in_other_forms():
    assert word_forms("dogs") == ["dogs", "dog"]
    assert "church" in word_forms("churches")
    assert "sawing" in word_forms("sawing")
    assert word_forms("is") == ["is"]


@pytest.fixture
def connection():
    database = sqlite3.connect(":memory:")
    database.executescript(
        """
        CREATE TABLE files (file INTEGER PRIMARY KEY, content INTEGER);
        CREATE VIRTUAL TABLE words USING fts5(name, folder, metadata,
          tokenize = "unicode61 remove_diacritics 2");
        """
    )
    return database


def add(connection, file, content, name="", folder="", metadata=""):
    connection.execute("INSERT INTO files VALUES (?, ?)", (file, content))
    texts = [" ".join(split_words(text)) for text in (name, folder, metadata)]
    connection.execute("INSERT INTO words(rowid, name, folder, metadata) VALUES (?, ?, ?, ?)",
                       (file, *texts))  # fmt: skip


def fill(connection, count=50):
    for number in range(count):
        add(connection, 1000 + number, 1000 + number, f"take {number}.wav")


def test_a_word_in_a_name_counts_more_than_in_a_folder_or_in_metadata(connection):
    fill(connection)
    add(connection, 1, 1, "Dog_01.wav")
    add(connection, 2, 2, "01.wav", folder="dog")
    add(connection, 3, 3, "01.wav", metadata="a dog")
    found = find_contents(connection, word_matches("dogs"))
    assert [*sorted(found, key=found.get, reverse=True)] == [1, 2, 3]


def test_the_evidence_of_a_word_in_a_name_is_about_how_rare_it_is(connection):
    fill(connection, 996)
    for number in range(4):
        add(connection, number, number, "dog 1.wav")
    found = find_contents(connection, word_matches("dog"))
    assert found[0] == pytest.approx(5.4, abs=0.3)  # log(1000 / 4.5)


def test_of_the_files_of_a_content_the_best_counts(connection):
    fill(connection)
    add(connection, 1, 7, "x.wav", metadata="rain")
    add(connection, 2, 7, "rain.wav")
    add(connection, 3, None, "rain.wav")
    add(connection, 4, 8, "rain.wav")
    found = find_contents(connection, word_matches("rain"))
    assert found.keys() == {7, 8}
    assert found[7] >= found[8]


def test_phrases_are_found_whatever_separates_their_words(connection):
    add(connection, 1, 1, "DOORWood_SC012-T3.wav")
    add(connection, 2, 2, "wood door.wav", folder="Café")
    fill(connection)
    for text, contents in {
        "door wood": {1},
        "wood door": {2},
        "sc012": {1},
        "SC-012": {1},
        "SC01": set(),
        "SC01*": {1},
        "door": {1, 2},
        "cafe": {2},
    }.items():
        assert find_contents(connection, [phrase_match(text)]).keys() == contents, text
    assert find_contents(connection, [phrase_match("cafe", column="name")]) == {}


@pytest.mark.parametrize("text", ['"', "a AND", "NEAR(", "name:x", "' OR 1", "*", "^x", "x" * 500])
def test_no_text_is_an_expression_of_its_own(connection, text):
    add(connection, 1, 1, "x.wav")
    for matches in ([phrase_match(text)], word_matches(text)):
        find_contents(connection, matches)


def test_common_words_are_not_looked_for():
    assert word_matches("the of and") == []
    assert len(word_matches(" ".join(f"w{i}" for i in range(5000)))) <= 200


def test_words_that_very_many_files_have_are_no_evidence_but_are_found(connection, monkeypatch):
    monkeypatch.setattr(words, "_COMMON", 5)
    fill(connection)
    add(connection, 1, 1, "take rain.wav")
    found = find_contents(connection, word_matches("take rain"))
    assert found.keys() == {1}
    assert found[1] > 1
    found = find_contents(connection, word_matches("take"))
    assert len(found) == 51
    assert max(found.values()) < 0.001


def test_a_star_completes_a_word(connection):
    add(connection, 1, 1, "Footsteps 01.wav")
    fill(connection)
    assert find_contents(connection, word_matches("foot")) == {}
    assert find_contents(connection, word_matches("foot*")).keys() == {1}
