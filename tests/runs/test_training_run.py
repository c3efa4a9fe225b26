"""With a few clips of random numbers; test_pipeline.py has whole runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.datasets.corpus import CLOTHO, corpus
from utils.datasets.splits import CaptionSplit
from utils.evaluation.evaluate import LoadedSplit
from utils.features.pairs import Pairs
from utils.features.vector_file import VectorFile
from utils.runs import training_run
from utils.runs.data import RunData
from utils.runs.model_inputs import Inputs
from utils.runs.run_folder import Run
from utils.runs.training_run import make_trainer, train_run
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

CLIPS, AUDIO, TEXT = 6, 3, 4


def part(name: str) -> LoadedSplit:
    """A split with one caption per clip, and a model's inputs without tags."""
    split = CaptionSplit(
        split=name,
        cids=np.arange(CLIPS),
        captions=[f"caption {clip}" for clip in range(CLIPS)],
        clip_of_caption=np.arange(CLIPS),
        clip_names=[f"{clip}.wav" for clip in range(CLIPS)],
        clip_fids=np.arange(CLIPS),
    )
    generator = torch.Generator().manual_seed(len(name))
    pairs = Pairs(
        features=torch.randn(CLIPS, AUDIO, generator=generator),
        logits=None,
        tags=None,
        sentences=torch.randn(CLIPS, TEXT, generator=generator),
        clips=torch.arange(CLIPS),
    )
    return LoadedSplit(split, pairs)


def file(width: int) -> VectorFile:
    return VectorFile(Path("none.hdf5"), [], np.empty((0, width), np.float32))


DATA = RunData(
    training=part("development"),
    validation=part("validation"),
    test=part("evaluation"),
    inputs=Inputs(corpus(load_config(), CLOTHO), file(TEXT), (file(AUDIO),)),
)


def trainer_of(*settings: str):
    config = load_config(overrides=[*settings, "model.audioset_info=none"])
    return make_trainer(config, DATA)


def test_every_criterion_gets_its_settings():
    def made(*settings):
        trainer = trainer_of(*(f"training.{setting}" for setting in settings))
        return trainer.loss, trainer.mixup

    hard, _ = made("criterion=HardTripletRankingLoss", "margin=0.2")
    assert (type(hard).__name__, hard.margin) == ("HardTripletRankingLoss", 0.2)
    fixed, _ = made("criterion=InfoNCE", "temperature=0.3")
    assert fixed.temperature.item() == pytest.approx(0.3)
    assert not list(fixed.parameters())
    learnable, _ = made("criterion=InfoNCE", "learnable_temperature=True")
    assert list(learnable.parameters())
    mixed, mixup = made(
        "criterion=MixupTripletRankingLoss", "margin=0.1", "mixup_rate=0.25", "mixup_beta=0.9"
    )
    assert (type(mixed).__name__, mixed.margin) == ("TripletRankingLoss", 0.1)
    assert vars(mixup) == {"rate": 0.25, "beta": 0.9}
    _, none = made("criterion=TripletRankingLoss", "mixup_rate=0.25")
    assert none is None


def test_every_setting_reaches_what_it_sets():
    schedule = {
        "epochs": 7,
        "batch_size": 5,
        "learning_rate": 0.02,
        "weight_decay": 0.03,
        "factor": 0.4,
        "patience": 2,
        "threshold": 0.07,
    }
    key = {name: f"scheduler_{name}" for name in ("factor", "patience", "threshold")}
    changed = [f"training.{key.get(name, name)}={value}" for name, value in schedule.items()]
    trainer = trainer_of(*changed, "model.ratio_embed1=0.3", "model.text_projection=True")
    assert trainer.model.ratio == 0.3
    assert isinstance(trainer.model.text_projection, torch.nn.Linear)
    assert vars(trainer.schedule) == schedule
    (group,) = trainer.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.03)
    scheduler = trainer.scheduler
    assert (scheduler.factor, scheduler.patience, scheduler.threshold) == (0.4, 2, 0.07)


def test_the_seed_alone_decides_the_first_weights():
    first, again, other = (
        trainer_of(*settings).model.audio_projection.weight
        for settings in (["seed=1"], ["seed=1", "training.criterion=InfoNCE"], ["seed=2"])
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def run_with(data: RunData, outputs: Path, *changed: str) -> Path:
    """Train for two epochs; returns the run folder."""
    settings = ["training.epochs=2", "training.device=cpu", "model.audioset_info=none", *changed]
    config = load_config(overrides=[f"output_path={outputs}", "experiment=try", *settings])
    train_run(config, data, trained_on=CLOTHO, summary=terminal.Summary())
    (run,) = (outputs / "try").iterdir()
    return run


@pytest.mark.parametrize("with_test", [True, False])
def test_a_run_is_scored_where_there_is_a_test_split(tmp_path, capsys, with_test):
    run = run_with(DATA if with_test else replace(DATA, test=None), tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"]["training"]["clips"] == CLIPS
    assert ("scores" in metrics) == with_test
    assert (run / "test.ranks.csv").exists() == with_test
    assert (run / "report.html").exists()
    printed = capsys.readouterr().out
    assert ("No test scores: the evaluation split of clotho has no clips here." in printed) == (
        not with_test
    )
    closing = printed.splitlines()[-1]
    assert closing.startswith(f"trained 2 epochs, kept epoch {metrics['best_epoch']}; ")
    assert ("test mAP@10" in closing) == with_test


def test_a_report_that_cannot_be_written_costs_no_run(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise InputError("cannot write report.html: no space left.")

    monkeypatch.setattr(training_run, "write_report", fail)
    run = run_with(DATA, tmp_path)
    assert Run.complete(run).finished
    printed = capsys.readouterr().out
    assert "no report: cannot write report.html: no space left." in printed
    assert f"python main.py report {run}" in printed


def test_a_run_that_diverges_stops_with_one_error(tmp_path):
    with pytest.raises(InputError, match=r"training diverged: in epoch \d .*learning_rate"):
        run_with(DATA, tmp_path, "training.learning_rate=1e38", "training.batch_size=2")
