import csv

import pytest

from utils.runs.run_folder import Run
from utils.runtime.errors import InputError
from utils.settings.loading import load_config


@pytest.fixture
def config(tmp_path):
    return load_config(overrides=[f"output_path={tmp_path}", "experiment=try", "seed=7"])


def test_a_new_run_has_a_folder_of_its_own_and_keeps_its_settings(config, tmp_path):
    runs = [Run.new(config) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    for run in runs:
        run.begin(config, {"history": []}, {})
        assert run.folder.parent == tmp_path / "try"
        assert "_seed7" in run.folder.name
        assert load_config(run.folder / "conf.yaml") == config


def test_an_output_path_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot make the run folder .*output_path"):
        Run.new(load_config(overrides=[f"output_path={tmp_path / 'file'}"]))


def test_only_a_run_with_a_checkpoint_is_resumed(config):
    run = Run.new(config)
    with pytest.raises(InputError, match="nothing to resume"):
        Run.existing(run.folder)
    run.save_last({"history": []}, {})
    assert Run.existing(run.folder).folder == run.folder


def test_the_history_is_a_table(config):
    run = Run.new(config)
    run.save_history([{"epoch": 1, "loss": 0.5}])
    run.save_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    with (run.folder / "history.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "1", "loss": "0.5"},
            {"epoch": "2", "loss": "0.25"},
        ]


def test_what_is_said_is_printed_and_logged(config, capsys):
    run = Run.new(config)
    run.say("one")
    run.say("zwei – “2”")
    assert capsys.readouterr().out == "one\nzwei – “2”\n"
    assert (run.folder / "log.txt").read_text(encoding="utf-8") == "one\nzwei – “2”\n"
