import json
import os
import shutil

import numpy as np
import pytest
import soundfile

from tests.support import break_disk, noting, read_audio
from utils.audio.sound_file import read_header
from utils.features.fine_grid import GridFolder, count_cells
from utils.files.journal import Journal
from utils.runtime.errors import InputError
from utils.search import index_folder
from utils.search.database import Database
from utils.search.file_table import files_in, folders
from utils.search.library import update_library
from utils.search.passages import row_width
from utils.search.sound_cells import SoundCells

WIDTH, TAGS, HOP = 3, 2, 2.5
BATCH = 2


class Folder:
    """A folder of sounds and its index; tags a sound with its level, noting which it was."""

    def __init__(self, path):
        self.path, self.index = path / "sounds", path / "index"
        self.path.mkdir()
        self.origin = {"model": "m"}
        self.tagged = []
        self.windows = []  # that were tagged: names and numbers
        self.stop_after = None  # sounds
        self.read, self.bars = [], []
        self.notes = []
        self.accept_truncated = False
        self.cells = None
        self.tag = self._tag

    def sound(self, name, level, seconds=1.0):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(round(seconds * 8000), level), 8000)
        return path

    def _tag(self, paths, first):
        for path, number in zip(paths, first, strict=True):
            if self.stop_after is not None and len(self.tagged) >= self.stop_after:
                raise KeyboardInterrupt
            self.tagged.append(path.relative_to(self.path).as_posix())
            yield self._outputs(path, number)

    def _outputs(self, path, first):
        options = {"accept_truncated": self.accept_truncated}
        level = round(float(read_audio(path, **options).mean()), 2)
        frames, rate = read_header(path, **options)
        count = 1 if frames <= 10 * rate else int(frames / rate / HOP) + 1
        windows = np.full((count, WIDTH), level, np.float32)
        windows[:, 1] = np.arange(count)
        windows[:, 2] = np.random.default_rng(count).standard_normal(count)
        if self.cells:
            cells = self.cells_of_window if count > 1 else count_cells(frames / rate)
            rows = np.random.default_rng(count).standard_normal((count, cells * WIDTH))
            windows = np.concatenate([windows, rows.astype(np.float32)], axis=1)
        for start in range(first, count, BATCH):
            self.windows += [(path.name, n) for n in range(start, min(start + BATCH, count))]
            yield windows[start : start + BATCH]

    def keep_cells(self, window_seconds=10.0):
        grid = GridFolder(self.index / "grid", origin=self.origin, width=WIDTH)
        self.cells = SoundCells(grid, window_seconds=window_seconds)
        self.cells_of_window = count_cells(window_seconds)

    def cells_of(self, name):
        return self.cells.grid.read(self.sound_of(name).source)

    def update(self):
        self.tagged.clear()
        self.windows.clear()
        self.library, self.changes = update_library(
            self.path,
            self.index,
            origin=self.origin,
            width=WIDTH,
            tags=TAGS,
            hop_seconds=HOP,
            tag=self.tag,
            reading=noting(self.read),
            progress=noting(self.bars),
            note=self.notes.append,
            accept_truncated=self.accept_truncated,
            cells=self.cells,
        )
        sounds = self.library.sounds()
        return {
            path: round(float(self.library.table[row][0]), 2)
            for row in self.library.rows
            for path in sounds[self.library.sound_of_row[row]].paths
        }

    def passages(self, name):
        """The passages of a sound, their rows and their peaks."""
        rows = list(self.library.rows_of(self.number_of(name)).values())
        return self.library.passages(rows), self.library.table[rows], self.library.peaks[rows]

    def number_of(self, name):
        (number,) = [n for n, s in self.library.sounds().items() if name in s.paths]
        return number

    def sound_of(self, name):
        return self.library.sounds()[self.number_of(name)]


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path)
    made.sound("a.wav", 0.1)
    made.sound("sub/b.FLAC", 0.2)
    made.sound("sub/deeper/ c, &amp;.ogg", 0.3)
    return made


