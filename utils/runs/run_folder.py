"""The folder of one training run: settings, log, history, checkpoints, metrics, results."""

import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from utils.checkpoints.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.files.locks import LockFile
from utils.files.reading import read_json
from utils.files.tables import read_csv, write_csv
from utils.files.writing import atomic_write, write_if_changed
from utils.runtime.errors import InputError
from utils.settings.config import Config, to_plain
from utils.settings.loading import load_config
from utils.settings.relocation import relocated
from utils.training.trainer import SELECTED_BY


class Run:
    """A run folder, ``<output_path>/<experiment>/<run>/``; a context manager that holds its lock.

    Use `Run.new`, `Run.complete` or `utils.runs.resuming.unfinished_run`.

    Parameters
    ----------
    config : Config
        The settings to run with.
    trained_on : str
        The plan of `utils.runs.plans` that the run follows.
    quiet : bool
        Log without printing.

    """

    def __init__(
        self, folder: Path, config: Config, *, trained_on: str = CLOTHO, quiet: bool = False
    ) -> None:
        self.folder = folder
        self.config = config
        self.trained_on = trained_on
        self.quiet = quiet
        self.settings = folder / "conf.yaml"
        self.origin = folder / "run.json"
        self.results = folder / "test.output.csv"
        self.ranks = folder / "test.ranks.csv"
        self.metrics = folder / "metrics.json"
        self.history = folder / "history.csv"
        self.report = folder / "report.html"
        self.plots = folder / "plots"
        self.log = folder / "log.txt"
        self._trained_with = TrainedWith()
        self._lock = LockFile(folder / ".lock")

    @classmethod
    def new(cls, config: Config, *, trained_on: str = CLOTHO, kind: str = "") -> "Run":
        """Make the folder of a new run, named by date, time and seed, and hold it."""
        while True:
            folder = folder_name(config, run_label(config, trained_on, kind))
            run = cls(folder, config, trained_on=trained_on)
            try:
                run.folder.mkdir(parents=True)
                if run.try_to_hold():
                    return run
            except FileExistsError:  # another run took the name in between
                continue
            except OSError as error:
                raise InputError(
                    f"cannot make the run folder {run.folder}: {error.strerror}. Fix output_path."
                ) from None

    @classmethod
    def complete(cls, folder: Path) -> "Run":
        """Open the folder of a run that was trained to its end."""
        names = ("metrics.json", "history.csv", "conf.yaml")
        wanted = [*(folder / name for name in names), find_checkpoint(folder, "best")]
        if missing := [path.name for path in wanted if not path.is_file()]:
            raise InputError(
                f"{folder} is not the folder of a finished run: {', '.join(missing)} missing. Give "
                "the folder that main.py named; python main.py train --resume FOLDER finishes an "
                "interrupted run."
            )
        config = relocated(load_config(folder / "conf.yaml", check=lambda _: []), folder)
        return cls(folder, config, trained_on=read_json(folder / "metrics.json")["trained_on"])

    @property
    def checkpoint_last(self) -> Path:
        """All that is needed to resume."""
        return find_checkpoint(self.folder, "last")

    @property
    def checkpoint_best(self) -> Path:
        """The weights of the best epoch."""
        return find_checkpoint(self.folder, "best")

    @property
    def finished(self) -> bool:
        """Whether the run has been scored on the test split."""
        return self.metrics.is_file()

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
                f"another process is working on {self.folder}. Wait for it, or stop it; this run "
                "has changed nothing."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def save_origin(self, begun_with: Mapping[str, str], trained_with: TrainedWith) -> None:
        """Write conf.yaml, and run.json: digests of what the run begins with, and its networks."""
        self._trained_with = trained_with
        settings = yaml.safe_dump(to_plain(self.config), sort_keys=False, allow_unicode=True)
        write_if_changed(self.settings, settings.encode())
        origin = {
            "trained_on": self.trained_on,
            "trained_with": asdict(trained_with),
            "begun_with": dict(begun_with),
        }
        write_if_changed(self.origin, _json(origin))

    def read_begun_with(self) -> dict[str, str] | None:
        """Read back what the run began with; None if run.json is missing, as in older runs."""
        return _read_origin(self.origin)["begun_with"] if self.origin.exists() else None

    def say(self, text: str) -> None:
        """Append a line to the run's log and, unless the run is quiet, print it."""
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            raise self._unwritable(self.log, error) from error
        if not self.quiet:
            print(text, flush=True)

    def save_last(self, state: Mapping[str, Any]) -> None:
        """Write all that is needed to resume after the last epoch."""
        self._save("last", trainer=state)

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write the weights of the best epoch so far."""
        self._save("best", weights=weights)

    def save_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write history.csv, one row per epoch."""
        with atomic_write(self.history, "w") as file:
            write_csv(file, [[*rows[0]], *([*row.values()] for row in rows)])

    def save_ranks(self, cids: Sequence[int], ranks: Sequence[int]) -> None:
        """Write test.ranks.csv: for each caption (cid) the rank of its own clip, from 1."""
        with atomic_write(self.ranks, "w") as file:
            write_csv(file, [("cid", "rank"), *zip(cids, ranks, strict=True)])

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        with atomic_write(self.metrics) as file:
            file.write(_json(metrics))

    def read_history(self) -> list[dict[str, float]]:
        """Read back history.csv."""
        (_, header), *rows = read_csv(self.history)
        history = [dict(zip(header, map(float, cells), strict=True)) for _, cells in rows]
        return [{**row, "epoch": int(row["epoch"])} for row in history]

    def read_outcome(self) -> tuple[float, list[int]]:
        """Read back a finished run: validation mAP@10 of its best epoch, and the test ranks."""
        validation = read_json(self.metrics)["validation"][SELECTED_BY]
        return validation, [int(rank) for _, (_, rank) in read_csv(self.ranks)[1:]]

    def _save(self, which: str, **parts: Any) -> None:
        checkpoint = Checkpoint(self.config, self._trained_with, self.trained_on, **parts)
        save_checkpoint(self.folder / f"checkpoint_{which}.safetensors", checkpoint)

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> InputError:
        return InputError(
            f"cannot write {path}: {error.strerror or error}. Check that its folder may be written "
            "to and that the disk has room."
        )


