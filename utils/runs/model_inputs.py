"""The vector files of a data set, checked against the settings and lined up with its captions.

Shapes: C clips and P captions of a split, F audio numbers, K AudioSet classes, D text dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.dual_encoder import DualEncoder
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.splits import QuerySplit, Split, without_clips
from utils.features.vector_file import (
    CAPTIONS,
    LOGITS,
    SCENE,
    VectorFile,
    read_vectors,
    require,
    select,
    tags_of,
)
from utils.runtime.errors import InputError
from utils.settings.config import Model

TAG_SCRIPT = "scripts/06_audioset_tag_embeddings.py"


@dataclass(frozen=True)
class Inputs:
    """The vector files that a model needs; those it does not need are None.

    Attributes
    ----------
    captions : VectorFile
        Sentence vectors, D numbers each.
    projected : tuple of VectorFile
        What the audio branch projects, concatenated: logits, scene embeddings, or both.
    logits : VectorFile or None
        AudioSet logits for the tag embedding, K numbers each.
    tags : VectorFile or None
        Sentence vectors of the K tag texts.
    audio_script, caption_script : str
        What writes the files; named in errors.

    """

    captions: VectorFile
    projected: tuple[VectorFile, ...]
    logits: VectorFile | None
    tags: VectorFile | None
    audio_script: str
    caption_script: str

    @property
    def audio_size(self) -> int:
        """F, numbers per clip that the audio branch projects."""
        return sum(file.vectors.shape[1] for file in self.projected)

    @property
    def text_size(self) -> int:
        """D, numbers per sentence vector."""
        return self.captions.vectors.shape[1]

    @property
    def files(self) -> list[Path]:
        """The files, each once."""
        every = (self.captions, *self.projected, self.logits, self.tags)
        return list(dict.fromkeys(file.path for file in every if file is not None))

    @property
    def made_with(self) -> TrainedWith:
        """The networks that the vectors come from, as far as the files tell."""
        return TrainedWith.of(
            passt=self.projected[0].attributes, sentence_model=self.captions.attributes
        )

    def tag_table(self) -> Tensor | None:
        """Take the sentence vectors of the tags in index order, shape (K, D)."""
        if self.tags is None or self.logits is None:
            return None
        count = self.logits.vectors.shape[1]
        if len(self.tags.ids) != count:
            raise InputError(
                f"{self.logits.path} holds {count} numbers per clip, {self.tags.path} "
                f"{len(self.tags.ids)} tags: these are not the logits of those tags. Mend "
                "train_data.audio_logits or train_data.tag_embeddings."
            )
        classes = [str(index) for index in range(count)]
        return torch.from_numpy(
            select(self.tags, classes, original_ids=classes, made_by=TAG_SCRIPT)
        )

    def usable(self, split: Split) -> Split:
        """Leave out the clips that script 03 could not use, and their captions."""
        files = (*self.projected, self.logits)
        failed = {id for file in files if file is not None for id in file.failed_ids}
        return without_clips(split, failed) if failed else split

    def clip_features(self, split: QuerySplit) -> Tensor:
        """Take what the audio branch projects, shape (C, F)."""
        return torch.from_numpy(
            np.concatenate([self._of_clips(file, split) for file in self.projected], axis=1)
        )

    def clip_logits(self, split: QuerySplit) -> Tensor | None:
        """Take the logits behind the tag embedding, shape (C, K)."""
        return None if self.logits is None else torch.from_numpy(self._of_clips(self.logits, split))

    def sentences(self, split: QuerySplit) -> Tensor:
        """Take the sentence vectors, shape (P, D); refused if made from other captions."""
        return torch.from_numpy(
            select(
                self.captions,
                split.caption_ids,
                original_ids=[str(cid) for cid in split.cids],
                made_by=self.caption_script,
                made_from=("texts", split.captions),
            )
        )

    def _of_clips(self, file: VectorFile, split: QuerySplit) -> NDArray[np.float32]:
        return select(
            file,
            split.audio_ids,
            original_ids=[str(fid) for fid in split.clip_fids],
            made_by=self.audio_script,
            made_from=split.clip_sources and ("sources", split.clip_sources),
        )


def needed_vectors(audio_features: str, audioset_info: str) -> list[str]:
    """Name the vector files that a model needs: captions, logits, scene, tags."""
    with_tags = audioset_info != "none"
    needed = {
        "captions": True,
        "logits": with_tags or audio_features != "scene",
        "scene": audio_features != "logits",
        "tags": with_tags,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def read_inputs(
    *,
    captions: Path,
    logits: Path,
    scene: Path,
    tags: Path,
    audio_features: str,
    audioset_info: str,
    arch: str,
    arch_sha256: str | None,
    sentence_model_sha256: str,
    precision: str,
    audio_script: str,
    caption_script: str,
) -> Inputs:
    """Read the vector files that a model needs, and no other.

    Parameters
    ----------
    captions, logits, scene, tags : Path
    audio_features : {'logits', 'scene', 'both'}
        What the audio branch projects.
    audioset_info : {'tags', 'sent_tags', 'sent_notags', 'none'}
        Which texts stand for the tags; none: no tag branch.
    arch : str
        The PaSST that the audio vectors must come from.
    arch_sha256 : str or None
        Of its weights; None for any.
    sentence_model_sha256 : str
        Of the weights that the text vectors must come from.
    precision : {'auto', 'fp32', 'bf16'}
        In which all vectors must have been computed; auto for any.
    audio_script, caption_script : str
        What writes the files; named in errors.

    Raises
    ------
    InputError
        If a file is missing, damaged, or was made by other models or in another precision.

    """
    needed = needed_vectors(audio_features, audioset_info)
    with_tags = "tags" in needed
    computed = {} if precision == "auto" else {"precision": precision}
    network = {"model": arch, **({} if arch_sha256 is None else {"weights_sha256": arch_sha256})}
    audio = {
        name: read_vectors(path, made_by=audio_script)
        for name, path in (("logits", logits), ("scene", scene))
        if name in needed
    }
    for name, what in (("logits", LOGITS), ("scene", SCENE)):
        if name in audio:
            require(audio[name], {"what": what, **network, **computed}, made_by=audio_script)
    _require_one_network(list(audio.values()), audio_script)
    sentence_model = {"weights_sha256": sentence_model_sha256, **computed}
    caption_file = read_vectors(captions, made_by=caption_script)
    require(caption_file, {"what": CAPTIONS, **sentence_model}, made_by=caption_script)
    tag_file = read_vectors(tags, made_by=TAG_SCRIPT) if with_tags else None
    if tag_file is not None:
        tag_texts = {"what": tags_of(audioset_info), **sentence_model}
        require(tag_file, tag_texts, made_by=TAG_SCRIPT)
        _require_one_dimension(caption_file, tag_file, caption_script)
    projected = ("logits", "scene") if audio_features == "both" else (audio_features,)
    return Inputs(
        captions=caption_file,
        projected=tuple(audio[name] for name in projected),
        logits=audio["logits"] if with_tags else None,
        tags=tag_file,
        audio_script=audio_script,
        caption_script=caption_script,
    )


def require_one_source(inputs: Sequence[Inputs]) -> None:
    """Refuse vectors of several data sets that come from different PaSST weights.

    Raises
    ------
    InputError
        Naming the files.

    """
    scripts = " and ".join(dict.fromkeys(one.audio_script for one in inputs))
    _require_one_network([file for one in inputs for file in one.projected], scripts)


def _require_one_network(files: list[VectorFile], script: str) -> None:
    made = {file.attributes.get("weights_sha256") for file in files if not file.original_layout}
    if len(made) > 1:
        raise InputError(
            f"{' and '.join(str(file.path) for file in files)} come from different PaSST weights. "
            f"Run {script} again."
        )


def _require_one_dimension(captions: VectorFile, tags: VectorFile, script: str) -> None:
    dimensions = captions.vectors.shape[1], tags.vectors.shape[1]
    if dimensions[0] != dimensions[1]:
        raise InputError(
            f"{captions.path} holds vectors of {dimensions[0]} numbers and {tags.path} of "
            f"{dimensions[1]}: two sentence models. Run {script} and {TAG_SCRIPT} again."
        )


def build_model(settings: Model, inputs: Inputs, *, seed: int) -> nn.Module:
    """Make an untrained dual encoder that fits the vector files."""
    return DualEncoder(
        audio_size=inputs.audio_size,
        text_size=inputs.text_size,
        tag_table=inputs.tag_table(),
        ratio=settings.ratio_embed1,
        text_projection=settings.text_projection,
        generator=torch.Generator().manual_seed(seed),
    )
