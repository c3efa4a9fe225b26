"""Put a search engine together: a trained model, the networks before it, a folder of sounds."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CLASSES
from utils.audio.sound_file import UnusableSound, check_sound_file
from utils.checkpoints.trained_model import TrainedModel
from utils.datasets import audioset
from utils.features import tagger
from utils.features.sentences import TextEncoder
from utils.features.tagger import Tagger
from utils.files.tensors import digest_of
from utils.runtime.errors import InputError
from utils.search.engine import Engine, embed_library
from utils.search.library import Library, update_library
from utils.search.nearest.approximate import EXACT_BELOW, nearest
from utils.search.sound_folder import Changes
from utils.search.tag_columns import TagColumns
from utils.settings.config import Config

_ORIGIN = ("model", "weights_sha256", "precision")  # what rows of an index depend on
_LONGEST_NAME = 60  # of a folder, in the name of its index
# Total, what is done, unit ─► a context manager whose ``update`` is called with what is done.
Progress = Callable[[int, str, str], Any]
_NO_SAMPLE = np.empty((0, 0), np.float32)  # an exact search is not tuned


class Searcher:
    """All that answers queries about one folder of sounds.

    Parameters
    ----------
    model : TrainedModel
    folder : Path
        The sounds.
    index : Path or None
        Where to keep what is computed about them; None for a folder of their own below
        ``<output_path>/indexes``.
    progress : callable
        Called with a total, what is done, and its unit, as `utils.runtime.terminal.progress`;
        returns a context
        manager whose ``update`` is called with numbers of what is done.

    Attributes
    ----------
    engine : Engine
    library : Library
    changes : Changes
    config : Config

    """

    def __init__(
        self,
        model: TrainedModel,
        folder: Path,
        *,
        index: Path | None = None,
        progress: Progress,
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}. Give the folder of your sounds with --audio.")
        self.folder = folder.resolve()
        self.config = model.config
        self._dual = model.network
        self._tagger = Tagger(self.config)
        model.require_networks(passt=self._tagger.made_by)
        self._features = _features_of(self.config.model.audio_features, CLASSES)
        self._origin = {name: self._tagger.made_by[name] for name in _ORIGIN}
        self.index = index or _index_folder(self.config, self.folder, self._origin)
        self._encode_text = TextEncoder(self.config)
        self._tags = audioset.read_labels()
        # Tells the embeddings of this model from another's.
        weights = self._dual.state_dict().values()
        self._digest = digest_of([torch.tensor(self._dual.ratio), *weights])[:16]
        self.changes: Changes
        self.library: Library
        self.engine: Engine
        self.update(progress)

    def update(self, progress: Progress) -> None:
        """Look for changes in the folder, tag what is new, and search in that from now on."""
        self.library, self.changes = update_library(
            self.folder,
            self.index,
            origin=self._origin,
            width=sum(self._tagger.widths),
            hop_seconds=self._tagger.made_by["hop_seconds"],
            start=lambda: self._tag,
            progress=partial(progress, description="tagging", unit="sounds"),
        )
        derived = self.library.derived
        columns = TagColumns(
            self.library.table,
            len(self._tags),
            derived / "tags.f32",
            progress=partial(progress, description="sorting by tag", unit="blocks"),
        )
        embeddings = embed_library(
            self.library,
            derived / f"embeddings-{self._digest}.f32",
            self.embed_rows,
            progress=partial(progress, description="embedding", unit="passages"),
        )
        many = len(embeddings) >= EXACT_BELOW
        self.engine = Engine(
            self.library,
            model=self._dual,
            encode_text=self._encode_text,
            features_of=self._features,
            nearest=nearest(
                embeddings,
                path=derived / f"nearest-{self._digest}.faiss",
                sample=self._sample_queries() if many else _NO_SAMPLE,
                progress=partial(progress, description="indexing", unit="steps"),
            ),
            columns=columns,
            tags=self._tags,
        )

    @torch.inference_mode()
    def _sample_queries(self) -> NDArray[np.float32]:
        """Embed the names of the tags, as queries that an approximate index is tuned by."""
        vectors = self._dual.tag_table
        if vectors is None:
            vectors = torch.from_numpy(self._encode_text(self._tags))
        return self._dual.encode_text(vectors).numpy()

    @property
    def knows_only_the_demo(self) -> bool:
        """Whether the tagger was trained on the demo's synthetic sounds alone."""
        return self.config.passt.arch == "demo"

    def embed_sound(self, path: Path) -> NDArray[np.float32]:
        """Embed a sound file, to search for such sounds: shape (D,).

        Raises
        ------
        UnusableSound
            If it cannot be used.

        """
        check_sound_file(path, root=path.parent)
        (windows,) = self._tag([path])
        if isinstance(windows, UnusableSound):
            raise windows
        if not np.isfinite(windows).all():
            raise UnusableSound(path, "makes the network give NaN")
        return self.embed_rows(windows.mean(axis=0, keepdims=True))[0]

    @torch.inference_mode()
    def embed_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed rows of a library's table, or means of them: (B, ...) ─► unit vectors (B, D)."""
        table = torch.from_numpy(np.array(rows))  # a copy, because the file is read-only
        tags = self._dual.embed_tags(table[:, : self._tagger.widths[0]])
        return self._dual.encode_audio(self._features(table), tags).numpy()

    def _tag(self, paths: Sequence[Path]) -> Iterator[NDArray[np.float32] | UnusableSound]:
        for outputs in tagger.tag_clips(paths, self._tagger.load(), **self._tagger.cutting):
            yield outputs if isinstance(outputs, UnusableSound) else outputs.cpu().numpy()


def _features_of(audio_features: str, classes: int) -> Callable[[Tensor], Tensor]:
    """Tell which part of a row the audio branch projects."""
    parts = {"logits": slice(0, classes), "scene": slice(classes, None), "both": slice(None)}
    return lambda rows: rows[:, parts[audio_features]]


def _index_folder(config: Config, folder: Path, origin: Mapping[str, str]) -> Path:
    place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    network = f"{origin['model']}-{origin['weights_sha256'][:8]}-{origin['precision']}"
    return config.output_path / "indexes" / f"{folder.name[:_LONGEST_NAME]}-{place}" / network
