"""The folder of one training run: settings, log, history, checkpoints, metrics, results."""

import csv
import datetime
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from utils.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import CLOTHO
from utils.files.locks import LockFile
from utils.files.reading import read_json
from utils.files.tables import read_csv
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError
from utils.settings.config import Config, to_plain
from utils.training.trainer import SELECTED_BY


class Run:
    """A run folder, ``<output_path>/<experiment>/<run>/``; as a context manager it is held.

    Use `Run.new`, `Run.existing` or `utils.runs.resuming.unfinished_run`.

    Attributes
    ----------
    begun_with : dict of str to str
        What the run is trained on, by name, each with its SHA-256.
    trained_with : TrainedWith
        The networks that this came from.

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
        self.log = folder / "log.txt"
        self.begun_with: dict[str, str] = {}
        self.trained_with = TrainedWith()
        self._lock = LockFile(folder / ".lock")

    @classmethod
    def new(cls, config: Config, *, trained_on: str = CLOTHO) -> "Run":
        """Make the folder of a new run, named by date, time and seed, and hold it.

        `trained_on` names the plan of `utils.runs.data` that the run follows.
        """
        while True:
            folder = folder_name(config, run_label(config, trained_on))
            run = cls(folder, trained_on=trained_on)
            try:
                run.folder.mkdir(parents=True)
                if run.try_to_hold():
                    return run
            except FileExistsError:  # another run took the name in between
                continue
            except OSError as error:
                raise InputError(
                    f"cannot make the run folder {run.folder}: {error.strerror}. Mend output_path."
                ) from None

    @classmethod
    def existing(cls, folder: Path) -> "Run":
        """Open the folder of an interrupted run."""
        run = cls(folder)
        if not run.checkpoint_last.is_file():
            raise InputError(
                f"{folder} is no run folder with a checkpoint_last.pt, so there is nothing to "
                "resume. Give the folder that the interrupted run named."
            )
        run.trained_on = load_checkpoint(run.checkpoint_last)["trained_on"]
        return run

    def try_to_hold(self) -> bool:
        """Keep other processes from this run; returns False if one of them holds it."""
        try:
            return self._lock.try_to_hold()
        except OSError as error:
            raise self._unwritable(self._lock.path, error) from error

    def release(self) -> None:
        """Let other processes have the run."""
        self._lock.release()

    def __enter__(self) -> "Run":
        if not self.try_to_hold():
            raise InputError(
                f"another process is at work on {self.folder}. Wait for it, or stop it; this run "
                "has changed nothing."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

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

    def begin(
        self, config: Config, state: Mapping[str, Any], begun_with: Mapping[str, str]
    ) -> None:
        """Keep all that is needed to go on before the first epoch."""
        self.begun_with = dict(begun_with)
        self.save_settings(config)
        self.save_last(state, to_plain(config))

    def reopen(self, config: Config) -> None:
        """Prepare to go on, perhaps for more epochs: scores of fewer would be taken for theirs."""
        self.metrics.unlink(missing_ok=True)
        self.save_settings(config)

    def save_settings(self, config: Config) -> None:
        """Write conf.yaml, with which the run can be repeated."""
        with atomic_write(self.settings, "w") as file:
            yaml.safe_dump(to_plain(config), file, sort_keys=False, allow_unicode=True)

    def say(self, text: str) -> None:
        """Keep a line in the run's log and, unless the run is quiet, print it."""
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            raise self._unwritable(self.log, error) from error
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
        content = {"begun_with": self.begun_with, "trainer": state}
        save_checkpoint(self.checkpoint_last, self._described(settings) | content)

    def save_best(self, model_state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Keep the weights of the best epoch so far."""
        save_checkpoint(self.checkpoint_best, self._described(settings) | {"model": model_state})

    def _described(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "settings": settings,
            "trained_on": self.trained_on,
            "trained_with": self.trained_with.to_plain(),
        }

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

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> InputError:
        return InputError(
            f"cannot write {path}: {error.strerror or error}. Check that its folder may be written "
            "to, that the disk has room and that its file system supports locks."
        )


def run_label(config: Config, trained_on: str) -> str:
    """Name a run after its seed and what it is trained on, as its folder is after the date."""
    return f"seed{config.seed}" + ("" if trained_on == CLOTHO else f"_{trained_on}")


def folder_name(config: Config, label: str) -> Path:
    """Name a folder that is not there yet: ``<output_path>/<experiment>/<date>_<time>_<label>``."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    parent = config.output_path / config.experiment
    numbered = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(
        folder for end in numbered if not (folder := parent / f"{now}_{label}{end}").exists()
    )
