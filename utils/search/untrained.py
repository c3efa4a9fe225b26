"""The model that needs no training: PaSST's tags and MPNet alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.tag_retrieval import TagRetrieval
from utils.checkpoints.provenance import TrainedWith
from utils.checkpoints.trained_model import TrainedModel
from utils.datasets import audioset
from utils.features.sentences import text_encoder
from utils.settings.config import Config, Model

TAGS = "tags"  # stands for this model where a path is asked for
_OFFICIAL = "passt_s_swa_p16_128_ap476"
_ONLY_THE_DEMO = (
    "This model's tagger only knows the demo's synthetic sounds. For real recordings use "
)
_INSTEAD = f"--model {TAGS}, or train with PaSST's own weights (see README.md)."
_INSTEAD_UNTRAINED = f"PaSST's own weights: --set passt.arch={_OFFICIAL}."


def open_untrained(config: Config, *, as_set: bool) -> TrainedModel:
    """Make the model, with the sentence vectors of the tags.

    The shipped conf.yaml names the demo's tagger, which knows synthetic sounds alone. So unless the
    settings are used `as_set`, the official PaSST takes its place.
    """
    passt = config.passt
    if passt.arch == "demo" and passt.weights is None and not as_set:
        passt = replace(passt, arch=_OFFICIAL)
    config = replace(config, passt=passt, model=Model(audioset_info="none"))
    texts = audioset.tag_texts(TagRetrieval.TEXTS, audioset.read_labels())
    network = TagRetrieval(torch.from_numpy(text_encoder(config)(texts)))
    return TrainedModel(network, config, Path(TAGS), TrainedWith(), "nothing")


def note_on_demo(model: TrainedModel) -> str:
    """Say what to use for real sounds, if the tagger knows the demo's alone; else nothing."""
    if model.config.passt.arch != "demo":
        return ""
    untrained = isinstance(model.network, TagRetrieval)
    return _ONLY_THE_DEMO + (_INSTEAD_UNTRAINED if untrained else _INSTEAD)


def names_the_tagger(settings: object, overrides: Sequence[str]) -> bool:
    """Whether the user has chosen the tagger: by settings of their own, or ``passt.arch=...``."""
    return settings is not None or any(
        override.partition("=")[0].strip() == "passt.arch" for override in overrides
    )
