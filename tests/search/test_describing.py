import shutil

import pytest
import soundfile

from tests.support import break_disk, noting
from utils.search.database import Database
from utils.search.describing import describe
from utils.search.sound_folder import scan_folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    (folder / "FoleySteps").mkdir(parents=True)
    with soundfile.SoundFile(folder / "FoleySteps/DOORWood_Creak-02.wav", "w", 48_000, 2) as sound:
        sound.title = "An old cellar"
        sound.date = "2021-03-04"
        sound.write([[0.5, 0.25]] * 100)
    soundfile.write(folder / "plain.flac", [0.5] * 100, 8_000)
    return folder


@pytest.fixture
def database(tmp_path):
    return Database.create(tmp_path / "library.sqlite")


def update(database, folder):
    bars = []
    scan_folder(folder, database)
    describe(database, folder, progress=noting(bars))
    return [bar.total for bar in bars]


def found(database, words):
    return sorted(
        path
        for (path,) in database.all(
            "SELECT path || files.name FROM files JOIN folders USING (folder) "
            "WHERE file IN (SELECT rowid FROM words WHERE words MATCH ?)",
            words,
        )
    )


def test_contents_are_described_once(database, folder):
    assert update(database, folder) == [2]
    rows = database.all("SELECT rate, channels, format, date, ucs FROM contents ORDER BY rate")
    assert rows == [(8_000, 1, "flac", None, None), (48_000, 2, "wav", "2021-03-04", "DOORWood")]
    fields = dict(database.all("SELECT field, value FROM metadata"))
    assert fields["title"] == "An old cellar"
    assert update(database, folder) == []
    with soundfile.SoundFile(folder / "plain.flac", "w", 8_000, 1) as sound:
        sound.comment = "Filled"
        sound.write([0.25] * 50)
    assert update(database, folder) == [1]
    assert found(database, "filled") == ["plain.flac"]


def test_files_are_found_by_words_of_name_folder_and_metadata(database, folder):
    update(database, folder)
    door = "FoleySteps/DOORWood_Creak-02.wav"
    for words in ("wood", "doorwood", '"door wood creak 02"', "foley", "cellar", "name : creak"):
        assert found(database, words) == [door], words
    assert found(database, "name : cellar") == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [("July 2005", "2005-07"), ("2005/07/03", "2005-07-03"), ("2005-13", "2005"), ("n/a", None)],
)
def test_as_much_of_a_date_is_kept_as_is_certain(database, folder, written, kept):
    with soundfile.SoundFile(folder / "dated.flac", "w", 8_000, 1) as sound:
        sound.date = written
        sound.write([0.125] * 100)
    update(database, folder)
    dates = {date for (date,) in database.all("SELECT date FROM contents")}
    assert dates == {"2021-03-04", None, kept}
    assert ("date", written) in database.all("SELECT field, value FROM metadata")


def test_words_go_and_come_with_names(database, folder):
    update(database, folder)
    (folder / "FoleySteps/DOORWood_Creak-02.wav").rename(folder / "gate.wav")
    shutil.copy(folder / "plain.flac", folder / "copied.flac")
    update(database, folder)
    assert found(database, "creak") == []
    assert found(database, "gate") == found(database, "cellar") == ["gate.wav"]
    assert found(database, "copied") == ["copied.flac"]


def test_what_cannot_be_read_now_is_described_later(database, folder, monkeypatch):
    with monkeypatch.context() as patch:
        scan_folder(folder, database)
        break_disk(patch, folder / "plain.flac")
        assert update(database, folder) == [2]
    assert update(database, folder) == [1]
    assert database.one("SELECT count(*) FROM contents WHERE described") == 2
