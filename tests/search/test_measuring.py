import os
import signal

import numpy as np
import pytest
import soundfile

from tests.crashes import in_child
from tests.support import Bar, break_disk, noting
from utils.search import sound_passes
from utils.search.database import Database
from utils.search.measuring import measure
from utils.search.sound_folder import scan_folder

RATE = 8_000


def tone(path, decibels, seconds=1.0):
    time = np.arange(round(seconds * RATE)) / RATE
    samples = 10 ** (decibels / 20) * np.sin(2 * np.pi * 997 * time)
    soundfile.write(path, np.stack([samples, samples], axis=1), RATE)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name, level in (("a.wav", -20), ("b.flac", -30), ("c.aiff", -40)):
        tone(folder / name, level)
    return folder


@pytest.fixture
def database(tmp_path, folder):
    made = Database.create(tmp_path / "library.sqlite")
    tag(made, folder)
    return made


def tag(database, folder):
    scan_folder(folder, database)
    with database.writing() as connection:
        connection.execute("UPDATE contents SET duration = 1")


def loudness_of(database):
    rows = database.all("SELECT name, loudness FROM files JOIN contents USING (content)")
    return {os.fsdecode(name): loudness for name, loudness in rows}


def pending(database):
    return database.one("SELECT count(*) FROM contents WHERE NOT measured")


def test_contents_are_measured_once(database, folder):
    bars = []
    assert measure(database, folder, progress=noting(bars)) == 3
    expected = {"a.wav": -20, "b.flac": -30, "c.aiff": -40}
    assert loudness_of(database) == pytest.approx(expected, abs=0.1)
    assert measure(database, folder, progress=noting(bars)) == 0
    tone(folder / "d.wav", -25)
    tag(database, folder)
    assert measure(database, folder, progress=noting(bars)) == 1
    assert [(bar.total, bar.done) for bar in bars] == [(3, 3), (1, 1)]


def test_what_has_no_loudness_is_not_tried_again(database, folder):
    tone(folder / "short.wav", -20, seconds=0.3)
    tone(folder / "silent.wav", -200)
    (folder / "broken.wav").write_bytes(b"no sound")
    tag(database, folder)
    assert measure(database, folder, progress=Bar) == 6
    found = loudness_of(database)
    assert [found[name] for name in ("short.wav", "silent.wav", "broken.wav")] == [None] * 3
    assert measure(database, folder, progress=Bar) == 0


def test_truncated_sounds_are_measured_as_far_as_they_go(database, folder):
    (folder / "a.wav").write_bytes((folder / "a.wav").read_bytes()[:20_000])
    tag(database, folder)
    measure(database, folder, progress=Bar)
    assert loudness_of(database)["a.wav"] == pytest.approx(-20, abs=0.1)


def test_what_is_not_tagged_is_not_measured(database, folder):
    with database.writing() as connection:
        connection.execute("UPDATE contents SET duration = NULL WHERE content = 1")
    assert measure(database, folder, progress=Bar) == 2


def test_files_that_do_not_answer_or_changed_are_tried_again(database, folder, monkeypatch):
    with monkeypatch.context() as patch:
        break_disk(patch, folder / "a.wav")
        tone(folder / "b.flac", -10, seconds=2)
        measure(database, folder, progress=Bar)
    assert pending(database) == 2
    tag(database, folder)
    measure(database, folder, progress=Bar)
    assert loudness_of(database) == pytest.approx(
        {"a.wav": -20, "b.flac": -10, "c.aiff": -40}, abs=0.1
    )


def test_a_killed_pass_keeps_what_it_has_measured(database, folder, monkeypatch):
    monkeypatch.setattr(sound_passes, "_KEPT_AFTER", -1)
    database.close()

    class Killer(Bar):
        def update(self, count=1):
            super().update(count)
            if count and self.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    killed = in_child(lambda: measure(database, folder, progress=Killer))
    assert killed == -signal.SIGKILL
    assert pending(database) == 1
    bars = []
    measure(database, folder, progress=noting(bars))
    assert (bars[0].total, pending(database)) == (1, 0)


def test_an_index_that_cannot_be_written_is_searched_as_it_is(database, folder, monkeypatch):
    monkeypatch.setattr("utils.search.database._is_writable", lambda path: False)
    assert measure(database, folder, progress=Bar) == 0
    assert set(loudness_of(database).values()) == {None}
