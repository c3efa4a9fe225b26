"""A trained model and the networks before it: sounds and texts ─► one space.

Shapes: N sounds or texts, D dimension of the shared space, R rows, Q passages of a sound, K tags,
S numbers of a scene embedding.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CLASSES, SILENCE
from utils.audio.sound_file import UnusableSound, check_sound_file, read_header
from utils.checkpoints.trained_model import TrainedModel, newest_run, open_model
from utils.datasets import audioset
from utils.features.hearing import HeardSound, Hearing, find_silence
from utils.features.sentences import TextEncoder, text_encoder
from utils.features.tagger import Tagger, tag_windows
from utils.search.long_texts import embed_whole, split_to_fit
from utils.search.passages import cut_passages, split_rows
from utils.search.queries import notes_on
from utils.search.untrained import TAGS, names_the_tagger, open_untrained
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
    accept_truncated : bool
        Whether truncated sounds are used as far as they go.

    Raises
    ------
    InputError
        If the tagger's weights are missing, or the model was trained with other networks.

    """

    def __init__(self, model: TrainedModel, *, accept_truncated: bool = False) -> None:
        self.config = model.config
        self.accept_truncated = accept_truncated
        self.source = model.source
        self.network = model.network
        search = asdict(self.config.search)
        cells = search.pop("moments")
        self.tagger = Tagger(self.config, Hearing(**search), cells=cells)
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
            A model folder, run folder or checkpoint, or ``"tags"`` for the untrained model; by
            default the newest finished run of the experiment in the settings.
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

        A text that is longer than the sentence model reads is split, and the sentence vectors of
        its parts are averaged, weighted by their word pieces.

        Raises
        ------
        InvalidQuery
            If the sentence model reads no word of a text.

        """
        if isinstance(texts, str):
            raise TypeError("give a list of texts")
        sentences = torch.from_numpy(embed_whole(texts, self._sentences))
        return self.network.encode_text(sentences).numpy()

    def notes_on(self, text: str) -> list[str]:
        """Say which words of a text do not count in its embedding, and if it is read in parts."""
        read = self._sentences.read
        (reading,) = read([text])
        parts = [part for _, part in split_to_fit(text, reading, read) if part.has_words]
        return notes_on(reading, len(parts))

    def knows(self, word: str) -> bool:
        """Whether the sentence model has a word as a whole, not in pieces."""
        (reading,) = self._sentences.read([word])
        return reading.pieces == 1 and reading.has_words

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
        heard: list[HeardSound] = []
        for row, batches in zip(rows, self.tag(paths, ended=heard.append), strict=True):
            windows = torch.from_numpy(np.concatenate(list(batches)))
            row[:] = heard.pop().mean_over_windows(windows)[0]
        return self.embed_rows(rows)

    def embed_passages(self, file: Path) -> NDArray[np.float32]:
        """Embed each passage of a sound file as those of a library: unit vectors, shape (Q, D).

        Silent passages are left out, unless all are.

        Raises
        ------
        UnusableSound
            If the file cannot be used.

        """
        check_sound_file(file, root=file.parent)
        frames, rate = read_header(file, accept_truncated=self.accept_truncated)
        (batches,) = self.tag([file])
        cut = cut_passages("", batches, duration=frames / rate, **self.cutting)
        rows = np.concatenate([rows for _, rows in cut])
        width, tags = sum(self.tagger.widths), len(self.tags)
        means, peaks = split_rows(rows, width=width, tags=tags)
        silent = find_silence(peaks, peaks[:, SILENCE])
        return self.embed_rows(means if len(silent) == len(rows) else np.delete(means, silent, 0))

    def tag(
        self,
        paths: Sequence[Path],
        first: Sequence[int] | None = None,
        *,
        ended: Callable[[HeardSound], Any] = lambda sound: None,
        cells: bool = False,
    ) -> Iterator[Iterator[NDArray[np.float32]]]:
        """Yield for each sound its logits and scene embeddings, some windows at a time.

        Their shape is (some windows, K + S). `first` holds the windows to begin with, and `ended`
        is called after the last window of a sound: see `utils.features.tagger.tag_windows`. With
        `cells`, those of each window follow in its row if the settings ask for moments. An
        UnusableSound is raised while a sound is read that cannot be used.
        """
        outputs = tag_windows(
            paths,
            self.tagger.load(),
            first=first,
            ended=ended,
            accept_truncated=self.accept_truncated,
            **self.tagger.cutting,
        )
        for path, batches in zip(paths, outputs, strict=True):
            yield _as_arrays(path, batches, width=None if cells else sum(self.tagger.widths))

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
        if sentences is None or self.config.model.tag_embedding != "plain":
            sentences = torch.from_numpy(self._sentences(self.tags))
        return self.network.encode_text(sentences).numpy()

    def features(self, rows: Tensor) -> Tensor:
        """Return the part of the tagger's output that the audio branch projects."""
        parts = {"logits": slice(0, CLASSES), "scene": slice(CLASSES, None), "both": slice(None)}
        return rows[:, parts[self.config.model.audio_features]]

    @property
    def cutting(self) -> dict[str, Any]:
        """How sounds are cut into passages: arguments of `utils.search.passages.cut_passages`."""
        made_by = self.tagger.made_by
        heard = self.tagger.hearing.windows == "heard"
        return {
            "tags": len(self.tags),
            "hop_seconds": made_by["hop_seconds"],
            "window_seconds": made_by["window_seconds"] if heard else None,
        }

    @cached_property
    def _sentences(self) -> TextEncoder:
        return text_encoder(self.config)


def _as_arrays(
    path: Path, batches: Iterator[Tensor], *, width: int | None
) -> Iterator[NDArray[np.float32]]:
    """Copy rows from the device, or their first `width` numbers."""
    # A GPU gets the next batch before this one's numbers are waited for.
    for rows, _ in itertools.pairwise(itertools.chain(batches, [None])):
        if not rows.isfinite().all():
            raise UnusableSound(path, "produces NaN in the network")
        yield rows[:, :width].clone().cpu().numpy()


def read_model(
    model: str | Path | None, config: str | Path | Config | None, overrides: Sequence[str]
) -> tuple[TrainedModel, Config]:
    """Read a model and the settings here; arguments as those of `Embedder.open`.

    How sounds are searched is set here, and not where the model was trained.
    """
    as_set = names_the_tagger(config, overrides)
    if isinstance(config, Config):
        plain = to_plain(config)
        config = parse_config(plain, overrides, base=Path.cwd(), source="the settings")
    else:
        config = load_config(config or DEFAULT_CONFIG, overrides)
    if str(model) == TAGS:
        return open_untrained(config, as_set=as_set), config
    path = Path(model) if model else newest_run(config)
    trained = open_model(path, here=config, overrides=overrides)
    return replace(trained, config=replace(trained.config, search=config.search)), config
