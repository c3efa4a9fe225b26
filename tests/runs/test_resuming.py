import datetime

import pytest

from tests.support import age
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.runs import run_folder
from utils.runs.resuming import unfinished_run
from utils.runs.run_folder import Run
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

DATA = {"training features": "a", "initial weights": "b"}


@pytest.fixture
def config(tmp_path):
    return configured(tmp_path)


def configured(folder, *settings):
    return load_config(overrides=[f"output_path={folder}", "experiment=try", "seed=7", *settings])


def begin(config, *, trained_on=CLOTHO, begun_with=DATA):
    """A run that was interrupted; returns its folder."""
    with Run.new(config, trained_on=trained_on) as run:
        run.save_origin(begun_with, TrainedWith())
        run.save_last({"history": []})
    return run.folder


def found(config, *, trained_on=CLOTHO, begun_with=DATA, **options):
    run = unfinished_run(config, trained_on=trained_on, begun_with=begun_with, **options)
    if run is None:
        return None
    with run:
        return run.folder


def test_an_interrupted_run_is_found_and_held(config):
    assert unfinished_run(config, trained_on=CLOTHO, begun_with=DATA) is None
    folder = begin(config)
    run = unfinished_run(config, trained_on=CLOTHO, begun_with=DATA)
    assert run.folder == folder
    assert found(config) is None
    other = Run(folder, config)
    with pytest.raises(InputError, match=rf"another process is working on {folder}"), other:
        pass
    run.release()
    assert found(config) == folder


def test_the_newest_is_found_numbers_counted(config, monkeypatch):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls):
            return cls(2025, 1, 2, 3, 4, 5)

    monkeypatch.setattr(run_folder.datetime, "datetime", Clock)
    folders = [begin(config) for _ in range(11)]
    assert folders[-1].name == "2025-01-02_03-04-05_seed7_11"
    assert found(config) == folders[-1]
    with Run(folders[-1], config):
        assert found(config) == folders[-2]


@pytest.mark.parametrize(
    "kept", [["log.txt"], ["log.txt", "conf.yaml"], ["log.txt", "conf.yaml", "run.json"]]
)
def test_one_that_was_killed_before_its_checkpoint_is_found_too(config, kept):
    folder = begin(config)
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    assert found(config) == folder


def test_a_finished_run_is_never_resumed(config):
    folder = begin(config)
    Run(folder, config).save_metrics({})
    assert found(config) is None


def test_one_of_other_settings_kind_or_data_is_skipped(config, tmp_path):
    folder = begin(config)
    for setting in ("seed=1", "seed=70", "training.epochs=3", "training.margin=0.1"):
        assert found(configured(tmp_path, setting)) is None
    for free in ("training.device=cuda", "wandb=True", "wandb_entity=me"):
        assert found(configured(tmp_path, free)) == folder
    assert found(config, trained_on=AUDIOCAPS) is None
    assert found(config, begun_with={**DATA, "training features": "c"}) is None
    assert found(config, begun_with={**DATA, "initial weights": "c"}) is None
    pretraining = begin(config, trained_on=AUDIOCAPS)
    assert found(config, trained_on=AUDIOCAPS) == pretraining
    assert found(config) == folder


@pytest.mark.parametrize("file", ["conf.yaml", "run.json"])
def test_one_that_cannot_be_read_is_skipped(config, file):
    folder = begin(config)
    older = begin(config)
    (max(folder, older) / file).write_bytes(b"\0")
    assert found(config) == min(folder, older)


def test_other_folders_are_skipped(config):
    folder = begin(config)
    folder.rename(folder.with_name("mine"))
    (folder.parent / "9999-01-01_00-00-00_seed7").touch()
    (folder.parent / "9999-01-01_00-00-00_seed7_sweep").mkdir()
    assert found(config) is None


def test_one_of_an_older_version_is_found_by_the_digests_in_its_checkpoint(config):
    folder, notes = begin(config), []
    age(folder, "last")
    assert found(config, note=notes.append) == folder
    assert found(config, begun_with={**DATA, "training features": "c"}, note=notes.append) is None
    assert notes == []


def test_one_of_an_older_version_without_digests_is_named_with_the_way_to_resume_it(config):
    folder, notes = begin(config, begun_with={}), []
    age(folder, "last")
    assert found(config, note=notes.append) is None
    (note,) = notes
    assert f"{folder} is an unfinished run of an older version" in note
    assert note.endswith(f"python main.py train --resume {folder}")
