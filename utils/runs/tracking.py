"""Weights & Biases, where the settings ask for it; never imported otherwise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.runtime.errors import InputError
from utils.settings.config import Config, to_plain


class Tracker:
    """Log a run to Weights & Biases if `config.wandb` is True; do nothing if it is False.

    A context manager: the run is closed with success or failure as the block ends.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self._run = None
        if config.wandb:
            import wandb  # slow to import, and it must not contact a server when it is off

            try:
                self._run = wandb.init(
                    project=config.wandb_project or config.experiment,
                    entity=config.wandb_entity,
                    mode=config.wandb_mode,
                    name=folder.name,
                    dir=folder,
                    config=to_plain(config),
                )
            except wandb.Error as error:
                raise InputError(
                    f"Weights & Biases does not start: {error}. Run `wandb login`, set "
                    "wandb_mode: offline, or set wandb: False."
                ) from None

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def log(self, row: Mapping[str, float]) -> None:
        """Log the numbers of one epoch."""
        if self._run is not None:
            self._run.log(dict(row))

    def summarise(self, results: Mapping[str, Any]) -> None:
        """Log the final scores."""
        if self._run is not None:
            self._run.summary.update(dict(results))
