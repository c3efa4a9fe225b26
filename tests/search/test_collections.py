import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests import libraries
from tests.search.test_library import Folder
from utils.runtime.errors import InputError
from utils.search.collections import Collections, NameTaken
from utils.search.excerpts import Pick, look_up, picks_of
from utils.search.file_table import ListedFile, record, remove_folder
from utils.search.hits import Hit
from utils.search.moments import Moment

CAFE = os.fsdecode(b"caf\xe9.wav")


@pytest.fixture
def library(tmp_path):
    names = [("rain.wav", "copy of rain.wav"), (CAFE,), ("sub/dog.wav",)]
    table = np.zeros((3, 1), np.float32)
    peaks = np.zeros((3, 527), np.float16)
    return libraries.make_library(tmp_path / "library.sqlite", names, table, peaks)


@pytest.fixture
def collections(library):
    return Collections(library.database)


def hit(sound, moments=()):
    place = {"duration": 20.0, "start": 0.0, "end": 20.0, "is_part": False}
    score = {"score": 0.5, "projection": 0.3, "tag_branch": 0.2, "tags": [], "reasons": []}
    return Hit(rank=1, sound=sound, paths=("a.wav",), moments=[*moments], **place, **score)


def test_a_collection_keeps_sounds_and_moments_in_the_order_of_adding(library, collections):
    rain = collections.create(" Rain ")
    assert (rain.name, rain.count) == ("Rain", 0)
    hits = [hit(2, [Moment(1.5, 4.0, 0.9), Moment(7.0, 8.0, 0.5)]), hit(0)]
    label = "a dog, \udcff"
    picks = picks_of(hits, label)
    assert picks == [
        Pick(2, 1.5, 4.0, label, 0.5, "a.wav"),
        Pick(2, 7.0, 8.0, label, 0.5, "a.wav"),
        Pick(0, None, None, label, 0.5, "a.wav"),
    ]
    assert collections.add(rain.number, look_up(library, picks)) == 3
    assert collections.add(rain.number, look_up(library, picks)) == 0  # they are there
    (listed,) = collections.all()
    assert listed == rain._replace(count=3)
    kept = collections.picks(rain.number)
    assert [*kept.values()] == [
        picks[0]._replace(known_as="sub/dog.wav"),
        picks[1]._replace(known_as="sub/dog.wav"),
        picks[2]._replace(known_as="copy of rain.wav"),
    ]
    first, *_ = kept
    assert collections.remove(rain.number, [first, 999]) == 1
    assert list(collections.picks(rain.number)) == list(kept)[1:]


def test_whole_sounds_are_taken_once(library):
    picks = picks_of([hit(2, [Moment(1.5, 4.0, 0.9), Moment(7.0, 8.0, 0.5)])], "dog")
    (excerpt,) = look_up(library, picks, whole=True)
    assert (excerpt.start, excerpt.end, excerpt.is_part) == (0, 20, False)
    assert picks_of([hit(2, [Moment(1.5, 4.0, 0.9)])], "dog", whole=True) == [
        Pick(2, None, None, "dog", 0.5, "a.wav")
    ]


def test_collections_survive_renamed_and_missing_files(library, collections):
    number = collections.create("all").number
    collections.add(number, look_up(library, [Pick(1), Pick(2, 0.0, 1.0)]))
    record(library.database, {CAFE: None, "tea.wav": ListedFile(1, 1, libraries.source_of(1))})
    remove_folder(library.database, "sub/")
    cafe, dog = look_up(library, [*collections.picks(number).values()])
    assert (cafe.paths, cafe.known_as, cafe.is_missing) == (("tea.wav",), "tea.wav", False)
    assert (dog.paths, dog.known_as, dog.is_missing) == ((), "sub/dog.wav", True)
    record(library.database, {"back.wav": ListedFile(1, 1, libraries.source_of(2))})
    dog = look_up(library, [*collections.picks(number).values()])[1]
    assert (dog.known_as, dog.start, dog.end) == ("back.wav", 0, 1)


def test_contents_are_not_deleted_while_they_are_collected(library, collections):
    number = collections.create("all").number
    collections.add(number, look_up(library, [Pick(1)]))
    with pytest.raises(InputError, match="is in a collection"), library.database.writing() as to:
        to.execute("DELETE FROM contents WHERE content = 1")
    collections.delete(number)
    with library.database.writing() as to:
        to.execute("DELETE FROM contents WHERE content = 1")


def test_names_are_any_text_but_empty(library, collections):
    names = ["'; DROP TABLE collected; --", "雷雨", CAFE, "a\nb", "=1+1", "Rain", "rain"]
    for name in names:
        collections.create(name)
    assert {one.name for one in collections.all()} == set(names)
    for name in names:
        assert collections.find(name).name == name
    for wrong in ("", " \n", "a" * 201):
        with pytest.raises(InputError, match=r"empty\. Give|201 characters"):
            collections.create(wrong)


