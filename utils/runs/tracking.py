"""Weights & Biases, where the settings ask for it; never imported otherwise."""

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.files.reading import read_text
from utils.files.writing import atomic_write
from utils.runtime.errors import InputError, first_line
from utils.settings.config import Config, to_plain

_ID = "wandb_id.txt"  # in the run folder


class Tracker:
    """Log a run to Weights & Biases if `config.wandb` is True; do nothing if it is False.

    A resumed run goes on as the same run there. Should it fail later on, training goes on without
    it. A context manager: the run is closed with success or failure as the block ends.

    Parameters
    ----------
    folder : Path
        Of the run; keeps its id.
    history : sequence of mapping
        The epochs so far; those that it lacks are logged at once.
    best_epoch : int
        Of `history`; 0 if it is empty.
    say : callable
        Called with a warning if it fails later on.

    Raises
    ------
    InputError
        If it does not start.

    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        history: Sequence[Mapping[str, float]] = (),
        *,
        best_epoch: int = 0,
        say: Callable[[str], Any] = print,
    ) -> None:
        self._run = None
        self._say = say
        if config.wandb:
            import wandb  # slow to import, and it must not contact a server when it is off

            try:
                self._run = wandb.init(
                    project=config.wandb_project or config.experiment,
                    entity=config.wandb_entity,
                    mode=config.wandb_mode,
                    id=_run_id(folder / _ID),
                    # Offline nothing is known of earlier parts: each holds all epochs.
                    resume="allow" if config.wandb_mode == "online" else None,
                    name=folder.name,
                    dir=folder,
                    config=to_plain(config),
                )
            except wandb.Error as error:
                raise InputError(
                    f"Weights & Biases does not start: {error}. Run `wandb login`, set "
                    "wandb_mode: offline, or set wandb: False."
                ) from None
            # Otherwise the summary would hold the last epoch's numbers.
            self._try(lambda run: run.define_metric("*", summary="none"))
            for row in history:
                self.log(row, best=row["epoch"] == best_epoch)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._try(lambda run: run.finish(exit_code=0 if kind is None else 1))

    def log(self, row: Mapping[str, float], *, best: bool) -> None:
        """Log the numbers of one epoch, unless they are there; the `best` are its summary."""

        def log(run: Any) -> None:
            if row["epoch"] >= run.starting_step:  # the first step that a resumed run lacks
                run.log(dict(row), step=row["epoch"])
            if best:
                run.summary.update({**row, "best_epoch": row["epoch"]})

        self._try(log)

    def summarise(self, results: Mapping[str, Any]) -> None:
        """Log the final scores, beside the numbers of the best epoch."""
        self._try(lambda run: run.summary.update(dict(results)))

    def _try(self, act: Callable[[Any], Any]) -> None:
        """Do something with the run, if there is one; give it up with a warning if that fails."""
        if self._run is None:
            return
        try:
            act(self._run)
        except Exception as error:  # of its service, its network or its threads
            import wandb

            self._run = None
            with contextlib.suppress(Exception):  # otherwise it would fail again at exit
                wandb.teardown()
            self._say(
                f"warning: Weights & Biases has failed ({first_line(error)}). Training goes on "
                "without it; what is missing there is in history.csv and metrics.json."
            )


def _run_id(path: Path) -> str:
    """Read the id of a run, or make one and keep it."""
    if not path.exists():
        with atomic_write(path, "w") as file:
            file.write(secrets.token_hex(8))
    return read_text(path).strip()
