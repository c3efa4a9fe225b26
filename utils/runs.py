"""The folder of one training run: settings, log, history, checkpoints, metrics, results."""

import csv
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from utils.checkpoint import save_checkpoint
from utils.config import Config, to_plain
from utils.errors import InputError
from utils.files import atomic_write


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
