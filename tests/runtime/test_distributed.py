import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.support import DEMO_CONFIG, load_script, options, settings_for
from utils.demo.scenes import write_demo_set
from utils.features.vector_file import read_vectors
from utils.runtime import distributed, terminal
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

TIMEOUT = 120  # seconds, after which a run that hangs is a failure


def environment(monkeypatch, rank="", size="", local_rank=""):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", local_rank)):
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone_and_does_not_wait(monkeypatch):
    environment(monkeypatch, size="4")  # as some schedulers set it, without any rank
    assert distributed.team() == ALONE
    environment(monkeypatch)
    assert distributed.team() == ALONE == Team(rank=0, size=1)
    assert ALONE.is_first
    ALONE.wait()
    assert ALONE.broadcast("a") == "a"
    assert distributed.label() == ""


def test_torchruns_environment_is_read(monkeypatch):
    environment(monkeypatch, "5", "8", "1")
    assert distributed.team() == Team(rank=5, size=8, local_rank=1)
    assert not distributed.team().is_first
    assert distributed.label().startswith(" (rank 5 on ")


@pytest.mark.parametrize("rank", ["2", "one"])
def test_inconsistent_variables_are_refused(monkeypatch, rank):
    environment(monkeypatch, rank, "2")
    with pytest.raises(InputError, match=f"RANK='{rank}', WORLD_SIZE='2'"):
        distributed.team()


def test_processes_that_do_not_meet_are_one_error(monkeypatch):
    environment(monkeypatch, "0", "2", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match=r"no connection to the other processes.*MASTER_ADDR"):
        distributed.team().wait()


def test_a_process_that_differs_from_rank_0_lists_the_differences(monkeypatch):
    monkeypatch.setattr(Team, "broadcast", lambda self, value=None: {"rate": 1.0, "rows": 3})
    Team(rank=1, size=2).require_same({"rate": 1.0, "rows": 3})
    with pytest.raises(InputError, match=r"from rank 0: rate is 2\.0 here and 1\.0 there\."):
        Team(rank=1, size=2).require_same({"rate": 2.0, "rows": 3})


def test_of_several_processes_only_one_prints_and_errors_name_theirs(monkeypatch, capsys):
    environment(monkeypatch, "1", "2", "1")
    summary = terminal.Summary()
    summary.reads(DEMO_CONFIG)
    summary.writes(DEMO_CONFIG)
    summary.finish("done")
    assert terminal.progress(1, "work", "units").disable

    def main():
        raise InputError("no such file")

    assert terminal.run(main) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error (rank 1 on ")
    assert printed.err.endswith("): no such file\n")


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        *(
            (name, options([]), f"scripts/{name}.py")
            for name in (
                "00_make_demo_data",
                "01_preprocess",
                "02_preprocess_evaluation_set_task6b",
                "audit_leakage",
                "fetch_sentence_model",
            )
        ),
        ("train_demo_tagger", [], "scripts/train_demo_tagger.py"),
        ("main", ["evaluate", "--checkpoint", "gone.pt", *options([])], "main.py evaluate"),
    ],
)
def test_commands_for_one_process_refuse_several(monkeypatch, name, arguments, what):
    environment(monkeypatch, "0", "2", "0")
    with pytest.raises(InputError, match=f"^{re.escape(what)} cannot be shared among processes"):
        load_script(name).main(arguments)


def alone(name, arguments):
    """Run a script in this process, with one thread, as torchrun gives each of several processes.

    The number of threads may change the last bits of a sum; on the machines tried so far it changes
    none, neither of PaSST nor of MPNet, in fp32 or bf16.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        load_script(name).main(arguments)
    finally:
        torch.set_num_threads(threads)


def torchrun(*command, check=True):
    """Run a program in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    process = subprocess.run(
        [*launcher, "--nproc-per-node", "2", *command],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert not check or process.returncode == 0, process.stderr
    return process


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A tiny demo set, preprocessed."""
    folder = tmp_path_factory.mktemp("tiny_demo")
    write_demo_set(folder / "clotho", clips=(6, 2, 2), seed=5)
    load_script("01_preprocess").main(options(settings_for(folder)))
    return folder


def writing_to(demo, folder):
    """Options that let the scripts write their vectors into a folder of the test's own."""
    files = (
        f"train_data.audio_logits={folder / 'logits.hdf5'}",
        f"train_data.audio_scene={folder / 'scene.hdf5'}",
        f"train_data.caption_embeddings={folder / 'captions.hdf5'}",
    )
    # Batches so small that each process gets several.
    return options([*settings_for(demo), *files, "sentence_model.batch_size=8"])


@pytest.fixture(scope="module")
def tagged(demo, tmp_path_factory):
    """What script 03 writes in a single process."""
    folder = tmp_path_factory.mktemp("tagged_alone")
    alone("03_audio_features", writing_to(demo, folder))
    return folder


def assert_same_vectors(folder, expected):
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in expected.iterdir())
    for path in expected.iterdir():
        ours, theirs = (read_vectors(p) for p in (folder / path.name, path))
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
        assert (ours.keys, ours.failed) == (theirs.keys, theirs.failed)
        assert ours.fixed_attributes == theirs.fixed_attributes


