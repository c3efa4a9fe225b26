import sqlite3

import numpy as np
import pytest

from utils.search.fusion import Usual, fuse
from utils.search.words import find_contents, split_words, word_matches

USUAL = Usual(0.1, 0.1)
NONE = np.zeros(4)


def test_without_words_the_scores_are_the_likeness():
    meaning = np.array([0.1, 0.7, -0.2, 0.3], np.float32)
    np.testing.assert_array_equal(fuse(meaning, NONE, NONE, usual=USUAL), meaning)


def test_words_add_to_the_scores_of_those_that_have_them():
    meaning = np.array([0.3, 0.3, 0.1, 0.0])
    found = fuse(meaning, np.array([0, 4.0, 0, 0]), NONE, usual=USUAL)
    assert found[1] > meaning[1]
    np.testing.assert_array_equal(np.delete(found, 1), np.delete(meaning, 1))
    more = fuse(meaning, np.array([0, 8.0, 0, 0]), NONE, usual=USUAL)
    assert more[1] > found[1]


def test_words_that_the_sounds_contradict_do_not_count():
    meaning = np.array([0.6, 0.1, 0.05, 0.1])
    words = np.array([0, 9.0, 9.0, 0])
    np.testing.assert_array_equal(fuse(meaning, words, NONE, usual=USUAL), meaning)


def test_codes_count_whatever_the_sound_and_before_the_best_of_a_million():
    meaning = np.array([0.1 + 0.49, 0.1, 0.0, 0.0])  # one of a million is 4.9 deviations above
    found = fuse(meaning, NONE, np.array([0, 13.8, 0, 0]), usual=USUAL)
    assert found.argmax() == 1


@pytest.mark.parametrize("deviations", [-6.0, 0.0, 8.0, 60.0])
def test_scores_are_finite_and_keep_their_order_far_out(deviations):
    meaning = USUAL.mean + USUAL.deviation * (deviations + np.array([0, 0.5, 1, 1.5]))
    found = fuse(meaning, NONE, np.full(4, 3.0), usual=USUAL)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert (found > meaning).all()


def test_what_is_usual_is_measured():
    usual = Usual.of(np.array([0.0, 0.2], np.float32))
    np.testing.assert_allclose(usual, (0.1, 0.1), atol=1e-7)
    np.testing.assert_allclose(usual.standardise(np.array([0.3])), [2.0], atol=1e-6)
    assert np.isfinite(Usual.of(np.zeros(5)).standardise(np.zeros(5))).all()


def first_share(names, meaning, words):
    """The share of sounds that come first for their own query."""
    connection = database_of(names)
    ranks = []
    for sound, likeness in enumerate(meaning):
        evidence = find_contents(connection, word_matches(f"the sound of a {words[sound]}"))
        found = np.array([evidence.get(content, 0.0) for content in range(len(names))])
        scores = fuse(likeness, found, np.zeros(len(names)), usual=Usual.of(likeness))
        ranks.append(scores.argmax() == sound)
    return np.mean(ranks)


def database_of(names):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(name, folder, metadata)")
    connection.execute("CREATE TABLE files (file INTEGER PRIMARY KEY, content INTEGER)")
    for content, name in enumerate(names):
        row = (content + 1, " ".join(split_words(name)), "", "")
        connection.execute("INSERT INTO words(rowid, name, folder, metadata) VALUES (?,?,?,?)", row)
        connection.execute("INSERT INTO files VALUES (?, ?)", (content + 1, content))
    return connection


def test_names_that_help_help_and_names_that_mislead_hardly_harm():
    rng = np.random.default_rng(0)
    kinds = np.arange(160) % 40  # forty kinds of sounds, four of each
    alike = np.where(kinds[:, None] == kinds, 0.15, 0.0) + np.eye(160) * 0.15
    meaning = alike + 0.1 * rng.standard_normal((160, 160))
    words = [f"k{'abcdefgh'[kind // 5]}{'vwxyz'[kind % 5]}" for kind in kinds]
    helping = [f"{word.title()}_{number}.wav" for number, word in enumerate(words)]
    misleading = [str(name) for name in rng.permutation(helping)]
    alone = np.mean(meaning.argmax(axis=1) == np.arange(160))
    assert first_share(helping, meaning, words) > alone + 0.1
    assert first_share(misleading, meaning, words) > alone - 0.03
    assert first_share([f"{number}.wav" for number in range(160)], meaning, words) == alone
