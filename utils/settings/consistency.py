"""Settings that are valid by themselves and wrong together.

A contradiction is a pair: the keys that it is about, and what is wrong.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # parsing arguments needs no pydantic
    from utils.settings.config import Config

Contradiction = tuple[tuple[str, ...], str]


def destructive(config: Config) -> list[Contradiction]:
    """List settings under which one file would replace another, or nothing is left to train."""
    found = [*_shared_paths(config)]
    model = config.model
    if model.ratio_embed1 == 0 and model.audioset_info != "none" and not model.text_projection:
        keys = ("model.ratio_embed1", "model.audioset_info", "model.text_projection")
        found.append(
            (
                keys,
                "it is 0: a clip's embedding is its tag embedding, and nothing is left to train"
                " (every run scores tag embeddings alone anyway); set it above 0",
            )
        )
    return found


def contradictions(config: Config) -> list[Contradiction]:
    """List what `destructive` lists, and settings that would silently have no effect.

    In a sweep a setting may be meant for some of the runs; sweeps check `destructive` alone.
    """
    found = destructive(config)
    training = config.training
    if training.learnable_temperature and training.criterion != "InfoNCE":
        found.append(
            (
                ("training.learnable_temperature", "training.criterion"),
                f"it is True, but {training.criterion} has no temperature; set training.criterion "
                "to InfoNCE, or this to False",
            )
        )
    if training.criterion == "MixupTripletRankingLoss" and training.mixup_rate == 0:
        found.append(
            (
                ("training.mixup_rate", "training.criterion"),
                "it is 0, so MixupTripletRankingLoss mixes nothing; set it above 0, or set "
                "training.criterion to TripletRankingLoss",
            )
        )
    return found


def _shared_paths(config: Config) -> list[Contradiction]:
    """Find files, and folders of preprocessed data, that two settings name."""
    folders, files = {}, {}
    for section in ("train_data", "eval_data", "audiocaps"):
        of_section = getattr(config, section)
        folders[f"{section}.input_path"] = of_section.input_path
        files |= {f"{section}.{key}": path for key, path in of_section.vector_files.items()}
    files |= {
        "train_data.tag_embeddings": config.tag_embeddings,
        "train_data.excluded_clips": config.train_data.excluded_clips,
        "eval_data.captions_file": config.eval_data.captions_file,
        "passt.weights": config.passt.weights,
        "training.init_checkpoint": config.training.init_checkpoint,
    }
    return [
        *_at_one_place(folders, "one data set's preprocessed files would overwrite the other's"),
        *_at_one_place(files, "each would overwrite the other, or be read in its place"),
    ]


def _at_one_place(paths: dict[str, Path | None], consequence: str) -> list[Contradiction]:
    keys_of = defaultdict(list)
    for key, path in paths.items():
        if path is not None:
            keys_of[os.path.realpath(path)].append(key)
    return [
        (tuple(keys), f"it is the same as {' and '.join(keys[1:])} ({place}): {consequence}")
        for place, keys in keys_of.items()
        if len(keys) > 1
    ]
