"""Which split of which data set serves what, and the files that are read for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from utils.datasets.corpus import AUDIO, AUDIOCAPS, CLOTHO, SENTENCES, TAGS, TASK6B, Corpus, corpus
from utils.datasets.splits import CaptionSplit, without_clips
from utils.files.reading import read_text
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.needed_files import Needed

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import Config, Model


@dataclass(frozen=True)
class Plan:
    """Which split of which data set serves what, each as (subset, split)."""

    training: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]


# By the data that is trained on. Pretraining is for Clotho, so Clotho's validation split chooses
# the epoch; Clotho's test split is not used.
PLANS = {
    CLOTHO: Plan((CLOTHO, "development"), (CLOTHO, "validation"), (CLOTHO, "evaluation")),
    AUDIOCAPS: Plan((AUDIOCAPS, "train"), (CLOTHO, "validation"), (AUDIOCAPS, "test")),
}


def needed_vectors(model: Model, *, sentences: bool = True) -> list[str]:
    """Name the vector files that a model needs: captions (if `sentences`), logits, scene, tags."""
    with_tags = model.audioset_info != "none"
    needed = {
        "captions": sentences,
        "logits": with_tags or model.audio_features != "scene",
        "scene": model.audio_features != "logits",
        "tags": with_tags,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def needed_files(
    config: Config, of: Corpus, splits: Sequence[str], *, sentences: bool = True
) -> list[Needed]:
    """List the files that splits of a data set, and their vectors, are read from.

    Without `sentences`, the vectors of captions are not needed.
    """
    files, section = of.files, of.section
    vectors = {
        "captions": (f"{section}.caption_embeddings", files.caption_embeddings, SENTENCES),
        "logits": (f"{section}.audio_logits", files.audio_logits, AUDIO),
        "scene": (f"{section}.audio_scene", files.audio_scene, AUDIO),
        "tags": ("train_data.tag_embeddings", config.tag_embeddings, TAGS),
    }
    needed = of.needed_captions(splits)
    for key, path, kind in (
        vectors[name] for name in needed_vectors(config.model, sentences=sentences)
    ):
        needed.append((key, path, of.advice(kind)))
    if of.subset != TASK6B and not all(is_test(of, split) for split in splits):
        listed = config.train_data.excluded_clips
        advice = "Run scripts/audit_leakage.py, which writes such a list, or set it to null."
        needed.append(("train_data.excluded_clips", listed, advice))
    return needed


def files_of_run(config: Config, plan: Plan, *, begins: bool) -> list[Needed]:
    """List the files that a run reads; only one that `begins` starts from other weights."""
    splits: dict[str, list[str]] = {}
    for subset, split in (plan.training, plan.validation, plan.test):
        splits.setdefault(subset, []).append(split)
    needed = [
        file
        for subset, names in splits.items()
        for file in needed_files(config, corpus(config, subset), names)
    ]
    if begins:
        advice = "Name a checkpoint of a run, or set it to null."
        needed.append(("training.init_checkpoint", config.training.init_checkpoint, advice))
    return needed


def data_settings(config: Config) -> Config:
    """Keep the settings that the data of a run depends on: runs that share them share the data."""
    from utils.settings.config import Model, Training

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


def is_test(of: Corpus, split: str) -> bool:
    """Whether this is a test split: those are never changed, so that scores stay comparable."""
    return (of.subset, split) in {plan.test for plan in PLANS.values()}


def load_split(config: Config, of: Corpus, name: str, summary: terminal.Summary) -> CaptionSplit:
    """Read the captions of a split, without the excluded clips unless it is a test split."""
    summary.reads(of.captions_file(name))
    split = of.load(name)
    listed = config.train_data.excluded_clips
    if listed is not None and not is_test(of, name):
        summary.reads(listed)
        split = without_clips(split, set(read_text(listed).split("\n")))
    return split


def load_split_to_score(
    config: Config, subset: str, name: str, summary: terminal.Summary
) -> CaptionSplit:
    """Read the captions of a split that the user has chosen.

    Raises
    ------
    InputError
        If the data set has no such split, or the split no captions.

    """
    of = corpus(config, subset)
    if name not in of.splits:
        raise InputError(
            f"--split {name}: {subset} has the splits {', '.join(of.splits)}. Name one."
        )
    split = load_split(config, of, name, summary)
    if not split.captions:
        raise InputError(
            f"the {name} split in {of.files.input_path} has no captions: nothing can be scored."
        )
    return split