def test_a_name_belongs_to_one_collection(library, collections):
    rain, dogs = collections.create("rain"), collections.create("dogs")
    with pytest.raises(NameTaken, match=r"There is a collection 'rain' already\. Choose"):
        collections.create("rain")
    with pytest.raises(NameTaken):
        collections.rename(dogs.number, "rain")
    assert collections.rename(dogs.number, "dogs").name == "dogs"
    assert collections.rename(dogs.number, "cats").name == "cats"
    assert collections.find_or_create("rain") == rain
    assert collections.find_or_create("new").count == 0


def test_what_is_not_there_is_named(library, collections):
    with pytest.raises(InputError, match=r"no collection 'x'\. There are none yet"):
        collections.find("x")
    number = collections.create("rain").number
    with pytest.raises(InputError, match=r"no collection 'x'\. There are 'rain'\."):
        collections.find("x")
    collections.delete(number)
    gone = f"no collection number {number}"
    for action in (
        lambda: collections.get(number),
        lambda: collections.rename(number, "x"),
        lambda: collections.delete(number),
        lambda: collections.add(number, []),
        lambda: collections.remove(number, []),
        lambda: collections.picks(number),
    ):
        with pytest.raises(InputError, match=gone):
            action()
    assert collections.create("rain").number != number  # pages may still name the old one
    for wrong, message in (
        (Pick(99), "no sound number 99"),
        (Pick(0, 5.0, 4.0), r"5\.0 to 4\.0 s is no part of sound number 0, which is 20\.000 s"),
        (Pick(0, 20.0, 30.0), "is no part"),
        (Pick(0, -1.0, 3.0), "is no part"),
    ):
        with pytest.raises(InputError, match=message):
            look_up(library, [wrong])


def test_a_failed_addition_adds_nothing(library, collections):
    number = collections.create("rain").number
    good = look_up(library, [Pick(0)])
    with pytest.raises((InputError, sqlite3.Error, AttributeError)):
        collections.add(number, [*good, None])
    assert collections.picks(number) == {}


def test_many_sounds_are_looked_up(library):
    assert len(look_up(library, [Pick(0)] * 40_000)) == 40_000


def test_a_collection_survives_what_happens_to_the_folder(tmp_path):
    folder = Folder(tmp_path)
    for number, name in enumerate(("rain.wav", "dog.wav")):
        folder.sound(name, 0.1 + number / 10)
    folder.update()
    library = folder.library
    collections = Collections(library.database)
    number = collections.create("all").number
    picks = [Pick(sound, 0.0, 0.5) for sound in library.sounds()]
    collections.add(number, look_up(library, picks))
    (folder.path / "sub").mkdir()
    (folder.path / "rain.wav").rename(folder.path / "sub/storm.wav")
    dog = (folder.path / "dog.wav").read_bytes()
    (folder.path / "dog.wav").unlink()
    folder.update()
    excerpts = look_up(folder.library, [*collections.picks(number).values()])
    assert sorted((one.known_as, one.is_missing) for one in excerpts) == [
        ("dog.wav", True),
        ("sub/storm.wav", False),
    ]
    (folder.path / "new dog.wav").write_bytes(dog)
    folder.update()
    excerpts = look_up(folder.library, [*collections.picks(number).values()])
    assert sorted(one.known_as for one in excerpts) == ["new dog.wav", "sub/storm.wav"]


def test_several_users_collect_at_once(library, collections):
    number = collections.create("all").number

    def collect(user):
        for step in range(20):
            picks = [Pick(user % 3, step / 10, step / 10 + 1 + user / 100)]
            Collections(library.database).add(number, look_up(library, picks))
        return Collections(library.database).find_or_create("shared").number

    with ThreadPoolExecutor(6) as users:
        assert len(set(users.map(collect, range(6)))) == 1
    assert len(collections.picks(number)) == 120


def test_what_the_file_says_of_time_and_channels_is_looked_up(library):
    with library.database.writing() as to:
        to.execute("UPDATE contents SET channels = 2 WHERE content = 1")
        for content, text in ((1, "43200.5"), (2, "noon")):
            to.execute("INSERT INTO metadata VALUES (?, 'time_reference', ?)", (content, text))
    found = look_up(library, [Pick(0), Pick(1), Pick(2)])
    assert [one.time_reference for one in found] == [0, 43_200.5, 0]
    assert [one.channels for one in found] == [None, 2, None]
    assert found[1].place == "0:20.0"
    assert look_up(library, [Pick(1, 1.5, 99.0)])[0].place == "0:01.5–0:20.0 of 0:20.0"
