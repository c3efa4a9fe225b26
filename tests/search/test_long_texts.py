import re

import numpy as np
import pytest

from models.sentence_encoder import Reading
from tests.support import DEMO_CONFIG
from utils.features.sentences import TextEncoder
from utils.search.long_texts import embed_whole, split_to_fit
from utils.search.queries import InvalidQuery
from utils.settings.loading import load_config

MOST = 8


def read(texts):
    """Read each word as a piece, and no word in Chinese."""
    return [
        Reading(bool(re.search("[a-z]", text)), (), len(re.findall(r"[^\W雨]+|雨", text)), MOST)
        for text in texts
    ]


def split(text):
    return [part for part, _ in split_to_fit(text, *read([text]), read)]


def test_a_short_text_stays_whole():
    assert split("a b c d, e f. g h") == ["a b c d, e f. g h"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("one two three. four five, six seven eight nine", 2),
        ("one two three, four five six seven eight nine", 2),
        ("a b c d e f g h i", 2),
        ("雨" * 9, 2),
        ("a " * 100, 16),
    ],
)
def test_a_long_text_is_split_into_parts_that_fit(text, parts):
    found = split(text)
    assert len(found) == parts
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert all(reading.pieces <= MOST for reading in read(found))


def test_it_is_split_after_a_sentence_rather_than_a_comma_rather_than_a_word():
    assert split("a b c d e, f. g h i") == ["a b c d e, f.", "g h i"]
    assert split("a b c d e, f g h i") == ["a b c d e,", "f g h i"]


@pytest.fixture(scope="module")
def encoder(quick_sentence_model):
    return TextEncoder(load_config(DEMO_CONFIG, [*quick_sentence_model, "precision=fp32"]))


def test_short_texts_have_the_vectors_of_the_sentence_model(encoder):
    texts = ["rain on a tin roof", "a dog"]
    np.testing.assert_array_equal(embed_whole(texts, encoder), encoder(texts))
    assert embed_whole([], encoder).shape == (0, encoder(texts).shape[1])


def test_what_is_beyond_the_reach_of_the_sentence_model_counts(encoder):
    rain = "Rain falls on a tin roof. " * 60
    both = f"{rain}{'A dog barks at the door. ' * 60}"
    assert encoder.read([rain])[0].pieces > encoder.read([rain])[0].most
    np.testing.assert_array_equal(encoder([both]), encoder([rain]))  # cut
    found, alone = embed_whole([both, rain], encoder)
    (dog,) = encoder(["A dog barks at the door."])
    np.testing.assert_allclose(np.linalg.norm([found, alone], axis=1), 1, atol=1e-6)
    assert found @ dog > alone @ dog + 0.1


def test_parts_without_a_known_word_do_not_count_and_a_text_of_such_parts_is_refused(encoder):
    rain = "Rain falls on a tin roof. " * 60
    found, alone = embed_whole([f"{rain}{'雨' * 1000}", rain], encoder)
    assert found @ alone > found @ encoder(["雨" * 300])[0]
    with pytest.raises(InvalidQuery, match="reads no word of"):
        embed_whole(["rain", "雨" * 1000], encoder)
