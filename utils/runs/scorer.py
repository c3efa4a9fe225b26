"""Score a checkpoint's model on a split, or a table of results of whatever system.

Shapes: N queries, C clips, D dimension of a sentence vector.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.checkpoints.checkpoint import load_checkpoint, load_into, settings_of, weights_of
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import corpus
from utils.datasets.splits import CaptionSplit, QuerySplit
from utils.evaluation.ranking import best_clips, score_matrix
from utils.features.pairs import Pairs
from utils.runs.data import load_clips, load_inputs, load_pairs, load_split
from utils.runs.model_inputs import Inputs, build_model
from utils.runs.plans import PLANS, needed_files
from utils.runtime import terminal
from utils.runtime.devices import choose_device
from utils.runtime.errors import InputError
from utils.settings.config import Config
from utils.settings.needed_files import require_files


@dataclass(frozen=True)
class Scorer:
    """A trained model, and the vector files of the data set that it scores.

    Attributes
    ----------
    model : nn.Module
    inputs : Inputs
    config : Config
        The settings of its training, as changed for scoring.
    trained_on : str
        The plan of `utils.runs.data`.

    """

    model: nn.Module
    inputs: Inputs
    config: Config
    trained_on: str

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def pairs(self, split: CaptionSplit) -> Pairs:
        """Line up the vectors of a split where the model is."""
        return load_pairs(split, self.inputs, self._device)

    @torch.inference_mode()
    def scores(self, clips: QuerySplit, queries: Tensor) -> NDArray[np.float32]:
        """Score each clip of a split for each query: sentence vectors (N, D) ─► (N, C)."""
        features, _, tags = load_clips(clips, self.inputs, self._device)
        audio = self.model.encode_audio(features, tags)
        text = self.model.encode_text(queries.to(self._device))
        return score_matrix(audio, text)

    def find(self, clips: QuerySplit, queries: NDArray[np.float32]) -> list[list[str]]:
        """Name the best clips of a split for each query: sentence vectors (N, D) ─► N lists."""
        best = best_clips(self.scores(clips, torch.from_numpy(queries)))
        return [[clips.clip_names[clip] for clip in row] for row in best]


def load_scorer(
    path: Path,
    *,
    changed: Callable[[Config], Config],
    subset: str | None,
    split: str | None,
    summary: terminal.Summary,
) -> Scorer:
    """Read a checkpoint's model, and the vector files of a data set.

    Parameters
    ----------
    path : Path
        A checkpoint of a run.
    changed : callable
        See `utils.checkpoints.checkpoint.settings_of`.
    subset : {'clotho', 'audiocaps', 'task6b'} or None
        None for the data set that the model was trained on.
    split : str or None
        Whose captions are to be read afterwards.
    summary : cli.Summary
        Told what is read.

    Raises
    ------
    InputError
        If a file is missing, the checkpoint has no trained weights, or they do not fit the settings
        or the vector files.

    """
    checkpoint = load_checkpoint(path)
    summary.reads(path)
    trained_on = checkpoint["trained_on"]
    config = settings_of(checkpoint, path, changed=changed)
    of = corpus(config, subset or PLANS[trained_on].training[0])
    require_files(needed_files(config, of, [split] if split in of.splits else []))
    inputs = load_inputs(config, of, summary)
    vectors = f"the data in {of.files.input_path}"
    trained_with = TrainedWith.from_plain(checkpoint["trained_with"], path)
    trained_with.require(inputs.made_with, model=path, source=vectors)
    model = build_model(config.model, inputs, seed=0)
    load_into(model, weights_of(checkpoint), path)
    model = model.to(choose_device(config.training.device)).eval()
    return Scorer(model, inputs, config, trained_on)


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
