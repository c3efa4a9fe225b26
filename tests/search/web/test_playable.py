import pytest

from utils.search.web.playable import media_type, rate_to_play

CD = {"rate": 44_100, "channels": 2, "indexed": True}


@pytest.mark.parametrize(
    ("container", "codec", "expected"),
    [
        ("wav", "pcm_16", "audio/wav"),
        ("wav", "pcm_u8", "audio/wav"),
        ("flac", "flac", "audio/flac"),
        ("mp3", "mp3", "audio/mpeg"),
        ("ogg", "opus", "audio/ogg"),
        ("wav", "pcm_24", None),
        ("wav", "mp3", None),
        ("ogg", "flac", None),
        ("ogg", "vorbis", None),
        ("mp4", "aac", None),
        ("aiff", "pcm_16", None),
        ("mp3", "mp2", None),
    ],
)
def test_containers_and_codecs_that_every_browser_plays_are_sent(container, codec, expected):
    assert media_type(container, codec, **CD) == expected


@pytest.mark.parametrize(
    "unusual", [{"indexed": False}, {"channels": 3}, {"rate": 24_000}, {"rate": 384_001}]
)
def test_sounds_that_browsers_would_not_play_from_the_right_place_are_decoded(unusual):
    assert media_type("mp3", "mp3", **CD | unusual) is None


def test_low_rates_of_what_has_no_delay_are_sent():
    assert media_type("wav", "pcm_16", **CD | {"rate": 3_000}) == "audio/wav"
    assert media_type("wav", "pcm_16", **CD | {"rate": 2_999}) is None


def test_rates_that_browsers_do_not_play_are_replaced():
    rates = [1_000, 2_999, 3_000, 44_100, 384_000, 1_000_000]
    assert [rate_to_play(rate) for rate in rates] == [8_000, 8_000, 3_000, 44_100, 384_000, 48_000]
