"""What a run trains on, chooses its epoch by, and is scored on.

Shapes: C clips, K AudioSet classes, D dimension of the shared space.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from utils import cli
from utils.config import Config, Model, Training
from utils.corpora import AUDIOCAPS, CLOTHO, Corpus, corpus
from utils.datasets import CaptionSplit, QuerySplit, without_clips
from utils.errors import InputError
from utils.files import read_text
from utils.inputs import Inputs, read_inputs, require_one_source
from utils.pairs import Pairs

TagEmbedding = Callable[[Tensor, Tensor], Tensor]  # (C, K), (K, D) ─► (C, D)


@dataclass(frozen=True)
class Plan:
    """Which split of which data set serves what, each as (subset, split)."""

    training: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]


# By the data that is trained on. Pretraining is for Clotho, so Clotho's validation chooses its
# epoch; Clotho's test split is none of its business.
PLANS = {
    CLOTHO: Plan((CLOTHO, "development"), (CLOTHO, "validation"), (CLOTHO, "evaluation")),
    AUDIOCAPS: Plan((AUDIOCAPS, "train"), (CLOTHO, "validation"), (AUDIOCAPS, "test")),
}


@dataclass(frozen=True)
class Part:
    """The captions and clips of a split, as text and as tensors on the device."""

    split: CaptionSplit
    pairs: Pairs


@dataclass(frozen=True)
class Data:
    """All that a run reads.

    Attributes
    ----------
    training, validation : Part
    test : Part or None
        None where the data set came without these clips.
    inputs : Inputs
        The vector files of the data that is trained on.

    """

    training: Part
    validation: Part
    test: Part | None
    inputs: Inputs

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.training.pairs.features.device


def load_data(
    config: Config,
    plan: Plan,
    *,
    device: torch.device,
    tag_embedding: TagEmbedding,
    summary: cli.Summary,
) -> Data:
    """Read the splits of a plan and line up their vectors on the device.

    Parameters
    ----------
    config : Config
    plan : Plan
    device : torch.device
    tag_embedding : callable
        AudioSet logits (C, K), tag texts (K, D) ─► tag embeddings (C, D).
    summary : cli.Summary
        Told what is read.

    Raises
    ------
    InputError
        If a file is missing or does not fit, or a split to train or validate on has no captions.

    """
    corpora = {
        subset: corpus(config, subset) for subset, _ in (plan.training, plan.validation, plan.test)
    }
    inputs = {subset: load_inputs(config, of, summary) for subset, of in corpora.items()}
    require_one_source(list(inputs.values()))

    def part(subset: str, split_name: str) -> Part | None:
        split = load_split(config, corpora[subset], split_name, summary)
        if not split.captions:
            return None
        return Part(split, load_pairs(split, inputs[subset], tag_embedding, device))

    training, validation = part(*plan.training), part(*plan.validation)
    for found, (subset, split) in ((training, plan.training), (validation, plan.validation)):
        if found is None:
            raise InputError(
                f"the {split} split in {corpora[subset].files.input_path} has no captions. Put its "
                "sound files in place and run scripts/01_preprocess.py again."
            )
    return Data(training, validation, part(*plan.test), inputs[plan.training[0]])


def describe_data(config: Config, plan: Plan, data: Data) -> dict[str, dict[str, Any]]:
    """Say what a run is trained on and chooses its epoch by: splits, counts, synthetic or not."""
    parts = {
        "training": (plan.training, data.training),
        "validation": (plan.validation, data.validation),
    }
    return {
        role: {
            "subset": subset,
            "split": split,
            "captions": len(part.split.captions),
            "clips": len(part.split.clip_names),
            "note": corpus(config, subset).synthetic_note,
        }
        for role, ((subset, split), part) in parts.items()
    }


def data_settings(config: Config) -> Config:
    """Keep the settings that `load_data` depends on, for telling whether data can be used again."""
    defaults = Model()
    return replace(
        config,
        seed=0,
        training=Training(device=config.training.device),
        model=replace(
            config.model,
            ratio_embed1=defaults.ratio_embed1,
            text_projection=defaults.text_projection,
        ),
    )


def load_split(config: Config, of: Corpus, name: str, summary: cli.Summary) -> CaptionSplit:
    """Read the captions of a split; clips to leave out are left out of all but the test splits."""
    summary.reads(of.captions_file(name))
    split = of.load(name)
    listed = config.train_data.excluded_clips
    # Scores stay comparable: the test splits are untouched.
    if listed is not None and (of.subset, name) not in {plan.test for plan in PLANS.values()}:
        summary.reads(listed)
        split = without_clips(split, set(read_text(listed).split("\n")))
    return split


def load_inputs(config: Config, of: Corpus, summary: cli.Summary) -> Inputs:
    """Read the vector files of a data set that the model needs."""
    inputs = read_inputs(
        captions=of.files.caption_embeddings,
        logits=of.files.audio_logits,
        scene=of.files.audio_scene,
        tags=config.tag_embeddings,
        audio_features=config.model.audio_features,
        audioset_info=config.model.audioset_info,
        arch=config.passt.arch,
        sentence_model_sha256=config.sentence_model.sha256,
        audio_script=of.audio_script,
        caption_script=of.caption_script,
    )
    summary.reads(*inputs.files)
    return inputs


def load_clips(
    split: QuerySplit, inputs: Inputs, tag_embedding: TagEmbedding, device: torch.device
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Line up features, logits and tag embeddings of the clips of a split."""
    logits, table = inputs.clip_logits(split), inputs.tag_table()
    tags = None
    if logits is not None:
        logits = logits.to(device)
        tags = tag_embedding(logits, table.to(device))
    return inputs.clip_features(split).to(device), logits, tags


def load_pairs(
    split: CaptionSplit, inputs: Inputs, tag_embedding: TagEmbedding, device: torch.device
) -> Pairs:
    """Line up the vectors of a split, tag embeddings computed once."""
    features, logits, tags = load_clips(split, inputs, tag_embedding, device)
    return Pairs(
        features=features,
        logits=logits,
        tags=tags,
        sentences=inputs.sentences(split).to(device),
        clips=torch.from_numpy(split.clip_of_caption).to(device),
    )