def test_all_formats_and_sub_folders_are_found_and_tagged_once(folder):
    (folder.path / "notes.txt").write_text("no sound")
    folder.sound(".hidden/d.wav", 0.4)
    folder.sound("._a.wav", 0.4)
    found = folder.update()
    assert found == {"a.wav": 0.1, "sub/b.FLAC": 0.2, "sub/deeper/ c, &amp;.ogg": 0.3}
    assert (folder.bars[0].total, folder.bars[0].done) == (3, 3)
    assert (folder.read[0].total, folder.read[0].done) == (3, 3)
    assert folder.changes.added == 3
    assert folder.sound_of("a.wav").duration == 1.0
    times = {path: path.stat().st_mtime_ns for path in folder.index.rglob("*") if path.is_file()}
    assert folder.update() == found
    assert folder.tagged == []
    assert len(folder.bars) == len(folder.read) == 1
    assert times == {p: p.stat().st_mtime_ns for p in folder.index.rglob("*") if p.is_file()}


def test_only_what_is_new_or_changed_is_tagged_and_what_is_gone_is_dropped(folder):
    folder.update()
    folder.sound("new.wav", 0.5)
    folder.sound("sub/b.FLAC", 0.6)
    (folder.path / "a.wav").unlink()
    found = folder.update()
    assert found == {"new.wav": 0.5, "sub/b.FLAC": 0.6, "sub/deeper/ c, &amp;.ogg": 0.3}
    assert sorted(folder.tagged) == ["new.wav", "sub/b.FLAC"]
    assert (folder.changes.added, folder.changes.gone) == (2, 1)
    assert len(folder.library.rows) < len(folder.library.table)


def test_files_that_are_renamed_or_come_back_are_not_tagged(folder):
    folder.update()
    (folder.path / "a.wav").rename(folder.path / "sub/z.wav")
    assert folder.update()["sub/z.wav"] == 0.1
    (folder.path / "sub/z.wav").rename(folder.path.parent / "away.wav")
    assert len(folder.update()) == 2
    (folder.path.parent / "away.wav").rename(folder.path / "a.wav")
    assert folder.update()["a.wav"] == 0.1
    assert folder.tagged == []


def test_equal_contents_are_one_sound(folder):
    shutil.copy(folder.path / "a.wav", folder.path / "sub/copy.wav")
    folder.update()
    assert len(folder.tagged) == 3
    assert folder.sound_of("a.wav").paths == ("a.wav", "sub/copy.wav")
    assert folder.changes.duplicates == 1
    (folder.path / "a.wav").unlink()
    folder.update()
    assert folder.sound_of("sub/copy.wav").paths == ("sub/copy.wav",)
    assert folder.tagged == []


def test_an_interrupted_update_is_resumed(folder):
    folder.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        folder.update()
    folder.stop_after = None
    assert len(folder.update()) == 3
    assert len(folder.tagged) == 1


def test_unusable_files_are_reported_and_not_tried_again(folder):
    (folder.path / "text.wav").write_text("no sound")
    (folder.path / "folder.wav").mkdir()
    (folder.path / "link.wav").symlink_to("/etc/hostname")
    folder.update()
    assert folder.library.failed.keys() == {"text.wav", "link.wav"}
    assert folder.library.failed["text.wav"].startswith("cannot be read as sound")
    assert "is a symlink that leaves" in folder.library.failed["link.wav"]
    folder.update()
    assert folder.tagged == []
    assert folder.library.failed.keys() == {"text.wav", "link.wav"}
    folder.sound("text.wav", 0.7)
    assert folder.update()["text.wav"] == 0.7
    assert folder.library.failed.keys() == {"link.wav"}


def test_a_file_whose_disk_does_not_answer_is_listed_and_tried_again(folder):
    for opened in (0, 1, 2):  # once to hash it, once to count its samples, once to tag it
        with pytest.MonkeyPatch.context() as patch:
            break_disk(patch, folder.path / "sub/b.FLAC", after=opened)
            assert "sub/b.FLAC" not in folder.update()
        assert folder.library.failed == {"sub/b.FLAC": "cannot be read (Input/output error)"}
    assert folder.update()["sub/b.FLAC"] == 0.2
    assert folder.library.failed == {}


def test_a_long_sound_has_passages(folder):
    folder.sound("long.wav", 0.5, seconds=50)
    folder.update()
    passages, rows, peaks = folder.passages("long.wav")
    assert [(p.start, p.end) for p in passages] == [(0, 20), (20, 40), (40, 50)]
    np.testing.assert_allclose(rows[:, 1], [3.5, 11.5, 18])
    np.testing.assert_allclose(peaks[:, 1], [7, 15, 20])  # the largest of each passage
    assert folder.sound_of("long.wav").duration == 50


