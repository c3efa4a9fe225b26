"""Which split of which data set serves what, and the files that a run of it needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from utils.datasets.corpus import AUDIOCAPS, CLOTHO, TASK6B, Corpus, corpus
from utils.runs.model_inputs import (
    TAG_SCRIPT,
    needed_vectors,
)
from utils.settings.config import Config, Model, Training
from utils.settings.needed_files import Needed


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


def needed_files(config: Config, of: Corpus, splits: Sequence[str]) -> list[Needed]:
    """List the files that splits of a data set, and their vectors, are read from."""
    scripts = {
        "audio_logits": of.audio_script,
        "audio_scene": of.audio_script,
        "caption_embeddings": of.caption_script,
    }
    names = {"logits": "audio_logits", "scene": "audio_scene", "captions": "caption_embeddings"}
    needed = of.needed_captions(splits)
    for kind in needed_vectors(config.model.audio_features, config.model.audioset_info):
        if kind == "tags":
            key, path, script = "train_data.tag_embeddings", config.tag_embeddings, TAG_SCRIPT
        else:
            name = names[kind]
            key, path, script = f"{of.section}.{name}", getattr(of.files, name), scripts[name]
        needed.append((key, path, f"Run {script}, which writes it."))
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
        advice = "Give a checkpoint of a run, or set it to null."
        needed.append(("training.init_checkpoint", config.training.init_checkpoint, advice))
    return needed


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


def is_test(of: Corpus, split: str) -> bool:
    """Tell the test splits, which stay as they are, so that scores stay comparable."""
    return (of.subset, split) in {plan.test for plan in PLANS.values()}
