"""A trained model to search with: a checkpoint, a run folder, or an exported model folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from models.dual_encoder import DualEncoder
from utils.checkpoints import model_folder
from utils.checkpoints.checkpoint import load_checkpoint, load_into, weights_of
from utils.checkpoints.provenance import TrainedWith
from utils.runtime.errors import InputError
from utils.settings.config import Config
from utils.settings.loading import parse_config


@dataclass(frozen=True)
class TrainedModel:
    """A dual encoder, and the settings that say which networks go before it.

    Attributes
    ----------
    network : nn.Module
    config : Config
    source : Path
        Where it was read.
    trained_with : TrainedWith
        As far as the model tells.

    """

    network: nn.Module
    config: Config
    source: Path
    trained_with: TrainedWith

    def require_networks(self, *, passt: Mapping[str, Any]) -> None:
        """Refuse to embed sounds and texts with other networks than the model was trained with.

        Parameters
        ----------
        passt : mapping
            Of the PaSST at hand, in the words of vector files.

        Raises
        ------
        InputError
            If the model says what it needs, and that is another.

        """
        self.trained_with.require(
            TrainedWith.of(passt=passt),
            model=self.source,
            source="the PaSST that passt.arch and passt.weights name",
        )
        self.trained_with.require(
            TrainedWith.of(sentence_model={"weights_sha256": self.config.sentence_model.sha256}),
            model=self.source,
            source="sentence_model in the settings",
        )


def open_model(
    path: Path,
    *,
    here: Config,
    overrides: Sequence[str],
) -> TrainedModel:
    """Read a trained model.

    Parameters
    ----------
    path : Path
        A checkpoint, the folder of a run, or a model folder.
    here : Config
        The settings at hand: a model folder names no files of this machine.
    overrides : sequence of str
        ``key=value`` settings, over those that a checkpoint was trained with.

    Raises
    ------
    InputError
        If it is none of these, damaged, or of another version.

    """
    if (path / model_folder.SUMS).is_file():
        loaded = model_folder.load_exported(path)
        arch = loaded.config.passt.model or here.passt.arch
        config = replace(here, model=loaded.config.model, passt=replace(here.passt, arch=arch))
        network = loaded.build()
        return TrainedModel(network, config, path, loaded.config.trained_with)
    if path.is_dir():
        path = path / "checkpoint_best.pt"
    checkpoint = load_checkpoint(path)
    state = weights_of(checkpoint)
    if not state or "audio_projection.weight" not in state or "settings" not in checkpoint:
        raise InputError(f"{path} holds no trained model. Give a checkpoint of main.py.")
    config = parse_config(checkpoint["settings"], overrides, base=Path.cwd(), source=str(path))
    text_size, audio_size = state["audio_projection.weight"].shape
    network = DualEncoder(
        audio_size=audio_size,
        text_size=text_size,
        tag_table=state.get("tag_table"),
        ratio=config.model.ratio_embed1,
        text_projection=config.model.text_projection,
    )
    load_into(network, state, path)
    trained_with = TrainedWith.from_plain(checkpoint["trained_with"], path)
    return TrainedModel(network.eval(), config, path, trained_with)


def newest_run(config: Config) -> Path:
    """Find the newest finished run of an experiment.

    Raises
    ------
    InputError
        If there is none.

    """
    folder = config.output_path / config.experiment
    finished = sorted(path.parent for path in folder.glob("*/metrics.json"))
    if not finished:
        raise InputError(
            f"no finished run in {folder}. Train first (`make demo`, or python main.py), or name a "
            "model with --model."
        )
    return finished[-1]