def test_progress_is_shown_in_seconds_of_sound_while_a_sound_is_tagged(folder):
    folder.sound("long.wav", 0.5, seconds=51)
    soundfile.write(folder.path / "nan.wav", np.full(56_000, np.nan), 8000, subtype="FLOAT")
    shown = []

    def disturbed(paths, first):
        for path, batches in zip(paths, folder._tag(paths, first), strict=True):
            yield watched(path, batches)

    def watched(path, batches):
        for batch in batches:
            yield batch
            shown.append((path.name, folder.bars[0].done))

    folder.tag = disturbed
    folder.update()
    # Two windows at a time, of 2.5 s each; what cannot be used is done, too.
    assert [done for name, done in shown if name == "long.wav"] == [
        1 + 5 * number for number in range(11)
    ]
    assert (folder.bars[0].total, folder.bars[0].done) == (61, 61)
    assert folder.library.failed == {"nan.wav": "holds NaN or infinite samples"}


@pytest.mark.parametrize("stopped_at", [1, 14, 237])
def test_an_interrupted_sound_is_resumed_within_a_minute_to_the_same_bits(folder, stopped_at):
    folder.sound("long.wav", 0.5, seconds=600)
    (folder.path.parent / "other").mkdir()
    other = Folder(folder.path.parent / "other")
    other.sound("long.wav", 0.5, seconds=600)
    other.update()

    def stopping(paths, first):
        for path, batches in zip(paths, folder._tag(paths, first), strict=True):
            yield stopped(batches) if path.name == "long.wav" else batches

    def stopped(batches):
        for batch in batches:
            if folder.windows[-1][1] > stopped_at:
                raise KeyboardInterrupt
            yield batch

    folder.tag = stopping
    with pytest.raises(KeyboardInterrupt):
        folder.update()
    folder.sound("before.wav", 0.7)  # tagged before what is resumed
    folder.tag = folder._tag
    assert folder.update()["before.wav"] == 0.7
    first = min(number for name, number in folder.windows if name == "long.wav")
    assert stopped_at - first <= 24  # a minute has so many windows
    (passages, *found), (expected, *wanted) = (x.passages("long.wav") for x in (folder, other))
    assert passages == expected
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert len(folder.library.sounds()) == 5
    assert (folder.bars[-1].total, folder.bars[-1].done) == (603, 603)


def test_the_first_versions_index_is_computed_again_once(folder):
    with Journal(folder.index / "passages", origin=folder.origin, width=WIDTH) as journal:
        journal.append(['["a", 0, 1, 0.0, 1.0, 1.0]'], np.zeros((1, WIDTH), np.float32))
    assert len(folder.update()) == 3
    assert len(folder.library.table) == len(folder.tagged) == 3
    (note,) = folder.notes
    assert note == (
        f"{folder.index} was made by an earlier version: all sounds are tagged again, once."
    )
    folder.update()
    assert (folder.tagged, len(folder.notes)) == ([], 1)


def as_journal(index, *, origin):
    """Turn an index into that of a version that had no database."""
    database = Database(index / "library.sqlite")
    files = {}
    for top in folders(database):
        files |= {top + name: file for name, file in files_in(database, top).items()}
    content = {"format": 1, "folder": database.value("folder"), "files": files}
    (index / "files.json").write_text(json.dumps(content))
    query = (
        'SELECT source, number, number = max(number) OVER (PARTITION BY content), start, "end", '
        "notes FROM passages JOIN contents USING (content) ORDER BY row"
    )
    keys = [json.dumps([source.hex(), *rest]) for source, *rest in database.all(query)]
    width, path = row_width(WIDTH, TAGS), index / "passages"
    rows = np.fromfile(path / "rows.f32", "<f4").reshape(-1, width)
    with Journal(path, origin={**origin, "format": 2}, width=width) as journal:
        journal.append(keys, rows)
    (index / "library.sqlite").unlink()


