"""Score a checkpoint's model, or the untrained one, on a split.

Shapes: N queries, C clips, D dimension of a sentence vector.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.architectures import CLASSES
from models.tag_retrieval import TagRetrieval
from utils.checkpoints.checkpoint import load_checkpoint, load_into
from utils.datasets import audioset
from utils.datasets.corpus import corpus
from utils.datasets.splits import CaptionSplit, QuerySplit
from utils.evaluation.metrics import CUTOFF
from utils.evaluation.ranking import best_clips, score_matrix
from utils.features.pairs import Pairs
from utils.features.sentences import text_encoder
from utils.runs.data import load_clips, load_pairs
from utils.runs.model_inputs import Inputs, build_model, read_inputs
from utils.runs.plans import needed_files
from utils.runtime import terminal
from utils.runtime.devices import choose_device
from utils.settings.config import Config, Model
from utils.settings.needed_files import require_files

# Settings that the weights were trained for.
_FIXED = ("model", "passt.arch", "sentence_model.sha256")


@dataclass(frozen=True)
class Scorer:
    """A model, and the vector files of the data set that it scores.

    The `config` of a trained one holds the settings of its training, as changed for scoring.
    """

    model: nn.Module
    inputs: Inputs
    config: Config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(iter(self.model.state_dict().values())).device

    def pairs(self, split: CaptionSplit) -> Pairs:
        """Line up the vectors of a split on the model's device."""
        return load_pairs(split, self.inputs, self.device)

    @torch.inference_mode()
    def embed(self, rows: Tensor) -> Tensor:
        """Embed outputs of PaSST, logits and scene embeddings side by side: unit vectors (N, D)."""
        logits, scene = rows.to(self.device).split([CLASSES, rows.shape[1] - CLASSES], dim=1)
        of = {"logits": logits, "scene": scene, "both": rows.to(self.device)}
        features = of[self.config.model.audio_features]
        return self.model.encode_audio(features, self.model.embed_tags(logits)).cpu()

    @torch.inference_mode()
    def scores(self, clips: QuerySplit, queries: Tensor) -> NDArray[np.float32]:
        """Score each clip of a split for each query: sentence vectors (N, D) ─► (N, C)."""
        features, _, tags = load_clips(clips, self.inputs, self.device)
        audio = self.model.encode_audio(features, tags)
        text = self.model.encode_text(queries.to(self.device))
        return score_matrix(audio, text)

    def find(
        self, clips: QuerySplit, queries: NDArray[np.float32], *, top: int = CUTOFF
    ) -> list[list[str]]:
        """Name the best clips of a split for each query: sentence vectors (N, D) ─► N lists."""
        best = best_clips(self.scores(clips, torch.from_numpy(queries)), top=top)
        return [[clips.clip_names[clip] for clip in row] for row in best]


def load_scorer(
    path: Path,
    *,
    changed: Callable[[Config], Config],
    subset: str,
    split: str,
    sentences: bool = True,
    summary: terminal.Summary,
) -> Scorer:
    """Read a checkpoint's model, and the vector files of a data set.

    Parameters
    ----------
    changed : callable
        Settings of the training ─► settings that name, for example, other files.
    subset : {'clotho', 'audiocaps', 'task6b'}
    split : str
        Whose captions will be scored.
    sentences : bool
        Whether the vectors of the captions are needed; other texts may be scored.

    Raises
    ------
    InputError
        If a file is missing, the checkpoint has no trained weights, or they do not fit the settings
        or the vector files.

    """
    checkpoint = load_checkpoint(path)
    summary.reads(path)
    config = changed(checkpoint.settings)
    checkpoint.require_settings(config, path, only=_FIXED)
    inputs = _read(config, subset, split, sentences, summary)
    vectors = f"the data in {inputs.of.files.input_path}"
    checkpoint.trained_with.require(inputs.made_with, model=path, source=vectors)
    weights = checkpoint.best_weights()
    text_size = None if sentences else len(weights.get("audio_projection.bias", ()))
    model = build_model(config.model, inputs, seed=0, text_size=text_size)
    load_into(model, weights, path)
    model = model.to(choose_device(config.training.device)).eval()
    return Scorer(model, inputs, config)


def untrained_scorer(
    config: Config,
    *,
    subset: str,
    split: str,
    sentences: bool = True,
    summary: terminal.Summary,
) -> Scorer:
    """Read the vector files of a data set for the model that needs no training.

    Parameters and errors are those of `load_scorer`.
    """
    config = replace(config, model=Model(audioset_info="none"))  # it reads the logits alone
    inputs = _read(config, subset, split, sentences, summary)
    texts = audioset.tag_texts(TagRetrieval.TEXTS, audioset.read_labels())
    model = TagRetrieval(torch.from_numpy(text_encoder(config)(texts)))
    return Scorer(model.to(choose_device(config.training.device)).eval(), inputs, config)


def _read(
    config: Config, subset: str, split: str, sentences: bool, summary: terminal.Summary
) -> Inputs:
    of = corpus(config, subset)
    splits = [split] if split in of.splits else []
    require_files(needed_files(config, of, splits, sentences=sentences))
    return read_inputs(config, of, summary, sentences=sentences)
