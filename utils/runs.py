"""The folder of one training run: settings, log, history, checkpoints, metrics, results."""

import argparse
import csv
import datetime
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from utils import cli
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.config import Config, differing_settings, parse_config, to_plain
from utils.corpora import CLOTHO
from utils.errors import InputError
from utils.files import atomic_write, read_csv, read_json
from utils.training import SELECTED_BY, Trainer

# Settings that decide the shapes and the meaning of a model's weights.
_WEIGHT_SETTINGS = (
    "model.audio_features",
    "model.text_projection",
    "passt.arch",
    "sentence_model.sha256",
)


class Run:
    """A run folder, ``<output_path>/<experiment>/<run>/``.

    Use `Run.new` or `Run.existing`.
    """

    def __init__(self, folder: Path, *, trained_on: str = CLOTHO, quiet: bool = False) -> None:
        self.folder = folder
        self.trained_on = trained_on
        self.quiet = quiet
        self.settings = folder / "conf.yaml"
        self.checkpoint_last = folder / "checkpoint_last.pt"
        self.checkpoint_best = folder / "checkpoint_best.pt"
        self.results = folder / "test.output.csv"
        self.ranks = folder / "test.ranks.csv"
        self.metrics = folder / "metrics.json"
        self.history = folder / "history.csv"
        self.report = folder / "report.html"
        self.plots = folder / "plots"

    @classmethod
    def new(cls, config: Config, *, trained_on: str = CLOTHO) -> "Run":
        """Make the folder of a new run, named by date, time and seed, and keep the settings.

        `trained_on` names the plan of `utils.experiment` that the run follows.
        """
        label = "" if trained_on == CLOTHO else f"_{trained_on}"
        while True:
            run = cls(folder_name(config, f"seed{config.seed}{label}"), trained_on=trained_on)
            try:
                run.folder.mkdir(parents=True)
                break
            except FileExistsError:  # another run took the name in between
                continue
            except OSError as error:
                raise InputError(
                    f"cannot make the run folder {run.folder}: {error.strerror}. Mend output_path."
                ) from None
        run.save_settings(config)
        return run

    @classmethod
    def existing(cls, folder: Path) -> "Run":
        """Open the folder of an interrupted run."""
        run = cls(folder)
        if not run.checkpoint_last.is_file():
            raise InputError(
                f"{folder} is no run folder with a checkpoint_last.pt, so there is nothing to "
                "resume. Give the folder that the interrupted run named."
            )
        run.trained_on = load_checkpoint(run.checkpoint_last).get("trained_on", CLOTHO)
        return run

    @classmethod
    def complete(cls, folder: Path) -> "Run":
        """Open the folder of a run that was trained to its end."""
        run = cls(folder)
        wanted = (run.metrics, run.history, run.settings, run.checkpoint_best)
        if missing := [path.name for path in wanted if not path.is_file()]:
            raise InputError(
                f"{folder} is no folder of a finished run: {', '.join(missing)} missing. Give the "
                "folder that main.py named; an interrupted run is finished by "
                "python main.py train --resume FOLDER."
            )
        run.trained_on = read_json(run.metrics)["trained_on"]
        return run

    @property
    def finished(self) -> bool:
        """Whether the run has been scored on the test split."""
        return self.metrics.is_file()

    def save_settings(self, config: Config) -> None:
        """Write conf.yaml, with which the run can be repeated."""
        with atomic_write(self.settings, "w") as file:
            yaml.safe_dump(to_plain(config), file, sort_keys=False, allow_unicode=True)

    def say(self, text: str) -> None:
        """Keep a line in the run's log and, unless the run is quiet, print it."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        if not self.quiet:
            print(text, flush=True)

    def save_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write history.csv, one row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.history, "w") as file:
            file.write(text.getvalue())

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        with atomic_write(self.metrics, "w") as file:
            json.dump(metrics, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def save_last(self, state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Keep all that is needed to go on after the epoch just finished."""
        content = {"settings": settings, "trained_on": self.trained_on, "trainer": state}
        save_checkpoint(self.checkpoint_last, content)

    def save_best(self, model_state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Keep the weights of the best epoch so far."""
        content = {"settings": settings, "trained_on": self.trained_on, "model": model_state}
        save_checkpoint(self.checkpoint_best, content)

    def save_ranks(self, cids: Sequence[int], ranks: Sequence[int]) -> None:
        """Write test.ranks.csv: for each caption (cid) the rank of its own clip, from 1."""
        with atomic_write(self.ranks, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("cid", "rank"))
            writer.writerows(zip(cids, ranks, strict=True))

    def read_history(self) -> list[dict[str, float]]:
        """Read back history.csv."""
        (_, header), *rows = read_csv(self.history)
        history = [dict(zip(header, map(float, cells), strict=True)) for _, cells in rows]
        return [{**row, "epoch": int(row["epoch"])} for row in history]

    def read_outcome(self) -> tuple[float, list[int]]:
        """Read back a finished run: validation mAP@10 of its best epoch, and the test ranks."""
        validation = read_json(self.metrics)["validation"][SELECTED_BY]
        return validation, [int(rank) for _, (_, rank) in read_csv(self.ranks)[1:]]


def folder_name(config: Config, label: str) -> Path:
    """Name a folder that is not there yet: ``<output_path>/<experiment>/<date>_<time>_<label>``."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    parent = config.output_path / config.experiment
    numbered = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(
        folder for end in numbered if not (folder := parent / f"{now}_{label}{end}").exists()
    )


def resume(trainer: Trainer, run: Run, config: Config) -> None:
    """Bring a trainer to where a run stopped; half a run under other settings is refused."""
    checkpoint = load_checkpoint(run.checkpoint_last)
    begun = _settings_in(checkpoint, run.checkpoint_last)
    tracking = ("wandb", "wandb_project", "wandb_entity", "wandb_mode")
    free = ("training.epochs", "training.device", *tracking, "output_path", "experiment")
    if differing := differing_settings(config, begun, but=free):
        raise InputError(
            f"{run.folder} was begun with other settings: {'; '.join(differing)}. Only "
            "training.epochs, training.device and wandb may change; start a new run for the rest."
        )
    load_into(trainer, checkpoint.get("trainer"), run.checkpoint_last)
    if run.finished and len(trainer.history) >= config.training.epochs:
        raise InputError(
            f"{run.folder} is complete: {len(trainer.history)} epochs, and its test scores are in "
            "metrics.json. To train on, give more epochs: --set training.epochs=N."
        )


def weights_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Take the best weights; checkpoint_last.pt holds them beside the state of the training."""
    return checkpoint.get("model") or checkpoint.get("trainer", {}).get("best_state")


def load_initial(model: torch.nn.Module, config: Config) -> None:
    """Start from the weights that training.init_checkpoint names, if it names any.

    The tag texts and their ratio may be others than those that the weights were trained with.
    """
    path = config.training.init_checkpoint
    if path is None:
        return
    checkpoint = load_checkpoint(path)
    trained = _settings_in(checkpoint, path)
    if differing := differing_settings(config, trained, only=_WEIGHT_SETTINGS):
        raise InputError(
            f"training.init_checkpoint: {path} was trained with other settings: "
            f"{'; '.join(differing)}. Train from it with its own, or give another."
        )
    weights = dict(weights_of(checkpoint) or {})
    weights.pop("tag_table", None)
    load_into(model, {**weights, **dict(model.named_buffers())}, path)


def settings_of(checkpoint: dict[str, Any], args: argparse.Namespace) -> Config:
    """Take the settings a checkpoint was trained with; --config and --set may name other files.

    What the weights were trained for (the model, PaSST, the sentence model) cannot be changed.
    """
    trained = _settings_in(checkpoint, args.checkpoint)
    config = cli.load_config(args, default=trained)
    fixed = ("model", "passt.arch", "sentence_model.sha256")
    if differing := differing_settings(config, trained, only=fixed):
        raise InputError(
            f"{args.checkpoint} was trained with other settings: {'; '.join(differing)}. "
            "Drop these --set, or give the --config of that run."
        )
    return config


def _settings_in(checkpoint: Mapping[str, Any], path: Path) -> Config:
    if "settings" not in checkpoint:
        raise InputError(f"{path} holds no settings: train again.")
    return parse_config(checkpoint["settings"], base=Path(), source=str(path))


def load_into(target: Any, state: Any, source: Path) -> None:
    """Load a state dict; one that does not fit the settings and their vector files is refused."""
    try:
        target.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source} does not fit the settings or the vector files they name: {error}"
        ) from None