def test_an_earlier_versions_index_is_converted_and_nothing_is_tagged(folder):
    folder.sound("long.wav", 0.5, seconds=50)
    shutil.copy(folder.path / "a.wav", folder.path / os.fsdecode(b"caf\xe9.wav"))
    (folder.path / "broken.wav").write_text("no sound")
    expected, failed = folder.update(), folder.library.failed
    passages = folder.passages("long.wav")
    as_journal(folder.index, origin=folder.origin)
    folder.read.clear()
    assert folder.update() == expected
    (note,) = folder.notes
    assert note == f"{folder.index} was made by an earlier version: it is converted, once."
    assert (folder.tagged, folder.library.failed) == ([], failed)
    assert folder.read == []
    assert folder.passages("long.wav")[0] == passages[0]
    assert {path.name for path in (folder.index / "passages").iterdir()} == {"lock", "rows.f32"}
    folder.update()
    assert len(folder.notes) == 1


def test_an_index_whose_conversion_is_interrupted_stays_as_it_was(folder, monkeypatch):
    expected = folder.update()
    as_journal(folder.index, origin=folder.origin)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(index_folder, "insert_passages", interrupted)
        folder.update()
    assert folder.update() == expected
    assert folder.tagged == []


def test_lost_rows_are_computed_again(folder):
    folder.sound("long.wav", 0.5, seconds=50)
    folder.update()
    _, expected, _ = folder.passages("long.wav")
    rows, width = folder.index / "passages/rows.f32", 4 * row_width(WIDTH, TAGS)
    last = max(folder.library.rows_of(folder.number_of("long.wav")).values())
    rows.write_bytes(rows.read_bytes()[: width * last + 5])
    assert folder.update()["long.wav"] == 0.5
    assert {number for name, number in folder.windows if name == "long.wav"} == {16, 17, 18, 19, 20}
    _, found, _ = folder.passages("long.wav")
    np.testing.assert_array_equal(found, expected)


def test_rows_that_the_database_does_not_know_are_cut_off(folder):
    expected = folder.update()
    with (folder.index / "passages/rows.f32").open("ab") as file:
        file.write(5 * row_width(WIDTH, TAGS) * b"half")
    assert folder.update() == expected
    folder.sound("new.wav", 0.5)
    assert folder.update() == {**expected, "new.wav": 0.5}
    assert len(folder.library.table) == 4


@pytest.mark.parametrize("window_seconds", [10.0, 30.0])
@pytest.mark.parametrize("stopped_at", [1, 14, 237])
def test_the_cells_of_an_interrupted_sound_are_the_same_to_the_bit(
    folder, tmp_path, stopped_at, window_seconds
):
    (tmp_path / "other").mkdir()
    other = Folder(tmp_path / "other")
    for one in (folder, other):
        one.keep_cells(window_seconds)
        one.sound("long.wav", 0.5, seconds=600.2)
    other.update()

    def stopped(paths, first):
        for path, batches in zip(paths, folder._tag(paths, first), strict=True):
            yield until_stopped(batches) if path.name == "long.wav" else batches

    def until_stopped(batches):
        for batch in batches:
            if folder.windows[-1][1] > stopped_at:
                raise KeyboardInterrupt
            yield batch

    folder.tag = stopped
    with pytest.raises(KeyboardInterrupt):
        folder.update()
    folder.tag = folder._tag
    folder.update()
    first = min(number for name, number in folder.windows if name == "long.wav")
    assert stopped_at - first <= 32
    assert folder.cells_of("long.wav").shape == (count_cells(600.2), WIDTH)
    assert folder.cells_of("long.wav").tobytes() == other.cells_of("long.wav").tobytes()
    (passages, *found), (expected, *wanted) = (x.passages("long.wav") for x in (folder, other))
    assert passages == expected
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_passages_are_the_same_with_cells_and_without(folder):
    folder.sound("long.wav", 0.5, seconds=70)
    folder.update()
    without = folder.passages("long.wav")
    shutil.rmtree(folder.index)
    folder.keep_cells()
    folder.update()
    for one, other in zip(folder.passages("long.wav"), without, strict=True):
        np.testing.assert_array_equal(one, other)
    folder.update()
    assert folder.tagged == []


def test_sounds_whose_cells_are_lost_are_tagged_again(folder):
    folder.keep_cells()
    folder.sound("long.wav", 0.5, seconds=70)
    folder.update()
    expected = folder.cells_of("long.wav").copy()
    shutil.rmtree(folder.cells.grid.path)
    folder.update()
    assert len(folder.tagged) == 4
    np.testing.assert_array_equal(folder.cells_of("long.wav"), expected)
    assert len(folder.library.sounds()) == len(set(folder.library.sound_of_row)) == 4


