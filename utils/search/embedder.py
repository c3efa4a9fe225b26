"""A trained model and the networks before it: sounds and texts ─► one space.

Shapes: N sounds or texts, D dimension of the shared space, R rows, W windows of a sound.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CLASSES
from utils.audio.sound_file import UnusableSound, check_sound_file
from utils.checkpoints.trained_model import TrainedModel, newest_run, open_model
from utils.datasets import audioset
from utils.features.sentences import TextEncoder
from utils.features.tagger import Tagger, tag_clips
from utils.search.queries import notes_on, require_words
from utils.settings.config import DEFAULT_CONFIG, Config, to_plain
from utils.settings.loading import load_config, parse_config


def embed_audio(
    files: Sequence[str | Path],
    *,
    model: str | Path | None = None,
    config: str | Path | Config | None = None,
) -> NDArray[np.float32]:
    """Embed sound files with a trained model.

    Parameters
    ----------
    files : sequence of N str or Path
    model, config
        See `Embedder.open`.

    Returns
    -------
    ndarray, shape (N, D), float32
        Unit vectors; their dot products with those of `embed_text` are the scores of a search.

    Raises
    ------
    UnusableSound
        If a file cannot be used.

    Examples
    --------
    >>> sounds = embed_audio(["rain.wav", "dog.flac"], model="my_model")
    >>> scores = embed_text(["a dog barks"], model="my_model") @ sounds.T
    >>> scores.shape
    (1, 2)

    """
    return Embedder.open(model, config=config).embed_audio(files)


def embed_text(
    texts: Sequence[str],
    *,
    model: str | Path | None = None,
    config: str | Path | Config | None = None,
) -> NDArray[np.float32]:
    """Embed texts with a trained model; arguments and result as those of `embed_audio`."""
    return Embedder.open(model, config=config).embed_text(texts)


class Embedder:
    """A trained model with its tagger and sentence model, each loaded when first needed.

    Attributes
    ----------
    config : Config
    source : Path
        Where the model was read.
    network : DualEncoder
    tagger : Tagger
    tags : list of K str
        Display names.

    Raises
    ------
    InputError
        If the tagger's weights are missing, or the model was trained with other networks.

    """

    def __init__(self, model: TrainedModel) -> None:
        self.config = model.config
        self.source = model.source
        self.network = model.network
        self.tagger = Tagger(self.config)
        self.tags = audioset.read_labels()
        model.require_networks(passt=self.tagger.made_by)

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        config: str | Path | Config | None = None,
        overrides: Sequence[str] = (),
    ) -> Self:
        """Open a trained model.

        Parameters
        ----------
        model : str or Path, optional
            A model folder, run folder or checkpoint; by default the newest finished run of the
            experiment in the settings.
        config : str, Path or Config, optional
            The settings, or their file; by default the project's conf.yaml.
        overrides : sequence of str
            ``key=value`` settings.

        """
        trained, _ = read_model(model, config, overrides)
        return cls(trained)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed N texts: unit vectors, shape (N, D).

        Raises
        ------
        InvalidQuery
            If the sentence model reads no word of a text.

        """
        if isinstance(texts, str):
            raise TypeError("give a list of texts")
        require_words(texts, self._sentences.read(texts))
        return self.network.encode_text(torch.from_numpy(self._sentences(texts))).numpy()

    def notes_on(self, text: str) -> list[str]:
        """Say which parts of a text do not count in its embedding: they are unknown, or cut."""
        (reading,) = self._sentences.read([text])
        return notes_on(reading)

    def embed_audio(self, files: Sequence[str | Path]) -> NDArray[np.float32]:
        """Embed N sound files: unit vectors, shape (N, D).

        Raises
        ------
        UnusableSound
            If a file cannot be used.

        """
        if isinstance(files, str):
            raise TypeError("give a list of files")
        paths = [Path(file) for file in files]
        for path in paths:
            check_sound_file(path, root=path.parent)
        rows = np.empty((len(paths), sum(self.tagger.widths)), np.float32)
        for row, windows in zip(rows, self.tag(paths), strict=True):
            if isinstance(windows, UnusableSound):
                raise windows
            row[:] = windows.mean(axis=0)
        return self.embed_rows(rows)

    def tag(self, paths: Sequence[Path]) -> Iterator[NDArray[np.float32] | UnusableSound]:
        """Yield logits and scene embeddings of the windows of each sound, shape (W, K + S)."""
        outputs = tag_clips(paths, self.tagger.load(), **self.tagger.cutting)
        for path, windows in zip(paths, outputs, strict=True):
            if isinstance(windows, UnusableSound):
                yield windows
            elif not windows.isfinite().all():
                yield UnusableSound(path, "produces NaN in the network")
            else:
                yield windows.cpu().numpy()

    @torch.inference_mode()
    def embed_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed outputs of the tagger, or means of them: (R, K + S) ─► unit vectors (R, D)."""
        table = torch.from_numpy(np.array(rows))  # a copy, because a library's file is read-only
        tags = self.network.embed_tags(table[:, :CLASSES])
        return self.network.encode_audio(self.features(table), tags).numpy()

    @torch.inference_mode()
    def embed_tags(self) -> NDArray[np.float32]:
        """Embed the names of all K tags as texts: unit vectors, shape (K, D)."""
        sentences = self.network.tag_table
        if sentences is None:
            sentences = torch.from_numpy(self._sentences(self.tags))
        return self.network.encode_text(sentences).numpy()

    def features(self, rows: Tensor) -> Tensor:
        """Return the part of the tagger's output that the audio branch projects."""
        parts = {"logits": slice(0, CLASSES), "scene": slice(CLASSES, None), "both": slice(None)}
        return rows[:, parts[self.config.model.audio_features]]

    @cached_property
    def _sentences(self) -> TextEncoder:
        return TextEncoder(self.config)


def read_model(
    model: str | Path | None, config: str | Path | Config | None, overrides: Sequence[str]
) -> tuple[TrainedModel, Config]:
    """Read a trained model and the settings here; arguments as those of `Embedder.open`."""
    if isinstance(config, Config):
        plain = to_plain(config)
        config = parse_config(plain, overrides, base=Path.cwd(), source="the settings")
    else:
        config = load_config(config or DEFAULT_CONFIG, overrides)
    path = Path(model) if model else newest_run(config)
    return open_model(path, here=config, overrides=overrides), config
