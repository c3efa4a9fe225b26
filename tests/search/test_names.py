import unicodedata
from pathlib import Path

import pytest

from utils.search.words import split_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DOGBark_BigDog-Angry02_JD.wav", "dog bark big dog angry 02 jd dogbark bigdog angry02"),
        ("UFOLanding.flac", "ufo landing ufolanding"),
        ("rain.wav", "rain"),
        ("RAIN.WAV", "rain"),
        ("MKH8020 48kHz.aif", "mkh 8020 48 k hz mkh8020 48khz"),
        ("Street [night] (2).mp3", "street night 2"),
        ("ÉcoleÉté.wav", "école été écoleété"),
        ("録音 3.wav", "録音 3"),
        ("XMLHttpRequest2.wav", "xml http request 2 xmlhttprequest2"),
        ("a", "a"),
        ("", ""),
        ("__--..", ""),
    ],
)
def test_names_are_split_at_case_digits_and_separators(name, words):
    assert split_name(name) == words


def test_folders_count():
    assert split_name(Path("Storms/OldTown/rain.wav")) == "storms old town rain oldtown"


def test_only_endings_of_sounds_are_left_out():
    assert split_name("Take 1.5") == "take 1 5"
    assert split_name("Notes.final") == "notes final"


def test_decomposed_accents_are_part_of_their_words():
    decomposed = unicodedata.normalize("NFD", "CaféÉtoile.wav")
    assert split_name(decomposed) == "café étoile caféétoile"


def test_names_that_are_not_unicode_are_split_too():
    assert split_name("bad\udcffName.wav") == "bad name"
