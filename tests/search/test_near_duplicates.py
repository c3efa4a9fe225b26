import contextlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.audio.test_fingerprint import RATE, noise, silence
from tests.support import break_disk
from utils.files.locks import LockFile
from utils.files.reading import sha256
from utils.search.database import Database
from utils.search.duplicate_list import as_text, duplicates_of, note_on
from utils.search.file_table import ListedFile, record
from utils.search.near_duplicates import fold, near, take_fingerprints


class Library:
    """A folder of sounds, and a database that knows them as tagged."""

    def __init__(self, path):
        self.folder, self.index = path / "sounds", path / "index"
        self.folder.mkdir(parents=True)
        self.index.mkdir()
        values = dict.fromkeys(("origin", "folder", "token", "generation"), "")
        self.database = Database.create(self.index / "library.sqlite", **values)
        self.taken = []

    def add(self, name, samples, **options):
        path = self.folder / name
        soundfile.write(path, samples, RATE, **options)
        status, source = path.stat(), sha256(path)
        record(self.database, {name: ListedFile(status.st_size, status.st_mtime_ns, source)})
        kind = (path.suffix[1:], RATE, samples.ndim, bytes.fromhex(source))
        with self.database.writing() as connection:
            connection.execute(
                "UPDATE contents SET duration = 1, format = ?, rate = ?, channels = ? "
                "WHERE source = ?",
                kind,
            )

    def number(self, name):
        return self.database.one("SELECT content FROM files WHERE name = ?", os.fsencode(name))

    def name(self, sound):
        return self.database.one("SELECT min(name) FROM files WHERE content = ?", sound).decode()

    def take(self, stop_after=None):
        @contextlib.contextmanager
        def progress(total):
            self.total = total

            def update(count):
                self.taken[-1] += count
                if self.taken[-1] == stop_after:
                    raise KeyboardInterrupt

            self.taken.append(0)
            yield SimpleNamespace(update=update)

        return take_fingerprints(self.database, self.index, self.folder, progress=progress)

    def pairs(self):
        found = near(self.database).items()
        return {(self.name(one), self.name(other)) for one, others in found for other in others}


FORMS = {
    "rain.wav": (noise(1), {"subtype": "PCM_24"}),
    "rain quiet.flac": (0.2 * noise(1), {}),
    "rain padded.ogg": (np.concatenate([silence(0.7), noise(1), silence(1.0)]), {}),
    "rain half.wav": (noise(1)[: 3 * RATE], {}),
    "wind.wav": (noise(2), {}),
}
RAIN = ["rain padded.ogg", "rain quiet.flac", "rain.wav"]
PAIRS = {(one, other) for one in RAIN for other in RAIN if one != other}


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path)
    for name, (samples, options) in FORMS.items():
        library.add(name, samples, **options)
    return library


def test_forms_of_a_sound_are_found_whatever_the_order(library, tmp_path):
    assert near(library.database) == {}  # an index of an earlier version
    assert library.take() == len(FORMS)
    assert library.pairs() == PAIRS
    assert library.take() == 0
    other = Library(tmp_path / "other")
    for name, (samples, options) in reversed(FORMS.items()):
        other.add(name, samples, **options)
        other.take()
    assert other.pairs() == PAIRS


def test_hits_are_folded_under_the_best_form(library):
    library.take()
    ranked = [library.number(name) for name in ("wind.wav", RAIN[1], "rain half.wav", RAIN[2])]
    groups = fold(library.database, ranked, 3)
    assert [library.name(sound) for sound in groups] == ["wind.wav", RAIN[1], "rain half.wav"]
    under = {library.name(sound) for sound in groups[ranked[1]]}
    assert under == {RAIN[0], RAIN[2]}  # the one was not among the ranked
    assert list(fold(library.database, ranked, 1)) == ranked[:1]
    assert groups[ranked[0]] == groups[ranked[2]] == []


def test_what_was_taken_before_a_kill_is_kept(library, monkeypatch):
    monkeypatch.setattr("utils.search.sound_passes._KEPT_AFTER", 0.0)
    with pytest.raises(KeyboardInterrupt):
        library.take(stop_after=3)
    (library.index / "fingerprints/steps.bin").open("ab").write(b"half a step")
    assert library.take() == len(FORMS) - 2  # the third was not written yet
    assert library.pairs() == PAIRS


def test_lost_fingerprints_are_taken_again(library):
    library.take()
    steps = library.index / "fingerprints/steps.bin"
    os.truncate(steps, steps.stat().st_size // 2)
    assert 0 < library.take() < len(FORMS)
    assert library.pairs() == PAIRS
    steps.unlink()
    assert library.take() == len(FORMS)
    assert library.pairs() == PAIRS


def test_what_another_process_does_is_left_to_it(library):
    lock = LockFile(library.index / "fingerprints/lock")
    assert lock.try_to_hold()
    assert library.take() == 0
    lock.release()
    assert library.take() == len(FORMS)


def test_an_index_that_cannot_be_written_is_searched_as_it_is(library, monkeypatch):
    monkeypatch.setattr("utils.search.database._is_writable", lambda path: False)
    assert library.take() == 0
    assert near(library.database) == {}


def test_a_file_that_cannot_be_decoded_stops_nothing(library):
    path = library.folder / "broken.flac"
    content = (library.folder / "rain quiet.flac").read_bytes()
    path.write_bytes(content[:100] + bytes(1000))
    status = path.stat()
    record(
        library.database, {path.name: ListedFile(status.st_size, status.st_mtime_ns, sha256(path))}
    )
    with library.database.writing() as connection:
        connection.execute("UPDATE contents SET duration = 1")
    assert library.take() == len(FORMS) + 1
    assert library.pairs() == PAIRS
    assert library.take() == 0


def test_a_file_that_changed_since_it_was_scanned_is_tried_again(library):
    os.utime(library.folder / "rain.wav", ns=(0, 0))
    library.take()
    assert {one for one, _ in library.pairs()} == set(RAIN[:2])
    status = (library.folder / "rain.wav").stat()
    file = ListedFile(status.st_size, 0, sha256(library.folder / "rain.wav"))
    record(library.database, {"rain.wav": file})
    assert library.take() == 1
    assert library.pairs() == PAIRS


def test_a_file_whose_disk_does_not_answer_is_tried_again(library, monkeypatch):
    with monkeypatch.context() as broken:
        break_disk(broken, library.folder / "rain.wav")
        assert library.take() == len(FORMS) - 1
    assert library.taken == [library.total] == [len(FORMS)]
    assert library.take() == 1
    assert library.pairs() == PAIRS


def test_what_is_not_compared_yet_is_told(library):
    text = "not compared with others yet: of them, copies alone are listed"
    assert note_on(library.database) == f"5 sounds {text}"  # an index of an earlier version
    library.take()
    assert note_on(library.database) == ""
    library.add("late.wav", noise(3))
    assert note_on(library.database) == f"1 sound {text}"


def test_duplicates_are_listed_with_the_best_form_first(library):
    library.add("rain copy.wav", *FORMS["rain.wav"][:1], subtype="PCM_24")
    library.take()
    (group,) = duplicates_of(library.database)
    assert [form.paths for form in group] == [
        ("rain copy.wav", "rain.wav"),
        ("rain quiet.flac",),
        ("rain padded.ogg",),
    ]
    text = as_text([group])
    assert text.startswith(
        "1. 4 files\n    rain copy.wav  0:01.0, wav, 16000 Hz, 1 channel, 0.3 MB"
    )
    assert "\n      copy rain.wav\n" in text
    assert as_text([]) == "no duplicates"