def plan_of(folder: Path) -> str:
    """Read on which data set a run is trained; refuse a folder with nothing to resume."""
    checkpoint = find_checkpoint(folder, "last")
    if not checkpoint.is_file():
        raise InputError(
            f"{folder} is not a run folder with a {checkpoint.name}, so there is nothing to "
            "resume. Give the folder that the interrupted run named."
        )
    origin = folder / "run.json"
    if origin.exists():
        return _read_origin(origin)["trained_on"]
    return load_checkpoint(checkpoint).trained_on  # of an older version


def run_label(config: Config, trained_on: str, kind: str = "") -> str:
    """Name a run after its seed, what it is trained on and how, as its folder is after the date."""
    parts = [f"seed{config.seed}", trained_on if trained_on != CLOTHO else "", kind]
    return "_".join(filter(None, parts))


def folder_name(config: Config, label: str) -> Path:
    """Name a new folder: ``<output_path>/<experiment>/<date>_<time>_<label>``, perhaps numbered."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    parent = config.output_path / config.experiment
    numbered = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(
        folder for end in numbered if not (folder := parent / f"{now}_{label}{end}").exists()
    )


def _read_origin(path: Path) -> dict[str, Any]:
    origin = read_json(path)
    if (
        not isinstance(origin, dict)
        or origin.get("trained_on") not in (CLOTHO, AUDIOCAPS)
        or not isinstance(origin.get("begun_with"), dict)
    ):
        raise InputError(f"{path} does not say what the run began with. Start a new run.")
    return origin


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
