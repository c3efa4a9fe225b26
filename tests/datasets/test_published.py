import hashlib
import re
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import py7zr
import pytest
import soundfile

from tests.site import serving
from tests.support import load_script, write_captions
from utils.datasets import clotho, published, task6b
from utils.datasets.corpus import corpus
from utils.files import download
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.config import DEFAULT_CONFIG
from utils.settings.loading import load_config

SPLITS = ("development", "validation", "evaluation")
# What the metadata of the official subset say, and the names of the wavs.
COLONS = {
    "raindrops on metal: police background.wav": "raindrops on metal_police background.wav",
    "Intersection Wet : Metro Pass.wav": "Intersection Wet_Metro Pass.wav",
    "Kitchen Roomtone w: Dripping Faucet_1-2.wav": "Kitchen Roomtone w_Dripping Faucet_1-2.wav",
}


def write_sounds(folder, names):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        samples = np.random.default_rng(number).uniform(-1, 1, 10_000)
        soundfile.write(folder / name, samples, 44_100)


def pack(folder, path):
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writeall(folder, folder.name)


def published_in(folder, release):
    """The release with the MD5s of the files of a folder."""

    def md5(name):
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    return replace(
        release,
        tables={name: md5(name) for name in release.tables},
        sounds=tuple(
            replace(sounds, md5=md5(sounds.archive), packed=0, unpacked=0)
            for sounds in release.sounds
        ),
    )


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Small sets in the form of the published ones."""
    made = tmp_path_factory.mktemp("published")
    for split in SPLITS:
        names = [f" {split} a .wav", "b, c.wav", "caf\xe9.wav"]
        write_captions(made, split, {name: [f"{name} {i}" for i in range(5)] for name in names})
        (made / f"clotho_metadata_{split}.csv").write_text("file_name,sound_id\n")
        write_sounds(made / split, names)
        pack(made / split, made / f"clotho_audio_{split}.7z")
    (made / "retrieval_captions.csv").write_text("caption\nrain\na dog barks\n")
    rows = ["file_name,keywords", *COLONS, "caf\xe9.wav"]
    (made / "retrieval_audio_metadata.csv").write_text("\n".join(rows), encoding="iso-8859-1")
    write_sounds(made / "test", [*COLONS.values(), "caf\xe9.wav"])
    pack(made / "test", made / "retrieval_audio.7z")
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    return files, published_in(made, published.CLOTHO), published_in(made, published.TASK6B)


@pytest.fixture
def site(releases, monkeypatch):
    monkeypatch.setattr(download, "_BACKOFF", 0.0)
    monkeypatch.setattr(download, "_PIECE", 4096)  # the archives are small
    files, of_clotho, of_task6b = releases
    with serving() as site:
        site.files = dict(files)
        monkeypatch.setattr(published, "CLOTHO", of_clotho)
        monkeypatch.setattr(published, "TASK6B", of_task6b)
        yield site


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data/clotho"


def get(site, folder, *options):
    load_script("00_get_clotho").main(["--url", f"{site.url}/", "--to", str(folder), *options])


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def asked(site):
    """The names that were asked for since the last call."""
    names = [name for name, _ in site.asked]
    site.asked.clear()
    return names


def test_one_command_brings_what_script_01_reads(site, folder, capsys):
    get(site, folder)
    assert len(site.asked) == 9
    names = [" {} a .wav", "b, c.wav", "caf\xe9.wav"]
    wavs = [f"{split}/{name.format(split)}" for split in SPLITS for name in names]
    csvs = [f"clotho_{kind}_{split}.csv" for split in SPLITS for kind in ("captions", "metadata")]
    assert listing(folder) == sorted(wavs + csvs)
    assert "3 wavs, validation 3 wavs, evaluation 3 wavs" in capsys.readouterr().out
    preprocessed = clotho.preprocess_clotho(folder)
    assert (preprocessed.missing, preprocessed.extra, preprocessed.failed) == ([], [], {})


def test_a_second_run_asks_for_nothing_and_says_so(site, folder, capsys):
    get(site, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    asked(site)
    capsys.readouterr()
    get(site, folder)
    assert asked(site) == []
    assert re.fullmatch(
        r".*clotho holds Clotho v2\.1 already; nothing to do \(dev.*\n", capsys.readouterr().out
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before


def test_only_what_is_missing_is_brought_and_nothing_there_is_changed(site, folder, capsys):
    get(site, folder)
    everything = listing(folder)
    asked(site)
    (folder / "validation/b, c.wav").unlink()
    (folder / "validation/caf\xe9.wav").write_bytes(b"resampled")
    (folder / "clotho_metadata_evaluation.csv").unlink()
    capsys.readouterr()
    get(site, folder)
    assert asked(site) == ["clotho_metadata_evaluation.csv", "clotho_audio_validation.7z"]
    assert listing(folder) == everything
    assert (folder / "validation/caf\xe9.wav").read_bytes() == b"resampled"
    output = capsys.readouterr().out
    assert "validation: 1 wav\n" in output
    assert "kept, though of another size than in the archive:\n  - caf" in output


def test_archives_are_kept_if_asked_and_used_if_there(site, folder):
    get(site, folder, "--keep-archives")
    assert [p.name for p in folder.glob("*.7z")] and len(list(folder.glob("*.7z"))) == 3
    asked(site)
    shutil.rmtree(folder / "development")
    get(site, folder)
    assert asked(site) == []
    assert len(list((folder / "development").iterdir())) == 3
    assert not (folder / "clotho_audio_development.7z").exists()  # used, and not kept
    assert (folder / "clotho_audio_validation.7z").exists()  # not used


def test_a_broken_connection_is_resumed_within_the_run_and_by_the_next(site, folder):
    site.faults = [*[None] * 6, -20_000, *[500] * 20]
    with pytest.raises(InputError, match=r"cannot download .*development\.7z"):
        get(site, folder)
    assert (folder / "clotho_audio_development.7z.partial").stat().st_size > 0
    assert not (folder / "development").exists()
    site.faults.clear()
    asked(site)
    site.faults = [-30_000]
    get(site, folder)
    archives = [(name, wanted) for name, wanted in site.asked if "development" in name]
    assert [bool(wanted) for _, wanted in archives] == [True, True]
    assert len(list((folder / "development").iterdir())) == 3


def test_a_file_that_is_not_the_published_one_is_refused(site, folder):
    name = "clotho_audio_validation.7z"
    site.files[name] = site.files["clotho_audio_evaluation.7z"]
    with pytest.raises(InputError, match=rf"{name}\?download=1 sends does not have .*put it at"):
        get(site, folder)
    assert not (folder / name).exists()
    assert not (folder / "validation").exists()
    assert (folder / "development").exists()
    csv = folder / "clotho_captions_evaluation.csv"
    csv.write_text("file_name,caption_1\n")
    with pytest.raises(InputError, match=r"captions_evaluation\.csv is not the published .*Move"):
        get(site, folder)
    assert csv.read_text() == "file_name,caption_1\n"


def test_a_wav_that_an_archive_lacks_is_named_and_the_archive_kept(site, folder, monkeypatch):
    names = "a.wav", "b.wav"
    rows = "".join(f"{name},x\n" for name in names)
    content = f"file_name,caption_1\n{rows}".encode()
    name = "clotho_captions_development.csv"
    site.files[name] = content
    tables = published.CLOTHO.tables | {name: hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(published, "CLOTHO", replace(published.CLOTHO, tables=tables))
    with pytest.raises(InputError, match=r"2 clips of .*no wav in .*development:\n  - a\.wav"):
        get(site, folder)
    assert (folder / "clotho_audio_development.7z").exists()


def test_the_room_is_checked_before_the_first_archive(site, folder, monkeypatch):
    sounds = published.CLOTHO.sounds
    sizes = [(5, 8), (1, 2), (1, 2)]
    sounds = [replace(s, packed=p, unpacked=u) for s, (p, u) in zip(sounds, sizes, strict=True)]
    monkeypatch.setattr(published, "CLOTHO", replace(published.CLOTHO, sounds=tuple(sounds)))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(12_990_000_000))
    with pytest.raises(InputError, match=r"Clotho v2\.1 needs 13\.00 GB, .* 12\.99 GB free"):
        get(site, folder)
    with pytest.raises(InputError, match=r"needs 19\.00 GB"):
        get(site, folder, "--keep-archives")
    assert not any(name.endswith(".7z") for name in asked(site))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(13_000_000_001))
    get(site, folder)


@pytest.mark.parametrize("moved", [0, 1])
def test_the_room_that_a_killed_unpacking_took_counts(site, folder, monkeypatch, moved):
    def taken(place):
        return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())

    get(site, folder, "--keep-archives")
    first, *others = published.CLOTHO.sounds
    archive, wavs = folder / first.archive, folder / first.folder
    first = replace(first, packed=archive.stat().st_size / 1e9, unpacked=taken(wavs) / 1e9)
    changed = replace(published.CLOTHO, sounds=(first, *others))
    monkeypatch.setattr(published, "CLOTHO", changed)
    usage, disk = namedtuple("usage", "free"), taken(folder) + 10
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(disk - taken(folder)))
    unfinished = folder / f"{first.archive}.unpacking" / first.folder
    unfinished.mkdir(parents=True)
    for path in sorted(wavs.iterdir())[moved:]:
        path.rename(unfinished / path.name)
    get(site, folder, "--keep-archives")
    assert taken(folder) == disk - 10
    assert not unfinished.exists()


def test_a_folder_with_the_demo_set_is_refused(site, folder):
    folder.mkdir(parents=True)
    (folder / "demo_set.json").write_text("{}")
    with pytest.raises(InputError, match="holds the synthetic demo set"):
        get(site, folder)
    assert site.asked == []


def task6b_settings(folder):
    return [
        "--set",
        f"eval_data.audio_path={folder / 'test'}",
        "--set",
        f"eval_data.captions_file={folder / 'retrieval_captions.csv'}",
        "--set",
        f"eval_data.input_path={folder / 'processed'}",
    ]


def test_the_task_6b_subset_goes_where_the_settings_say(site, folder, capsys):
    options = ["--subset", "task6b", "--url", site.url, *task6b_settings(folder)]
    for _ in range(2):
        load_script("00_get_clotho").main(options)
        assert asked(site) in (
            ["retrieval_captions.csv", "retrieval_audio_metadata.csv", "retrieval_audio.7z"],
            [],
        )
    assert "evaluation subset already; nothing to do (test 4 wavs)" in capsys.readouterr().out
    assert {p.name for p in (folder / "test").iterdir()} == {*COLONS.values(), "caf\xe9.wav"}
    options[-5] = f"eval_data.audio_path={folder / 'sounds'}"
    with pytest.raises(InputError, match=r"settings name .*sounds \(eval_data\.audio_path\)"):
        load_script("00_get_clotho").main(options)


@pytest.mark.parametrize("at_first", ["underscores", "colons"])
def test_wavs_of_task_6b_are_found_with_a_colon_and_with_an_underscore(site, folder, at_first):
    get(site, folder, "--subset", "task6b")

    def rename(names):
        for old, new in names.items():
            (folder / "test" / old).rename(folder / "test" / new)

    colons = {underscore: colon for colon, underscore in COLONS.items()}
    if at_first == "colons":
        rename(colons)
    asked(site)
    get(site, folder, "--subset", "task6b")
    assert asked(site) == []
    settings = task6b_settings(folder)
    load_script("02_preprocess_evaluation_set_task6b").main(settings)
    names = task6b.load_queries(folder / "processed").clip_names
    assert set(names) == {*(COLONS if at_first == "colons" else colons), "caf\xe9.wav"}
    rename(COLONS if at_first == "colons" else colons)  # as if unpacked again by another program
    data = corpus(load_config(DEFAULT_CONFIG, settings[1::2]), "task6b")
    assert [path.is_file() for path in data.require_audio("test", names)] == [True] * 4


def test_the_settings_for_clotho_are_the_projects_but_for_six_keys():
    changed = [
        "experiment=clotho",
        "train_data.dataset_path=data/clotho",
        "train_data.input_path=data/clotho/processed",
        "clotho_moment.dataset_path=data/clotho_moment",
        "clotho_moment.input_path=data/clotho_moment/processed",
        "passt.arch=passt_s_swa_p16_128_ap476",
    ]
    assert load_config(PROJECT_ROOT / "clotho.yaml") == load_config(DEFAULT_CONFIG, changed)


def test_the_published_md5s_are_those_of_the_real_files(shared_data):
    for name, md5 in published.CLOTHO.tables.items():
        assert hashlib.md5((shared_data / "clotho" / name).read_bytes()).hexdigest() == md5
