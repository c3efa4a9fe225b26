"""Going on with a run, and starting from the weights of another."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from utils.checkpoints.checkpoint import load_checkpoint, load_into, settings_in, weights_of
from utils.checkpoints.provenance import TrainedWith
from utils.runs.data import INITIAL_WEIGHTS
from utils.runs.run_folder import Run, run_label
from utils.runtime.errors import InputError
from utils.settings.config import Config, differing_settings
from utils.settings.loading import load_config
from utils.training.trainer import Trainer

# Settings that decide the shapes and the meaning of a model's weights.
_WEIGHT_SETTINGS = (
    "model.audio_features",
    "model.text_projection",
    "passt.arch",
    "sentence_model.sha256",
)


# Settings that change nothing in what is trained, or where it ends.
_WITHOUT_EFFECT = (
    "training.device",
    "wandb",
    "wandb_project",
    "wandb_entity",
    "wandb_mode",
    "output_path",
    "experiment",
)


def unfinished_run(config: Config, *, trained_on: str, begun_with: Mapping[str, str]) -> Run | None:
    """Find the newest run that was begun as a new one would be, and that no process holds.

    Parameters
    ----------
    config : Config
    trained_on : str
        The plan of `utils.runs.data`.
    begun_with : mapping
        Digests of what the run would be trained on, as `Run.begun_with`.

    Returns
    -------
    Run or None
        Held by this process.

    """
    for folder in _newest_first(config, trained_on):
        run = Run(folder, trained_on=trained_on)
        if run.finished or not run.try_to_hold():
            continue
        # What cannot be read is not to be gone on with; nor is what another has just finished.
        with contextlib.suppress(InputError):
            if not run.finished and _begun_alike(run, config, begun_with):
                return run
        run.release()
    return None


def _newest_first(config: Config, trained_on: str) -> Iterator[Path]:
    """List the folders that `Run.new` has named for such a run."""
    label = re.escape(run_label(config, trained_on))
    named = re.compile(rf"(\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d)_{label}(?:_(\d+))?")
    found = []
    with contextlib.suppress(FileNotFoundError):
        for folder in (config.output_path / config.experiment).iterdir():
            if (match := named.fullmatch(folder.name)) and folder.is_dir():
                found.append((match[1], int(match[2] or 1), folder))
    return (folder for *_, folder in sorted(found, reverse=True))


def _begun_alike(run: Run, config: Config, begun_with: Mapping[str, str]) -> bool:
    if not run.settings.exists() and not run.checkpoint_last.exists():
        return True  # stopped before it had written anything
    if differing_settings(config, load_config(run.settings), but=_WITHOUT_EFFECT):
        return False
    if not run.checkpoint_last.exists():
        return True
    checkpoint = load_checkpoint(run.checkpoint_last)
    return checkpoint["trained_on"] == run.trained_on and checkpoint.get("begun_with") == begun_with


def begin_or_resume(
    trainer: Trainer,
    run: Run,
    config: Config,
    *,
    begun_with: Mapping[str, str],
    trained_with: TrainedWith,
) -> None:
    """Begin a run, or bring the trainers of a team to where it stopped; rank 0 calls it.

    Parameters
    ----------
    trainer : Trainer
        Its team's others call `follow`.
    run : Run
    config : Config
    begun_with : mapping
        Digests of what the trainer is about to be trained on, as `Run.begun_with`.
    trained_with : TrainedWith
        The networks that this came from.

    Raises
    ------
    InputError
        If the run was begun with other settings or data, or has nothing left to do.

    """
    run.trained_with = trained_with
    if not run.checkpoint_last.exists():
        run.begin(config, trainer.state_dict(), begun_with)
    checkpoint = load_checkpoint(run.checkpoint_last)
    begun = settings_in(checkpoint, run.checkpoint_last)
    if differing := differing_settings(config, begun, but=("training.epochs", *_WITHOUT_EFFECT)):
        raise InputError(
            f"{run.folder} was begun with other settings: {'; '.join(differing)}. Only "
            "training.epochs, training.device and wandb may change; start a new run for the rest."
        )
    run.begun_with = dict(checkpoint.get("begun_with", begun_with))  # older ones have none
    # The weights are those of the run, wherever they came from.
    if others := [
        name
        for name, digest in begun_with.items()
        if name != INITIAL_WEIGHTS and run.begun_with.get(name) != digest
    ]:
        raise InputError(
            f"{run.folder} was begun with other data: {', '.join(others)}. Bring back the files "
            "that it was trained on, or start a new run."
        )
    load_into(trainer, checkpoint.get("trainer"), run.checkpoint_last)
    done = len(trainer.history)
    if run.finished and done >= config.training.epochs:
        raise InputError(
            f"{run.folder} is complete: {done} epochs, and its test scores are in metrics.json. To "
            "train on, give more epochs: --set training.epochs=N."
        )
    trainer.team.broadcast(checkpoint["trainer"])


def follow(trainer: Trainer) -> None:
    """Bring the trainer of a rank other than 0 to where rank 0 begins or resumes."""
    load_into(trainer, trainer.team.broadcast(), "the checkpoint of rank 0")


def load_initial(model: torch.nn.Module, config: Config, *, trained_with: TrainedWith) -> None:
    """Start from the weights that training.init_checkpoint names, if it names any.

    The tag texts and their ratio may be others than those that the weights were trained with.

    Parameters
    ----------
    model : nn.Module
    config : Config
    trained_with : TrainedWith
        The networks that the vectors to be trained on came from.

    Raises
    ------
    InputError
        If the weights are for other networks or settings, or do not fit the model.

    """
    path = config.training.init_checkpoint
    if path is None:
        return
    checkpoint = load_checkpoint(path)
    trained = settings_in(checkpoint, path)
    if differing := differing_settings(config, trained, only=_WEIGHT_SETTINGS):
        raise InputError(
            f"training.init_checkpoint: {path} was trained with other settings: "
            f"{'; '.join(differing)}. Train from it with its own, or give another."
        )
    vectors = f"the data in {config.train_data.input_path}"
    before = TrainedWith.from_plain(checkpoint["trained_with"], path)
    before.require(trained_with, model=path, source=vectors)
    weights = dict(weights_of(checkpoint) or {})
    weights.pop("tag_table", None)
    load_into(model, {**weights, **dict(model.named_buffers())}, path)