# Runs a script with the arguments up to "--", and then with those behind it, when rank 1 dies as
# soon as two of its rows are on the disk.
TWICE = """
import os, runpy, signal, sys
sys.path.insert(0, os.getcwd())
from utils.files.journal import Journal

script, *arguments = sys.argv[1:]
sys.path.insert(0, os.path.dirname(script))
border = arguments.index("--")

def run(arguments):
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise

append = Journal.append

def append_and_die(journal, keys, rows):
    append(journal, keys, rows)
    if os.environ["RANK"] == "1" and len(journal.rows) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

run(arguments[:border])
Journal.append = append_and_die
run(arguments[border + 1 :])
"""


@pytest.fixture(scope="module")
def shared(demo, tmp_path_factory):
    """A folder that two processes wrote, one that they left when one of them died, what was said.

    One start of two processes does both: each takes seconds to import PyTorch.
    """
    folder = tmp_path_factory.mktemp("shared")
    program = folder / "twice.py"
    program.write_text(TWICE)
    whole, left = (writing_to(demo, folder / name) for name in ("whole", "left"))
    script = "scripts/03_audio_features.py"
    result = torchrun(program, script, *whole, "--", *left, check=False)
    return folder / "whole", folder / "left", result


def test_two_processes_tag_as_one_does(tagged, shared):
    whole, _, result = shared
    assert_same_vectors(whole, tagged)
    assert result.stdout.count("tagged 10 clips with demo (cpu, fp32); 0 were up to date") == 1
    assert "tagged" not in result.stdout.replace("tagged 10 clips", "")


@pytest.mark.slow
def test_two_processes_embed_as_one_does(demo, sentence_model, tmp_path):
    alone("04_sentence_embeddings", writing_to(demo, tmp_path / "alone"))
    result = torchrun("scripts/04_sentence_embeddings.py", *writing_to(demo, tmp_path / "two"))
    assert_same_vectors(tmp_path / "two", tmp_path / "alone")
    assert "embedded 50 captions" in result.stdout


def test_after_a_kill_another_number_of_processes_resumes(demo, tagged, shared, tmp_path, capsys):
    _, left, result = shared
    shutil.copytree(left, tmp_path / "out")
    arguments = writing_to(demo, tmp_path / "out")
    assert result.returncode == 1, result.stderr
    assert "exitcode  : -9" in result.stderr
    journals = {p.parent.name: p.read_bytes() for p in (tmp_path / "out").glob("*/keys.jsonl")}
    assert sorted(journals) == ["logits.hdf5.partial", "logits.hdf5.partial.1"]
    kept = {name: keys.count(b"\n") for name, keys in journals.items()}
    assert kept["logits.hdf5.partial.1"] == 2
    assert kept["logits.hdf5.partial"] <= 5
    done = sum(kept.values())
    alone("03_audio_features", arguments)
    printed = capsys.readouterr().out
    assert f"tagged {10 - done} clips with demo (cpu, fp32); {done} were up to date" in printed
    assert_same_vectors(tmp_path / "out", tagged)


@pytest.mark.slow
def test_bad_input_of_one_process_stops_all(demo, tmp_path):
    shutil.copytree(demo, tmp_path / "demo")
    arguments = writing_to(tmp_path / "demo", tmp_path / "out")
    last = sorted((tmp_path / "demo/clotho/evaluation").glob("*.wav"))[-1]
    last.write_bytes(b"RIFF")
    result = torchrun("scripts/03_audio_features.py", "--strict", *arguments, check=False)
    assert result.returncode == 1
    (message,) = [line for line in result.stderr.splitlines() if "cannot be read" in line]
    assert message.startswith("error (rank 1 on ")
    assert last.name in message
    # Of our own code: torchrun itself always ends a failed run with one.
    assert "utils/" not in result.stderr
    assert "exitcode  : 2" in result.stderr
