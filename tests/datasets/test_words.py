import pytest

from utils.datasets import words


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("A bird  sings,\tthen stops. ", "A bird sings then stops"),
        ("high-pitched -- and well–known — noise", "high pitched and well known noise"),
        ("Don't touch the dogs' 'new' toy’s box", "Don't touch the dogs new toy's box"),
        ("rock 'n' roll", "rock n roll"),
        ('He said: "stop!" (twice) #1 @ 100% $5 a_b', "He said stop twice 1 100 5 ab"),
        ("first line\r\nsecond line", "first line second line"),
        ("café naïve Ångström", "café naïve Ångström"),
        ("don't-look", "don't look"),
        ("NA", "NA"),
        ("...", ""),
        ("", ""),
    ],
)
def test_clean_keeps_words_and_case_only(caption, cleaned):
    assert words.clean(caption) == cleaned


def test_tokens_are_the_lower_case_words_of_the_cleaned_caption():
    assert words.tokens(" The Rain, it's well-known. ") == ["the", "rain", "it's", "well", "known"]
    assert words.tokens("?!") == []


def test_vocabulary_counts_by_split():
    vocabulary = words.vocabulary(
        {"development": [["a", "dog", "barks"], ["a", "cat"]], "evaluation": [["rain"], []]},
        {"development": 1, "evaluation": 2},
    )
    assert vars(vocabulary) == {
        "vocabulary": {"a", "dog", "barks", "cat", "rain"},
        "word_bags": {"development": ["a", "dog", "barks", "a", "cat"], "evaluation": ["rain"]},
        "split_infos": {
            "development": {"num_clips": 1, "num_captions": 2, "num_words": 5},
            "evaluation": {"num_clips": 2, "num_captions": 2, "num_words": 1},
        },
    }
