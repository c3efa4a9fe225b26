"""Beginning a run, resuming one, and starting from the weights of another."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from utils.checkpoints.checkpoint import load_checkpoint, load_into
from utils.checkpoints.provenance import TrainedWith
from utils.runs.data import INITIAL_WEIGHTS
from utils.runs.run_folder import Run, run_label
from utils.runtime import terminal
from utils.runtime.errors import InputError, UnreadableError
from utils.settings.config import Config, differing_settings
from utils.settings.loading import load_config
from utils.settings.relocation import relocated
from utils.training.trainer import Trainer

# Settings that decide the shapes and the meaning of a model's weights.
_WEIGHT_SETTINGS = (
    "model.audio_features",
    "model.text_projection",
    "passt.arch",
    "sentence_model.sha256",
)
# Settings that change neither what is trained nor where it ends. Digests tell data apart, wherever
# they are.
_WITHOUT_EFFECT = (
    "train_data",
    "eval_data",
    "audiocaps",
    "castella",
    "clotho_moment",
    "passt.weights",
    "passt.batch_size",
    "sentence_model.path",
    "sentence_model.batch_size",
    "training.device",
    "wandb",
    "wandb_project",
    "wandb_entity",
    "wandb_mode",
    "output_path",
    "experiment",
    "results",
    "search",
)


def unfinished_run(
    config: Config,
    *,
    trained_on: str,
    begun_with: Mapping[str, str],
    note: Callable[[str], Any] = lambda text: None,
    kind: str = "",
) -> Run | None:
    """Find and hold the newest unfinished run that began alike and that no process holds.

    Parameters
    ----------
    begun_with : mapping
        Digests of what a new run will be trained on: `RunData.digests`.
    note : callable
        Called with a text about a run that may have begun alike and is not resumed.
    kind : str
        See `utils.runs.run_folder.run_label`.

    """
    for folder in _newest_first(run_label(config, trained_on, kind), config):
        run = Run(folder, config, trained_on=trained_on)
        if run.finished or not run.try_to_hold():
            continue
        try:
            # Another process may have finished it before this one held it.
            if not run.finished and _begun_alike(run, begun_with, note):
                return run
        except UnreadableError as error:
            note(f"does not resume {terminal.shown(folder)}: {error}")
        except InputError:  # its settings are not those of this version
            pass
        run.release()
    return None


def begin_or_resume(
    trainer: Trainer, run: Run, *, begun_with: Mapping[str, str], trained_with: TrainedWith
) -> None:
    """Write down how a run begins, or bring the trainer to where the run stopped.

    Parameters
    ----------
    trainer : Trainer
        Untrained.
    begun_with : mapping
        Digests of what the trainer will be trained on: `RunData.digests`.
    trained_with : TrainedWith
        The networks that this came from.

    Raises
    ------
    InputError
        If the run began with other settings or data, or has nothing left to do.

    """
    if not run.checkpoint_last.exists():
        run.save_origin(begun_with, trained_with)
        run.save_last(trainer.state_dict())
        return
    checkpoint = load_checkpoint(run.checkpoint_last)
    if differing := differing_settings(
        run.config, checkpoint.settings, but=("training.epochs", *_WITHOUT_EFFECT)
    ):
        raise InputError(
            f"{run.folder} began with other settings: {'; '.join(differing)}. Only "
            "training.epochs, training.device, wandb and the paths of the data may change; start a "
            "new run for the rest."
        )
    # Runs of older versions have their digests in the checkpoint, or none.
    begun = run.read_begun_with() or checkpoint.begun_with or begun_with
    # The weights are those of the run, wherever they came from.
    if others := [
        name
        for name, digest in begun_with.items()
        if name != INITIAL_WEIGHTS and begun.get(name) != digest
    ]:
        raise InputError(
            f"{run.folder} began with other data: {', '.join(others)}. Restore the files that it "
            "was trained on, or start a new run."
        )
    load_into(trainer, checkpoint.trainer, run.checkpoint_last)
    done = len(trainer.history)
    if run.finished and done >= run.config.training.epochs:
        raise InputError(
            f"{run.folder} is complete: {done} epochs, and its test scores are in metrics.json. To "
            "train further, set more epochs: --set training.epochs=N."
        )
    run.metrics.unlink(missing_ok=True)  # those are scores of fewer epochs
    run.save_origin(begun, trained_with)


def load_initial(model: torch.nn.Module, config: Config, *, trained_with: TrainedWith) -> None:
    """Start from the weights that training.init_checkpoint names, if it names any.

    The tag texts and their ratio may differ from those that the weights were trained with.
    `trained_with` names the networks that the vectors to train on came from.

    Raises
    ------
    InputError
        If the weights are for other networks or settings, or do not fit the model.

    """
    path = config.training.init_checkpoint
    if path is None:
        return
    checkpoint = load_checkpoint(path)
    if differing := differing_settings(config, checkpoint.settings, only=_WEIGHT_SETTINGS):
        raise InputError(
            f"training.init_checkpoint: {path} was trained with other settings: "
            f"{'; '.join(differing)}. Use the settings that it was trained with, or another "
            "checkpoint."
        )
    vectors = f"the data in {config.train_data.input_path}"
    checkpoint.trained_with.require(trained_with, model=path, source=vectors)
    weights = {
        name: tensor for name, tensor in checkpoint.best_weights().items() if name != "tag_table"
    }
    load_into(model, {**weights, **dict(model.named_buffers())}, path)


def _newest_first(label: str, config: Config) -> Iterator[Path]:
    """List the folders that `Run.new` has named so."""
    named = re.compile(rf"(\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d)_{re.escape(label)}(?:_(\d+))?")
    found = []
    with contextlib.suppress(FileNotFoundError):
        for folder in (config.output_path / config.experiment).iterdir():
            if (match := named.fullmatch(folder.name)) and folder.is_dir():
                found.append((match[1], int(match[2] or 1), folder))
    return (folder for *_, folder in sorted(found, reverse=True))


def _begun_alike(run: Run, begun_with: Mapping[str, str], note: Callable[[str], Any]) -> bool:
    """Whether a run began with the same settings and data, as far as it came."""
    if run.settings.exists() and differing_settings(
        run.config, relocated(load_config(run.settings), run.folder), but=_WITHOUT_EFFECT
    ):
        return False
    begun = run.read_begun_with()
    if begun is None and not run.checkpoint_last.exists():  # stopped before it wrote run.json
        return True
    if begun is None:  # of an older version, which kept the digests in its checkpoint, or none
        begun = load_checkpoint(run.checkpoint_last).begun_with
        if begun.keys() != begun_with.keys():
            note(
                f"{terminal.shown(run.folder)} is an unfinished run of an older version, which "
                "does not say what data it began with. To resume it: python main.py train "
                f"--resume {terminal.shown(run.folder)}"
            )
            return False
    return begun == begun_with
