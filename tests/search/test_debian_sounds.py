"""The search on real sounds, those of a Debian package, and on other forms of some of them."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

from tests.debian import debian_sounds
from tests.support import load_script
from utils.files.reading import sha256
from utils.search import Searcher
from utils.search.duplicate_list import duplicates_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("debian")]  # indexed once

FORMS = {
    "thunder.flac": "synthetic_thunder_short.ogg",
    "eruption.wav": "volcano_eruption.ogg",
    "a car.ogg": "toyota_celica_cardoor_sample.ogg",
}
COPY = "forms/zzzt again.ogg"
SHORTEST_MEASURED = 0.4  # seconds
LUCKY = {"lucky13-steve-mono-mix.ogg", "lucky-holiday-cornbread-stuffing-mono.ogg"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The package's sounds, three of them in another form, an exact copy, and other files."""
    originals = debian_sounds()
    folder = tmp_path_factory.mktemp("debian") / "sounds"
    folder.mkdir()
    for path in originals:
        shutil.copy(path, folder)
    (folder / "forms").mkdir()
    thunder, eruption, car = [
        soundfile.read(folder / name, always_2d=True) for name in FORMS.values()
    ]
    soundfile.write(folder / "forms/thunder.flac", 0.5 * thunder[0], thunder[1])
    silence = np.zeros((eruption[1] // 2, eruption[0].shape[1]))
    soundfile.write(folder / "forms/eruption.wav", np.concatenate([silence, *eruption[:1]]), 44_100)
    soundfile.write(folder / "forms/a car.ogg", np.tile(car[0].mean(1, keepdims=True), 2), car[1])
    shutil.copy(folder / "zzzt.ogg", folder / COPY)
    (folder / "LICENCE.txt").write_text("CC BY-SA 3.0")
    (folder / "empty.ogg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def searcher(folder, trained):
    return Searcher.open(trained, folder, index=folder.parent / "index")


@pytest.fixture(scope="module")
def decoded(folder):
    """What libsndfile says of each file: seconds, and channels."""
    usable = [path for path in folder.rglob("*.*") if path.name not in ("LICENCE.txt", "empty.ogg")]
    read = {path.relative_to(folder).as_posix(): soundfile.read(path) for path in usable}
    return {name: (len(samples) / rate, samples.ndim) for name, (samples, rate) in read.items()}


def found(searcher, line):
    """The first paths of all sounds that a line selects."""
    return {hit.paths[0] for hit in searcher.search(line, top=100, duplicates="show")}


def test_every_file_is_accounted_for(searcher, decoded):
    sounds = searcher.library.sounds().values()
    assert {path for sound in sounds for path in sound.paths} == decoded.keys()
    inventory = searcher.inventory
    assert (inventory.files, inventory.sounds) == (len(decoded), len(decoded) - 1)
    assert list(inventory.failed) == ["empty.ogg"]
    assert inventory.others == {"LICENCE.txt": ".txt"}


def test_durations_equal_an_independent_decoding(searcher, decoded):
    durations = {sound.paths[0]: sound.duration for sound in searcher.library.sounds().values()}
    expected = {name: decoded[name][0] for name in durations}
    # Of an Ogg Vorbis file of one page FFmpeg leaves out the last 128 samples.
    assert durations == pytest.approx(expected, abs=0.0035)


def test_words_and_fields_find_what_names_and_tags_say(searcher, decoded):
    first = decoded.keys() - {COPY}  # which is found as zzzt.ogg
    bangs = {f"metalbang{n}.ogg" for n in range(1, 9)}
    short = {name for name in first if decoded[name][0] < 1}
    wide = {name for name in first if decoded[name][1] == 2}
    expected = {
        '"merry xmas"': {"hohoho_merry_xmas.ogg"},
        "name:metalbang*": bangs,
        '"Lucky 13"': LUCKY,  # a title, and a name
        '"D-toxification"': {"dtox3monomix.ogg"},  # a title alone
        '"instrumental rock"': LUCKY,  # a genre
        "date:2005": LUCKY,  # "July 2005"
        "format:ogg": {name for name in first if name.endswith(".ogg")},
        "format:flac": {"forms/thunder.flac"},
        "folder:forms": {*(name for name in first if name.startswith("forms/")), "zzzt.ogg"},
        "duration:<1": short,
        "channels:stereo": wide,
        "channels:stereo duration:<1": short & wide,
    }
    assert {line: found(searcher, line) for line in expected} == expected


def test_all_but_the_shortest_sounds_have_a_loudness(searcher, decoded):
    levels = {sound.paths[0]: sound.loudness for sound in searcher.library.sounds().values()}
    without = {name for name, level in levels.items() if level is None}
    assert without == {name for name in levels if decoded[name][0] < SHORTEST_MEASURED}
    assert all(-70 < level < 0 for level in levels.values() if level is not None)
    thunder = levels["synthetic_thunder_short.ogg"]
    assert levels["forms/thunder.flac"] == pytest.approx(thunder - 6.02, abs=0.1)
    louder = {name for name, level in levels.items() if level is not None and level > -12}
    assert found(searcher, "loudness:>-12") == louder


def test_the_same_sounds_are_grouped_and_no_others(searcher):
    """The package's own are all different, also takes of one bang and a remix of a song."""
    groups = duplicates_of(searcher.library.database)
    files = {frozenset(path for form in group for path in form.paths) for group in groups}
    forms = {frozenset([f"forms/{form}", original]) for form, original in FORMS.items()}
    assert files == {*forms, frozenset(["zzzt.ogg", COPY])}


def test_exports_of_a_collection_are_read_back(searcher, folder, trained, tmp_path, capsys):
    script = load_script("07_search")
    place = ["--audio", folder, "--model", trained, "--index", searcher.index, "--no-update"]
    place = [str(part) for part in place]
    script.main([*place, "--top", "8", "--collect", "bangs", "name:metalbang*"])
    script.main([*place, "--top", "2", "--collect", "bangs", "an explosion"])
    for name in ("bangs.csv", "bangs.json", "bangs.m3u8"):
        script.main([*place, "--collection", "bangs", "--export", str(tmp_path / name)])
    with (tmp_path / "bangs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    items = json.loads((tmp_path / "bangs.json").read_text())
    assert [row["query"] for row in rows] == 8 * ["name:metalbang*"] + 2 * ["an explosion"]
    for row, item in zip(rows, items, strict=True):
        assert row["sha256"] == item["sha256"] == sha256(folder / row["path"])
        assert [float(row[key]) for key in ("start", "end")] == [item["start"], item["end"]]
        assert 0 <= item["start"] < item["end"] <= item["duration"]
    lines = (tmp_path / "bangs.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert [line for line in lines if not line.startswith("#")] == [row["path"] for row in rows]
    lengths = [float(line[8:].split(",")[0]) for line in lines if line.startswith("#EXTINF:")]
    expected = [float(row["end"]) - float(row["start"]) for row in rows]
    assert lengths == pytest.approx(expected, abs=0.002)
