import json
from dataclasses import asdict

import pytest

from tests.support import age
from utils.checkpoints.provenance import PasstUsed, TrainedWith
from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.runs.run_folder import Run, plan_of
from utils.runtime.errors import InputError
from utils.settings.loading import load_config


@pytest.fixture
def config(tmp_path):
    return load_config(overrides=[f"output_path={tmp_path}", "experiment=try", "seed=7"])


def test_a_new_run_has_a_folder_of_its_own_and_writes_down_how_it_begins(config, tmp_path):
    runs = [Run.new(config) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    used = TrainedWith(PasstUsed(model="demo"))
    for run in runs:
        run.save_origin({"data": "a"}, used)
        assert run.folder.parent == tmp_path / "try"
        assert "_seed7" in run.folder.name
        assert load_config(run.folder / "conf.yaml") == config
        origin = json.loads((run.folder / "run.json").read_text())
        assert origin["trained_on"] == "clotho"
        assert origin["trained_with"] == asdict(used)
        assert run.read_begun_with() == origin["begun_with"] == {"data": "a"}


def test_an_output_path_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot make the run folder .*output_path"):
        Run.new(load_config(overrides=[f"output_path={tmp_path / 'file'}"]))


def test_only_a_run_with_a_checkpoint_is_resumed(config):
    run = Run.new(config, trained_on=AUDIOCAPS)
    with pytest.raises(InputError, match="nothing to resume"):
        plan_of(run.folder)
    run.save_origin({}, TrainedWith())
    run.save_last({"history": []})
    assert plan_of(run.folder) == AUDIOCAPS
    age(run.folder, "last")
    assert plan_of(run.folder) == AUDIOCAPS


@pytest.mark.parametrize("content", [[], {"begun_with": {}}, {"trained_on": CLOTHO}])
def test_a_damaged_run_json_is_refused(config, content):
    run = Run.new(config)
    run.origin.write_text(json.dumps(content))
    run.save_last({})
    for read in (run.read_begun_with, lambda: plan_of(run.folder)):
        with pytest.raises(InputError, match=r"run\.json does not say what the run began with"):
            read()


def test_the_history_is_a_table(config):
    run = Run.new(config)
    run.save_history([{"epoch": 1, "loss": 0.5}])
    run.save_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    assert run.history.read_text().splitlines() == ["epoch,loss", "1,0.5", "2,0.25"]


def test_what_is_said_is_printed_and_logged(config, capsys):
    run = Run.new(config)
    run.say("one")
    run.say("zwei – “2”")
    assert capsys.readouterr().out == "one\nzwei – “2”\n"
    assert (run.folder / "log.txt").read_text(encoding="utf-8") == "one\nzwei – “2”\n"
