import pytest

from utils.runtime.errors import InputError
from utils.search.filters import Filter, parse_filter

TAGS = ["Dog", "Bark", "Rain", "Rain on surface"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dog > 0.3", Filter("Dog", True, 0.3)),
        ("rain on SURFACE<.25", Filter("Rain on surface", False, 0.25)),
        ("bark >= 1", Filter("Bark", True, 1.0)),
        ("  Rain ", Filter("Rain", True, 0.5)),
    ],
)
def test_a_filter_is_read(text, expected):
    assert parse_filter(text, TAGS) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Dog > 1.5", "give a probability from 0 to 1, not '1.5'"),
        ("Dog > 0.3.1", "from 0 to 1, not '0.3.1'"),
        ("rai > 0.1", r"no tag 'rai'\. Did you mean 'Rain' or 'Rain on surface'"),
        ("Dogg", r"no tag 'Dogg'\. Did you mean 'Dog'"),
        ("> 0.3", "AudioSet has no tag ''"),
        ("", "AudioSet has no tag ''"),
    ],
)
def test_an_invalid_filter_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_filter(text, TAGS)
