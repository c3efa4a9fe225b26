"""A trained model to use: a checkpoint, a run folder, or an exported model folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from models.architectures import ARCHITECTURES
from models.dual_encoder import DualEncoder
from utils.checkpoints import model_folder
from utils.checkpoints.checkpoint import find_checkpoint, load_checkpoint
from utils.checkpoints.provenance import TrainedWith
from utils.runtime.errors import InputError
from utils.settings.config import Config, SentenceModel, to_plain
from utils.settings.loading import parse_config


@dataclass(frozen=True)
class TrainedModel:
    """A dual encoder, and the settings that name the networks before it.

    Attributes
    ----------
    config : Config
        What belongs to the model is as it was trained; paths, device, precision and batch sizes
        are those of this machine.
    source : Path
        Where it was read.
    trained_with : TrainedWith
        As far as it is recorded.
    trained_on : {'clotho', 'audiocaps', 'nothing'}
        The plan of `utils.runs.plans`.
    settings : Config or None
        Those of its training; a model folder does not record them.

    """

    network: nn.Module
    config: Config
    source: Path
    trained_with: TrainedWith
    trained_on: str
    settings: Config | None = None

    @property
    def own_networks(self) -> dict[str, Path]:
        """The files of networks that were trained with it, by their names in a model folder."""
        passt, text = self.config.passt, self.config.sentence_model
        own: dict[str, Path] = {}
        published = ARCHITECTURES[passt.arch].weights_sha256
        if passt.weights and self.trained_with.passt.weights_sha256 not in (None, published):
            own[model_folder.PASST] = passt.weights
        if text.sha256 != SentenceModel().sha256:
            files = (path for path in sorted(text.path.iterdir()) if path.is_file())
            own |= {f"{model_folder.SENTENCE_MODEL}/{path.name}": path for path in files}
        return own

    @property
    def exported_config(self) -> model_folder.ExportedConfig:
        """What config.json of a model folder says about the model."""
        text_size, audio_size = self.network.audio_projection.weight.shape
        return model_folder.ExportedConfig(
            format=model_folder.WITH_NETWORKS if self.own_networks else model_folder.FORMAT,
            audio_size=audio_size,
            text_size=text_size,
            model=self.config.model,
            passt=self.trained_with.passt,
            sentence_model=self.trained_with.sentence_model,
            trained_on=self.trained_on,
        )

    def require_networks(self, *, passt: Mapping[str, Any]) -> None:
        """Refuse to embed sounds and texts with other networks than the model was trained with.

        `passt` describes the PaSST in use as vector files do.
        """
        sentence_model = {"weights_sha256": self.config.sentence_model.sha256}
        self.trained_with.require(
            TrainedWith.of(passt=passt, sentence_model=sentence_model),
            model=self.source,
            source="the passt or sentence_model in the settings",
        )


def open_model(path: Path, *, here: Config, overrides: Sequence[str] = ()) -> TrainedModel:
    """Read a trained model.

    Parameters
    ----------
    path : Path
        A checkpoint, the folder of a run, or a model folder.
    here : Config
        The settings of this machine, overrides included.
    overrides : sequence of str
        ``key=value`` settings, which may not change those that a model depends on.

    Raises
    ------
    InputError
        If it is none of these, damaged, of another version, or the overrides change the model.

    """
    if (path / model_folder.SUMS).is_file():
        loaded = model_folder.load_exported(path)
        described = loaded.config
        arch = described.passt.model or here.passt.arch
        passt, text = replace(here.passt, arch=arch), here.sentence_model
        if loaded.passt:
            passt = replace(passt, weights=loaded.passt)
        if loaded.sentence_model:
            checksum = described.sentence_model.weights_sha256
            text = replace(text, path=loaded.sentence_model, sha256=checksum)
        config = replace(here, model=described.model, passt=passt, sentence_model=text)
        return TrainedModel(
            loaded.build(), config, path, described.trained_with, described.trained_on
        )
    if path.is_dir():
        path = find_checkpoint(path, "best")
    checkpoint = load_checkpoint(path)
    settings = parse_config(
        to_plain(checkpoint.settings), overrides, base=Path.cwd(), source=str(path)
    )
    checkpoint.require_settings(settings, path, only=["model", "passt.arch"])
    try:
        network = DualEncoder.from_state(
            checkpoint.best_weights(), ratio=settings.model.ratio_embed1
        )
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"the weights in {path} are not those of a model: {error}") from None
    return TrainedModel(
        network,
        _on_this_machine(settings, here),
        path,
        checkpoint.trained_with,
        checkpoint.trained_on,
        settings,
    )


def _on_this_machine(trained: Config, here: Config) -> Config:
    """Take what a model depends on from the settings of its training, and the rest from here."""
    passt, sentence_model = here.passt, here.sentence_model
    # The user's own weights are part of the model; they may be elsewhere on this machine.
    weights = trained.passt.weights
    if not (weights and weights.is_file()):
        weights = passt.weights if passt.arch == trained.passt.arch else None
    if sentence_model.sha256 != trained.sentence_model.sha256:
        sentence_model = replace(trained.sentence_model, batch_size=sentence_model.batch_size)
    return replace(
        here,
        model=trained.model,
        passt=replace(passt, arch=trained.passt.arch, weights=weights),
        sentence_model=sentence_model,
    )


def newest_run(config: Config) -> Path:
    """Find the newest finished run of an experiment; raise an InputError if there is none."""
    folder = config.output_path / config.experiment
    finished = sorted(path.parent for path in folder.glob("*/metrics.json"))
    if not finished:
        raise InputError(
            f"no finished run in {folder}. Search with --model tags, which needs no training (for "
            "real sounds; downloads PaSST's weights once, 330 MB), train first (`make demo`, or "
            "python main.py), or name a model with --model."
        )
    return finished[-1]
