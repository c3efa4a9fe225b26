"""Settings that are valid by themselves and wrong together.

A contradiction is a pair: the keys that it is about, and what is wrong.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # parsing arguments needs no pydantic
    from utils.settings.config import Config

Contradiction = tuple[tuple[str, ...], str]


def destructive(config: Config) -> Iterator[Contradiction]:
    """List settings under which one file would replace another, or nothing is left to train."""
    yield from _shared_paths(config)
    model = config.model
    if model.ratio_embed1 == 0 and model.audioset_info != "none" and not model.text_projection:
        yield (
            ("model.ratio_embed1", "model.audioset_info", "model.text_projection"),
            "it is 0: a clip's embedding is its tag embedding, and nothing is left to train"
            " (every run scores tag embeddings alone anyway); set it above 0",
        )


def contradictions(config: Config) -> Iterator[Contradiction]:
    """List what `destructive` lists, and settings that would silently have no effect.

    In a sweep a setting may be meant for some of the runs; sweeps check `destructive` alone.
    """
    yield from destructive(config)
    model, training = config.model, config.training
    if model.tag_embedding != "plain" and model.audioset_info == "none":
        yield (
            ("model.tag_embedding", "model.audioset_info"),
            f"it is {model.tag_embedding}, but model.audioset_info is none, so there are no tag "
            "vectors; set it to plain, or name tag texts",
        )
    if training.learnable_temperature and training.criterion != "InfoNCE":
        yield (
            ("training.learnable_temperature", "training.criterion"),
            f"it is True, but {training.criterion} has no temperature; set training.criterion to "
            "InfoNCE, or this to False",
        )
    if training.criterion == "MixupTripletRankingLoss" and training.mixup_rate == 0:
        yield (
            ("training.mixup_rate", "training.criterion"),
            "it is 0, so MixupTripletRankingLoss mixes nothing; set it above 0, or set "
            "training.criterion to TripletRankingLoss",
        )


def _shared_paths(config: Config) -> Iterator[Contradiction]:
    """Find files, and folders of preprocessed data, that two settings name."""
    folders, files = {}, {}
    for name in ("train_data", "eval_data", "audiocaps", "castella", "clotho_moment"):
        section = getattr(config, name)
        folders[f"{name}.input_path"] = section.input_path
        files |= {f"{name}.{key}": path for key, path in section.vector_files.items()}
    files |= {
        "train_data.tag_embeddings": config.tag_embeddings,
        "train_data.excluded_clips": config.train_data.excluded_clips,
        "eval_data.captions_file": config.eval_data.captions_file,
        "passt.weights": config.passt.weights,
        "training.init_checkpoint": config.training.init_checkpoint,
    }
    for paths, consequence in (
        (folders, "one data set's preprocessed files would overwrite the other's"),
        (files, "each would overwrite the other, or be read in its place"),
    ):
        keys_of: dict[str, list[str]] = defaultdict(list)
        for key, path in paths.items():
            if path is not None:
                keys_of[os.path.realpath(path)].append(key)
        for place, (key, *others) in keys_of.items():
            if others:
                text = f"it is the same as {' and '.join(others)} ({place}): {consequence}"
                yield (key, *others), text
