"""The folder of one training run: settings, log, history, checkpoints, metrics, results."""

import argparse
import csv
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from utils import cli
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.config import Config, differing_settings, parse_config, to_plain
from utils.errors import InputError
from utils.files import atomic_write
from utils.training import Trainer


class Run:
    """A run folder, ``<output_path>/<experiment>/<run>/``.

    Use `Run.new` or `Run.existing`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "conf.yaml"
        self.checkpoint_last = folder / "checkpoint_last.pt"
        self.checkpoint_best = folder / "checkpoint_best.pt"
        self.results = folder / "test.output.csv"

    @classmethod
    def new(cls, config: Config) -> "Run":
        """Make the folder of a new run, named by date, time and seed, and keep the settings."""
        now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        parent = config.output_path / config.experiment
        number = 1
        while True:
            folder = parent / (f"{now}_seed{config.seed}" + (f"_{number}" if number > 1 else ""))
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                number += 1
            except OSError as error:
                raise InputError(
                    f"cannot make the run folder {folder}: {error.strerror}. Mend output_path."
                ) from None
        run = cls(folder)
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
        return run

    @property
    def finished(self) -> bool:
        """Whether the run has been scored on the test split."""
        return (self.folder / "metrics.json").is_file()

    def save_settings(self, config: Config) -> None:
        """Write conf.yaml, with which the run can be repeated."""
        with atomic_write(self.settings, "w") as file:
            yaml.safe_dump(to_plain(config), file, sort_keys=False, allow_unicode=True)

    def say(self, text: str) -> None:
        """Print a line and keep it in the run's log."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)

    def save_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write history.csv, one row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.folder / "history.csv", "w") as file:
            file.write(text.getvalue())

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        with atomic_write(self.folder / "metrics.json", "w") as file:
            json.dump(metrics, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def save_last(self, state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Keep all that is needed to go on after the epoch just finished."""
        save_checkpoint(self.checkpoint_last, {"settings": settings, "trainer": state})

    def save_best(self, model_state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Keep the weights of the best epoch so far."""
        save_checkpoint(self.checkpoint_best, {"settings": settings, "model": model_state})


def resume(trainer: Trainer, run: Run, config: Config) -> None:
    """Bring a trainer to where a run stopped; half a run under other settings is refused."""
    checkpoint = load_checkpoint(run.checkpoint_last)
    begun = parse_config(
        checkpoint.get("settings", {}), base=Path(), source=str(run.checkpoint_last)
    )
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
    run.save_settings(config)


def settings_of(checkpoint: dict[str, Any], args: argparse.Namespace) -> Config:
    """Take the settings a checkpoint was trained with; --config and --set may name other files.

    What the weights were trained for (the model, PaSST, the sentence model) cannot be changed.
    """
    try:
        trained = parse_config(checkpoint["settings"], base=Path(), source=str(args.checkpoint))
    except KeyError:
        raise InputError(f"{args.checkpoint} holds no settings: train again.") from None
    config = cli.load_config(args, default=trained)
    fixed = ("model", "passt.arch", "sentence_model.sha256")
    if differing := differing_settings(config, trained, only=fixed):
        raise InputError(
            f"{args.checkpoint} was trained with other settings: {'; '.join(differing)}. "
            "Drop these --set, or give the --config of that run."
        )
    return config


def load_into(target: Any, state: Any, source: Path) -> None:
    """Load a state dict; one that does not fit the settings and their vector files is refused."""
    try:
        target.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source} does not fit the settings or the vector files they name: {error}"
        ) from None
