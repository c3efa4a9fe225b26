"""Nothing is lost: the same command resumes what was interrupted, to the same end."""

import contextlib
import csv
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.crashes import crashes, full_disks, in_child
from tests.support import (
    DEMO_CONFIG,
    FILES,
    age,
    load_script,
    options,
    runs_in,
    scores,
    settings_for,
    stub_report,
    train,
)
from utils.checkpoints.checkpoint import load_checkpoint
from utils.datasets.corpus import CLOTHO
from utils.evaluation import score_text
from utils.evaluation.evaluate import LoadedSplit
from utils.features.vector_file import VectorFile, read_vectors
from utils.runs import data as run_data
from utils.runs import training_run
from utils.runs.data import RunData, load_data, load_pairs
from utils.runs.plans import PLANS
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.loading import load_config
from utils.training.trainer import Trainer

MOMENTS = 12
SIGNALS = [signal.SIGKILL] * 4 + [signal.SIGTERM, signal.SIGINT]
TIMEOUT = 300  # seconds, after which a run that hangs is a failure


def interrupt(arguments: list[str], monkeypatch, *, after: int) -> None:
    """Run main.py, and press Ctrl-C after some epochs."""
    real = score_text.epoch_line

    def line(row, *arguments, **options):
        if row["epoch"] == after:
            raise KeyboardInterrupt
        return real(row, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(score_text, "epoch_line", line)
        load_script("main").main(arguments)


@pytest.fixture(scope="module")
def stopped(small_demo, tmp_path_factory):
    """The folder of a run that was interrupted after the first of two epochs."""
    settings = settings_for(small_demo, outputs=tmp_path_factory.mktemp("stopped"))
    with pytest.MonkeyPatch.context() as patch:
        interrupt(options(settings), patch, after=1)
    (run,) = runs_in(settings)
    return run


@pytest.fixture
def interrupted(own_outputs, stopped):
    """A copy of that folder, among a test's own runs."""
    (output,) = (s.partition("=")[2] for s in own_outputs if s.startswith("output_path="))
    return shutil.copytree(stopped, Path(output) / "demo" / stopped.name)


def begin(settings: list[str], monkeypatch, *arguments: str) -> None:
    """Run main.py until it is about to train."""

    def fit(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "fit", fit)
        load_script("main").main([*arguments, *options(settings)])


def resume(run: Path, *arguments: str) -> None:
    load_script("main").main(["train", "--resume", str(run), *arguments])


def test_an_interrupted_run_is_resumed_to_the_same_end(
    own_outputs, trained, interrupted, monkeypatch, capsys
):
    """By the same command, and by name for more epochs."""
    train(own_outputs)
    printed = capsys.readouterr().out
    assert f"resuming {interrupted}, interrupted after epoch 1; --new" in printed
    assert outcome(interrupted) == outcome(trained.parent)
    more = ["train", "--resume", str(interrupted), "--set", "training.epochs=4"]
    interrupt(more, monkeypatch, after=3)
    assert f"python main.py train --resume {interrupted}" in capsys.readouterr().out
    assert not (interrupted / "metrics.json").exists()
    longer = [*own_outputs, "training.epochs=4"]
    train(longer)
    assert runs_in(own_outputs) == [interrupted]
    assert load_config(interrupted / "conf.yaml").training.epochs == 4
    # A finished run is left alone, and the next one begins from the start.
    whole, _ = train(longer)
    assert runs_in(own_outputs) == [interrupted, whole]
    assert outcome(interrupted) == outcome(whole)


def test_new_and_other_settings_begin_a_new_run(own_outputs, interrupted, monkeypatch, capsys):
    before = {path.name: path.read_bytes() for path in interrupted.iterdir()}
    begin([*own_outputs, "seed=2"], monkeypatch)
    begin([*own_outputs, "training.epochs=1"], monkeypatch)
    begin(own_outputs, monkeypatch, "--new")
    begin(own_outputs, monkeypatch, "train", "--new")
    assert "resuming" not in capsys.readouterr().out
    assert len(runs_in(own_outputs)) == 5
    assert {path.name: path.read_bytes() for path in interrupted.iterdir()} == before
    with pytest.raises(InputError, match="--new is for training, not for score"):
        load_script("main").main(["--new", "score", "x.csv"])


def test_a_run_is_resumed_with_the_data_it_began_with_alone(
    small_demo, own_outputs, tmp_path, monkeypatch
):
    vectors = tmp_path / "sentences.hdf5"
    shutil.copy(small_demo / "processed" / FILES["caption_embeddings"], vectors)
    settings = [*own_outputs, f"train_data.caption_embeddings={vectors}"]
    interrupt(options(settings), monkeypatch, after=1)
    (run,) = runs_in(settings)
    content = vectors.read_bytes()
    with h5py.File(vectors, "r+") as file:
        file["vectors"][0] = np.roll(file["vectors"][0], 1)
    with pytest.raises(InputError, match=r"began with other data: training sentence vectors\. "):
        resume(run)
    begin(settings, monkeypatch)
    assert len(runs_in(settings)) == 2
    vectors.write_bytes(content)
    resume(run)
    assert (run / "metrics.json").exists()


def test_a_run_of_an_older_version_is_resumed_by_name(
    own_outputs, trained, interrupted, monkeypatch
):
    age(interrupted, "best", "last")
    last = interrupted / "checkpoint_last.pt"
    content = torch.load(last, weights_only=True)
    torch.save({**content, "begun_with": {**content["begun_with"], "training logits": "x"}}, last)
    with pytest.raises(InputError, match=r"began with other data: training logits\. "):
        resume(interrupted)
    del content["begun_with"]  # the oldest have no digests
    torch.save(content, last)
    begin(own_outputs, monkeypatch)
    assert len(runs_in(own_outputs)) == 2
    resume(interrupted)
    metrics = (json.loads((r / "metrics.json").read_text()) for r in (interrupted, trained.parent))
    assert scores(next(metrics)) == scores(next(metrics))
    assert (interrupted / "run.json").exists()
    torch.save({**content, "trainer": {"history": []}}, last)
    (interrupted / "checkpoint_last.safetensors").unlink()
    with pytest.raises(InputError, match=r"checkpoint_last\.pt does not fit the settings"):
        resume(interrupted)


@pytest.fixture(scope="module")
def starter():
    """Starts processes that have imported everything already, which else takes seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT_ROOT))
        context = multiprocessing.get_context("forkserver")
        # PyTorch imports the last of these when an optimiser is made.
        context.set_forkserver_preload(["tests.test_interruptions", "main", "torch._dynamo"])

        def start(function: Callable, *arguments) -> multiprocessing.Process:
            process = context.Process(target=function, args=arguments)
            process.start()
            return process

        yield start


def run_script(name: str, arguments: list[str], log: Path, limit: int | None = None) -> None:
    """Run a script in this process as its command line does; what it prints goes to a file.

    With a limit, a file cannot grow beyond as many bytes.
    """
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    training_run.write_report = stub_report
    with contextlib.chdir(PROJECT_ROOT), log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.exit(terminal.run(lambda: load_script(name).main(arguments)))


def disturb(start, arguments: tuple, progress: Callable[[], int], *, end: int, seed: int) -> None:
    """Run a script, stopped at random moments, again and again until it ends by itself.

    `progress` counts what is finished, `end` in the end: the script is stopped there too.
    """
    rng = random.Random(seed)
    stops = []
    while True:
        process = start(run_script, *arguments)
        if len(stops) < MOMENTS:
            # Before, while and after something gets finished.
            target = end if len(stops) >= MOMENTS - 3 else progress() + rng.choice([0, 1, 1, 2])
            while process.is_alive() and progress() < target:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            number = rng.choice(SIGNALS)
            if process.is_alive():
                os.kill(process.pid, number)
                stops.append((number.name, progress()))
        process.join(TIMEOUT)
        assert process.exitcode is not None, "it hangs"
        if process.exitcode == 0:
            break
        assert process.exitcode in (-number, 128 + number)
    printed = arguments[-1].read_text()
    assert "Traceback" not in printed, printed
    assert len(stops) >= MOMENTS - 3, stops  # it may end just before the last ones


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "keys", "names"),
    [
        ("03_audio_features", ["audio_logits", "audio_scene"], ["logits.hdf5", "scene.hdf5"]),
        ("04_sentence_embeddings", ["caption_embeddings"], ["captions.hdf5"]),
    ],
)
def test_extraction_stopped_at_random_moments_ends_with_the_same_bits(
    small_demo, quick_sentence_model, tmp_path, starter, script, keys, names
):
    def arguments(folder):
        folder.mkdir()
        files = [f"train_data.{key}={folder / name}" for key, name in zip(keys, names, strict=True)]
        settings = [*settings_for(small_demo), *quick_sentence_model, *files]
        settings.append("sentence_model.batch_size=8")
        return script, options(settings), tmp_path / f"{folder.name}.log"

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    reference = starter(run_script, *arguments(whole))
    reference.join(TIMEOUT)
    assert reference.exitcode == 0
    expected = [read_vectors(whole / name) for name in names]

    def kept() -> int:
        if (cut / names[-1]).exists():
            return len(expected[0].ids)
        with contextlib.suppress(FileNotFoundError):
            return (cut / f"{names[0]}.partial/keys.jsonl").read_bytes().count(b"\n")
        return 0

    most = [0]

    def growing() -> int:
        """Nothing that was kept may be lost."""
        count = kept()
        assert count >= most[0]
        most[0] = count
        return count

    disturb(starter, arguments(cut), growing, end=len(expected[0].ids), seed=1)
    # A run that was killed when all was written has not yet removed its journal.
    assert {path.name for path in cut.iterdir()} - {f"{names[0]}.partial"} == set(names)
    for name, theirs in zip(names, expected, strict=True):
        ours = read_vectors(cut / name)
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
        assert (ours.keys, ours.failed) == (theirs.keys, theirs.failed)
        assert ours.fixed_attributes == theirs.fixed_attributes


def outcome(run: Path) -> dict:
    """All that a run ends with, without how long it took."""
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["validation"].pop("seconds")
    with (run / "history.csv").open(newline="") as file:
        history = [{**row, "seconds": None} for row in csv.DictReader(file)]
    best = load_checkpoint(run / "checkpoint_best.safetensors").weights
    return {
        "metrics": metrics,
        "history": history,
        "best": {name: tensor.tolist() for name, tensor in best.items()},
        # The report comes when the run is finished, and can be written again.
        "files": sorted({path.name for path in run.iterdir()} - {"report.html", "plots", ".lock"}),
        **{name: (run / name).read_bytes() for name in ("test.output.csv", "test.ranks.csv")},
    }


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["TripletRankingLoss", "MixupTripletRankingLoss"])
def test_training_stopped_at_random_moments_ends_with_the_same_bits(
    small_demo, tmp_path, starter, criterion
):
    def arguments(outputs):
        settings = [*settings_for(small_demo, outputs=outputs), "training.epochs=60"]
        chosen = [f"training.criterion={criterion}", "training.scheduler_patience=1"]
        return "main", options([*settings, *chosen]), tmp_path / f"{outputs.name}.log"

    reference = starter(run_script, *arguments(tmp_path / "whole"))
    reference.join(TIMEOUT)
    assert reference.exitcode == 0
    (whole,) = (tmp_path / "whole/demo").iterdir()

    def epochs() -> int:
        """Epochs of the unfinished run; of a finished one all."""
        for history in (tmp_path / "cut/demo").glob("*/history.csv"):
            return history.read_bytes().count(b"\n") - 1
        return 0

    disturb(starter, arguments(tmp_path / "cut"), epochs, end=60, seed=2)
    for run in (tmp_path / "cut/demo").iterdir():  # several, if one was finished when stopped
        assert outcome(run) == outcome(whole)


def narrow(small_demo: Path) -> RunData:
    """The small demo set with a few numbers per vector, so that training takes no time."""
    config = load_config(DEMO_CONFIG, settings_for(small_demo))
    data = load_data(config, PLANS[CLOTHO], device=torch.device("cpu"), summary=terminal.Summary())

    def cut(file: VectorFile, width: int) -> VectorFile:
        return replace(file, vectors=np.ascontiguousarray(file.vectors[:, :width]))

    inputs = replace(
        data.inputs,
        captions=cut(data.inputs.captions, 8),
        projected=tuple(cut(file, 16) for file in data.inputs.projected),
        logits=cut(data.inputs.logits, 16),
        tags=cut(replace(data.inputs.tags, ids=data.inputs.tags.ids[:16]), 8),
    )
    parts = {
        name: LoadedSplit(part.split, load_pairs(part.split, inputs, data.device))
        for name, part in vars(data).items()
        if isinstance(part, LoadedSplit)
    }
    return RunData(**parts, inputs=inputs)


def train_narrow(module, data: RunData, small_demo: Path, outputs: Path) -> int:
    """Train as a command does, without reading the data and writing a report."""
    run_data.load_data = lambda *_, **__: data
    training_run.write_report = lambda *_, **__: None
    settings = settings_for(small_demo, outputs=outputs)
    return terminal.run(lambda: module.main(options(settings)))


def check_runs(outputs: Path, whole: dict) -> int:
    """Check that all runs are finished, as the whole one was; returns their number."""
    runs = list((outputs / "demo").iterdir())
    for run in runs:
        assert outcome(run) == whole
    return len(runs)


def strike_training_everywhere(small_demo: Path, tmp_path: Path, kind: str, log: Path) -> None:
    """Kill training, or fill its disk, at each file operation; the same command resumes."""
    torch.set_num_threads(1)  # as a fork has none of the others
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    module = load_script("main")
    data = narrow(small_demo)
    train_into = partial(train_narrow, module, data, small_demo)
    assert train_into(tmp_path / "whole") == 0  # here, so that its late imports are for all forks
    (run,) = (tmp_path / "whole/demo").iterdir()
    whole = outcome(run)
    cut = tmp_path / "cut"
    strike = {"kill": crashes, "full disk": full_disks}[kind]
    numbers = []
    for number in strike(lambda: train_into(cut), cut):
        numbers.append(number)
        for path in cut.glob("demo/*/*"):  # every file under its own name is complete
            if path.suffix == ".safetensors":
                load_checkpoint(path)
            if path.name == "metrics.json":
                outcome(path.parent)
        finished = len(list(cut.glob("demo/*/metrics.json")))
        assert in_child(lambda: train_into(cut)) == 0
        assert check_runs(cut, whole) == 1 + finished
        shutil.rmtree(cut)
    assert check_runs(cut, whole) == 1
    print(f"{len(numbers)} operations")
    assert len(numbers) > 40


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kill", "full disk"])
def test_training_struck_at_each_file_operation_resumes_to_the_same_end(
    small_demo, tmp_path, starter, kind
):
    log = tmp_path / "log"
    process = starter(strike_training_everywhere, small_demo, tmp_path, kind, log)
    process.join(5 * TIMEOUT)
    assert process.exitcode == 0, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()


def ended(process, log: Path) -> tuple[int, str]:
    """Wait for a process; returns its exit status and what it printed, which has no traceback."""
    process.join(TIMEOUT)
    printed = log.read_text()
    assert "Traceback" not in printed, printed
    assert "xception" not in printed, printed
    return process.exitcode, printed


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, without journals and dates."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".partial" not in str(path) and path.suffix != ".hdf5"
    }


def arguments_of(script: str, small_demo: Path, out: Path, more: Sequence[str] = ()) -> list[str]:
    """The arguments with which a script writes all its files into a folder."""
    files = [f"train_data.{key}={out / name}" for key, name in FILES.items()]
    if script == "main":
        files = []
    if script == "01_preprocess":
        files = [f"train_data.input_path={out}"]
    arguments = options([*settings_for(small_demo, outputs=out), *files, *more])
    if script == "00_make_demo_data":
        arguments += ["--output", str(out), "--clips", "9", "2", "2", "--jobs", "2"]
    return arguments


FULL = {  # what is run, and the size beyond which no file may grow
    "sounds": ("00_make_demo_data", 200_000),
    "captions": ("01_preprocess", 12_000),
    "journal of clips": ("03_audio_features", 100_000),
    "journal of captions": ("04_sentence_embeddings", 400_000),
    "sentence vectors": ("04_sentence_embeddings", 770_000),
    "log-mels": ("03_audio_features", 100_001),
    "checkpoint": ("main", 1_000_000),
}


@pytest.fixture(scope="module")
def quick_captions(small_demo, quick_sentence_model, tmp_path_factory) -> Path:
    """The vectors of a quick sentence model for the captions of the small demo set."""
    path = tmp_path_factory.mktemp("quick_captions") / "captions.hdf5"
    settings = [*settings_for(small_demo), *quick_sentence_model]
    settings.append(f"train_data.caption_embeddings={path}")
    load_script("04_sentence_embeddings").main(options(settings))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("what", FULL)
def test_on_a_full_disk_it_is_one_error_and_resumes_when_there_is_room(
    small_demo, quick_sentence_model, quick_captions, tmp_path, starter, what
):
    script, limit = FULL[what]
    out, log = tmp_path / "out", tmp_path / "log"
    more = quick_sentence_model if script == "04_sentence_embeddings" else []
    arguments = arguments_of(script, small_demo, out, more)
    if what == "log-mels":
        arguments += ["--set", f"train_data.input_path={out}", "--kind", "logmel"]
        out.mkdir()
        for split in ("development", "validation", "evaluation"):
            shutil.copy(small_demo / f"processed/{split}_captions.json", out)
    status, printed = ended(starter(run_script, script, arguments, log, limit), log)
    assert status == 2, printed
    (error,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "File too large" in error
    assert "disk has room" in error
    half = contents(out)
    log.unlink()
    status, printed = ended(starter(run_script, script, arguments, log), log)
    assert status == 0, printed
    assert not list(out.rglob("*.tmp"))
    whole = contents(out)
    for name, content in half.items():
        if not name.endswith((".tmp", "unfinished.json", "log.txt", "conf.yaml", ".safetensors")):
            assert whole[name] == content
    if what.startswith("journal"):
        assert "; 0 were up to date" not in printed
    if script == "04_sentence_embeddings":
        ours = read_vectors(out / FILES["caption_embeddings"])
        theirs = read_vectors(quick_captions)
        np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-6)
        assert (ours.keys, ours.failed) == (theirs.keys, theirs.failed)
        assert ours.fixed_attributes == theirs.fixed_attributes


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["00_make_demo_data", "01_preprocess", "03_audio_features", "04_sentence_embeddings"]
)
def test_of_two_at_once_one_works_and_the_other_says_so(
    small_demo, quick_sentence_model, tmp_path, starter, script
):
    out = tmp_path / "out"
    more = quick_sentence_model if script == "04_sentence_embeddings" else []
    arguments = arguments_of(script, small_demo, out, more)
    logs = [tmp_path / "log1", tmp_path / "log2"]
    processes = [starter(run_script, script, arguments, log) for log in logs]
    results = [ended(process, log) for process, log in zip(processes, logs, strict=True)]
    for status, printed in results:
        assert status == 0 or (status == 2 and "another run" in printed), printed
    assert 0 in [status for status, _ in results]
    assert not list(out.rglob(".*"))
    status, printed = ended(starter(run_script, script, arguments, tmp_path / "l"), tmp_path / "l")
    assert status == 0, printed
