import pytest
from conftest import DEMO_CONFIG, load_script

from utils import cli, distributed
from utils.distributed import ALONE, Team
from utils.errors import InputError


def environment(monkeypatch, **values):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone_and_waits_for_none(monkeypatch):
    environment(monkeypatch)
    assert distributed.team() == ALONE == Team(rank=0, size=1)
    assert ALONE.leads
    ALONE.wait()
    assert ALONE.told("a") == "a"
    assert distributed.label() == ""
    environment(monkeypatch, WORLD_SIZE="4")  # as some schedulers set it, without any rank
    assert distributed.team() == ALONE


def test_torchruns_environment_is_read(monkeypatch):
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")
    assert distributed.team() == Team(rank=5, size=8, local_rank=1)
    assert not distributed.team().leads
    assert distributed.label().startswith(" (rank 5 on ")


@pytest.mark.parametrize(
    "values", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "one", "WORLD_SIZE": "2"}]
)
def test_an_environment_without_sense_is_refused(monkeypatch, values):
    environment(monkeypatch, **values)
    with pytest.raises(InputError, match=rf"RANK='{values['RANK']}', WORLD_SIZE='2'"):
        distributed.team()


def test_processes_that_do_not_meet_are_one_error(monkeypatch):
    environment(monkeypatch, RANK="0", WORLD_SIZE="2", LOCAL_RANK="0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match=r"no connection to the other processes.*MASTER_ADDR"):
        distributed.team().wait()


def test_of_several_processes_only_one_prints_and_errors_name_theirs(monkeypatch, capsys):
    environment(monkeypatch, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1")
    summary = cli.Summary()
    summary.reads(DEMO_CONFIG)
    summary.writes(DEMO_CONFIG)
    summary.finish("done")
    assert cli.progress(1, "work", "units").disable

    def main():
        raise InputError("no such file")

    assert cli.run(main) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error (rank 1 on ")
    assert printed.err.endswith("): no such file\n")


@pytest.mark.parametrize(
    "name",
    [
        "00_make_demo_data",
        "01_preprocess",
        "02_preprocess_evaluation_set_task6b",
        "audit_leakage",
        "fetch_sentence_model",
        "train_demo_tagger",
    ],
)
def test_scripts_for_one_process_refuse_several(monkeypatch, name):
    environment(monkeypatch, RANK="0", WORLD_SIZE="2", LOCAL_RANK="0")
    arguments = [] if name == "train_demo_tagger" else ["--config", str(DEMO_CONFIG)]
    with pytest.raises(InputError, match=rf"scripts/{name}\.py is not shared among processes"):
        load_script(name).main(arguments)