def test_names_that_are_not_utf_8_are_those_of_sounds_too(folder):
    good = folder.sound("z.wav", 0.5)
    shutil.copy(good, good.with_name("a \udcff.wav"))
    found = folder.update()
    assert found["z.wav"] == found["a \udcff.wav"] == 0.5
    assert folder.tagged.count("a \udcff.wav") == 1
    assert folder.library.failed == {}


def test_a_truncated_sound_is_tagged_again_when_it_is_accepted(folder):
    whole = folder.sound("cut.wav", 0.5, seconds=20)
    whole.write_bytes(whole.read_bytes()[:80_044])
    assert "cut.wav" not in folder.update()
    assert folder.library.failed["cut.wav"].startswith("is truncated after")
    folder.update()
    assert folder.tagged == []
    folder.accept_truncated = True
    assert folder.update()["cut.wav"] == 0.5
    assert folder.tagged == ["cut.wav"]
    assert folder.sound_of("cut.wav").duration == 5.0
    for folder.accept_truncated in (True, False):  # once it is in the index, it stays
        assert folder.update()["cut.wav"] == 0.5
        assert folder.tagged == []


def test_files_that_go_or_change_while_they_are_tagged_are_tagged_next_time(folder):
    path = folder.path / "sub/b.FLAC"
    away = folder.path.parent / "away"

    def disturbed(paths, first):
        for other, batches in zip(paths, folder._tag(paths, first), strict=True):
            batches = list(batches)
            if other == path and not away.exists():
                path.rename(away)
            if other == folder.path / "a.wav":
                folder.sound("a.wav", 0.7)
            yield iter(batches)

    folder.tag = disturbed
    assert folder.update().keys() == {"sub/deeper/ c, &amp;.ogg"}
    assert folder.library.failed["a.wav"] == "was changed while it was tagged"
    away.rename(path)
    folder.tag = folder._tag
    found = folder.update()
    assert (found["a.wav"], found["sub/b.FLAC"]) == (0.7, 0.2)
    assert folder.library.failed == {}


@pytest.mark.parametrize("file", ["passages/rows.f32", "library.sqlite"])
def test_results_computed_from_rows_are_deleted_with_them(folder, file):
    folder.update()
    derived = folder.library.derived
    derived.mkdir()
    (derived / "x.f32").write_bytes(b"of these rows")
    folder.sound("new.wav", 0.5)
    assert len(folder.update()) == 4
    assert folder.library.derived == derived
    folder.library.database.close()
    (folder.index / file).unlink()
    folder.sound("newer.wav", 0.6)
    assert len(folder.update()) == 5
    assert folder.library.derived != derived
    assert not derived.exists()


def test_a_damaged_database_is_an_error(folder):
    folder.update()
    folder.library.database.close()
    path = folder.index / "library.sqlite"
    content = path.read_bytes()
    for damaged in (b"", b"no database" * 1000, content[:4096] + bytes(4096) + content[8192:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"library\.sqlite: .* It is damaged\. Restore it"):
            folder.update()
        assert path.read_bytes() == damaged


def test_a_database_of_a_later_version_is_refused(folder):
    folder.update()
    with folder.library.database.writing() as connection:
        connection.execute("UPDATE library SET value = 99 WHERE key = 'format'")
    with pytest.raises(InputError, match=r"sqlite is of format 99, and this version reads 5"):
        folder.update()


def test_an_index_of_another_folder_keeps_what_was_computed(folder, tmp_path):
    expected = folder.update()
    folder.path = folder.path.rename(tmp_path / "moved")
    assert folder.update() == expected
    assert folder.tagged == []


def test_an_index_must_not_be_a_file_or_contain_the_sounds(folder, tmp_path):
    (tmp_path / "file").touch()
    for index, message in (
        (folder.path, "contains the sounds"),
        (tmp_path, "contains the sounds"),
        (tmp_path / "file", "is a file"),
    ):
        folder.index = index
        with pytest.raises(InputError, match=rf"--index .*{message}"):
            folder.update()


def test_an_index_of_another_network_is_refused_and_kept(folder):
    folder.update()
    folder.origin = {"model": "other"}
    with pytest.raises(InputError, match=r"index was made with another PaSST.* --index"):
        folder.update()
    folder.origin = {"model": "m"}
    folder.update()
    assert folder.tagged == []
