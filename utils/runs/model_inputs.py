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
from models.tag_retrieval import tag_space
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import AUDIO, SENTENCES, TAGS, Corpus
from utils.datasets.splits import QuerySplit, Split, without_clips
from utils.features.hearing import PUBLISHED
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
from utils.files.reading import sha256
from utils.runs.plans import needed_vectors
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.config import Config, Model


@dataclass(frozen=True)
class Inputs:
    """The vector files that a model needs; those it does not need are None.

    Attributes
    ----------
    of : Corpus
        The data set; its scripts are named in errors.
    captions : VectorFile or None
        Sentence vectors, D numbers each.
    projected : tuple of VectorFile
        What the audio branch projects, concatenated: logits, scene embeddings, or both.
    logits : VectorFile or None
        AudioSet logits for the tag embedding, K numbers each.
    tags : VectorFile or None
        Sentence vectors of the K tag texts.
    tag_embedding : {'plain', 'centred', 'whitened'}
        What `tag_table` makes of them.

    """

    of: Corpus
    captions: VectorFile | None
    projected: tuple[VectorFile, ...]
    logits: VectorFile | None = None
    tags: VectorFile | None = None
    tag_embedding: str = "plain"

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
        """The networks that the vectors come from, as far as the files record them."""
        return TrainedWith.of(
            passt=self.projected[0].attributes,
            sentence_model=self.captions and self.captions.attributes,
        )

    def tag_table(self) -> Tensor | None:
        """Take the vectors of the tags in index order, shape (K, D); see `tag_space`."""
        if self.tags is None or self.logits is None:
            return None
        count = self.logits.vectors.shape[1]
        if len(self.tags.ids) != count:
            raise InputError(
                f"{self.logits.path} holds {count} numbers per clip, {self.tags.path} "
                f"{len(self.tags.ids)} tags: these are not the logits of those tags. Fix "
                "train_data.audio_logits or train_data.tag_embeddings."
            )
        classes = [str(index) for index in range(count)]
        with self.of.advising(TAGS):
            vectors = torch.from_numpy(select(self.tags, classes, original_ids=classes))
        return tag_space(vectors, self.tag_embedding)

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
        original_ids = [str(cid) for cid in split.cids]
        made_from = ("texts", split.captions)
        with self.of.advising(SENTENCES):
            return torch.from_numpy(
                select(
                    self.captions, split.caption_ids, original_ids=original_ids, made_from=made_from
                )
            )

    def _of_clips(self, file: VectorFile, split: QuerySplit) -> NDArray[np.float32]:
        original_ids = [str(fid) for fid in split.clip_fids]
        made_from = split.clip_sources and ("sources", split.clip_sources)
        with self.of.advising(AUDIO):
            return select(file, split.audio_ids, original_ids=original_ids, made_from=made_from)


def read_inputs(
    config: Config, of: Corpus, summary: terminal.Summary, *, sentences: bool = True
) -> Inputs:
    """Read the vector files of a data set that the model needs, and no other.

    Without `sentences`, the vectors of captions are not needed.

    Raises
    ------
    InputError
        If a file is missing, damaged, or was made by other models or in another precision than
        the settings name.

    """
    model, weights = config.model, config.passt.weights
    computed = {} if config.precision == "auto" else {"precision": config.precision}
    heard = {"mono": config.passt.mono, "windows": config.passt.windows}
    passt = {"model": config.passt.arch, **heard, **computed}
    if weights and weights.is_file():
        passt["weights_sha256"] = sha256(weights)
    mpnet = {"weights_sha256": config.sentence_model.sha256, **computed}
    expected = {
        "logits": (AUDIO, of.files.audio_logits, {"what": LOGITS, **passt}),
        "scene": (AUDIO, of.files.audio_scene, {"what": SCENE, **passt}),
        "captions": (SENTENCES, of.files.caption_embeddings, {"what": CAPTIONS, **mpnet}),
        "tags": (TAGS, config.tag_embeddings, {"what": tags_of(model.audioset_info), **mpnet}),
    }
    needed = needed_vectors(model, sentences=sentences)
    files: dict[str, VectorFile] = {}
    for name, (kind, path, attributes) in expected.items():
        if name in needed:
            with of.advising(kind):
                files[name] = read_vectors(path)
                require(files[name], attributes, unrecorded=PUBLISHED._asdict())
    projected = ("logits", "scene") if model.audio_features == "both" else (model.audio_features,)
    inputs = Inputs(
        of,
        files.get("captions"),
        tuple(files[name] for name in projected),
        files["logits"] if "tags" in needed else None,
        files.get("tags"),
        model.tag_embedding,
    )
    _require_one_network([files[name] for name in ("logits", "scene") if name in files], [of])
    if None not in (inputs.captions, inputs.tags) and inputs.text_size != (
        dimension := inputs.tags.vectors.shape[1]
    ):
        raise InputError(
            f"{inputs.captions.path} holds vectors of {inputs.text_size} numbers and "
            f"{inputs.tags.path} of {dimension}: two sentence models. Run {of.script(SENTENCES)} "
            f"and {of.script(TAGS)} again."
        )
    summary.reads(*inputs.files)
    return inputs


def require_one_source(inputs: Sequence[Inputs]) -> None:
    """Refuse vectors of several data sets that come from different PaSST weights."""
    files = [file for one in inputs for file in one.projected]
    _require_one_network(files, [one.of for one in inputs])


def build_model(
    settings: Model, inputs: Inputs, *, seed: int, text_size: int | None = None
) -> nn.Module:
    """Make an untrained dual encoder that fits the vector files.

    `text_size`, D, is that of the sentence vectors if they were read.
    """
    return DualEncoder(
        audio_size=inputs.audio_size,
        text_size=inputs.text_size if text_size is None else text_size,
        tag_table=inputs.tag_table(),
        ratio=settings.ratio_embed1,
        text_projection=settings.text_projection,
        generator=torch.Generator().manual_seed(seed),
    )


def _require_one_network(files: Sequence[VectorFile], corpora: Sequence[Corpus]) -> None:
    made = {file.attributes.get("weights_sha256") for file in files if not file.original_layout}
    if len(made) > 1:
        scripts = " and ".join(dict.fromkeys(of.script(AUDIO) for of in corpora))
        raise InputError(
            f"{' and '.join(str(file.path) for file in files)} come from different PaSST weights. "
            f"Run {scripts} again."
        )
