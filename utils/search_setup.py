"""Put a search engine together: a trained model, the networks before it, a folder of sounds.

The classes of the networks come as arguments.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils import audioset, extraction, weights
from utils.audio import UnusableSound, check_sound_file
from utils.config import PROJECT_ROOT, Config
from utils.devices import choose_device, choose_precision
from utils.errors import InputError
from utils.library import Changes, Library, TagSounds, update_library
from utils.nearest import EXACT_BELOW, nearest
from utils.search import Engine, embed_library
from utils.sentences import TextEncoder
from utils.trained_model import TrainedModel

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"
_NO_SAMPLE = np.empty((0, 0), np.float32)  # an exact search is not tuned


@dataclass(frozen=True)
class Networks:
    """The classes and constants of `models` that a search needs.

    Attributes
    ----------
    passt, sentence_encoder, dual_encoder : callable
        Classes, or what makes their instances.
    architectures : mapping
        Of PaSST, by name.
    sample_rate, classes, shortest : int
        Of PaSST: in Hz; numbers of logits; and samples.
    hop_seconds : float
    windows_at_once : callable
        Type of the device ─► windows per pass.

    """

    passt: Callable[..., nn.Module]
    sentence_encoder: Callable[[Path], nn.Module]
    dual_encoder: Callable[..., nn.Module]
    architectures: Mapping[str, Any]
    sample_rate: int
    classes: int
    shortest: int
    hop_seconds: float
    windows_at_once: Callable[[str], int]

    @classmethod
    def of(
        cls,
        architectures: Any,
        *,
        sentence_encoder: Callable[[Path], nn.Module],
        dual_encoder: Callable[..., nn.Module],
    ) -> "Networks":
        """Take what is needed of the module `models.architectures`, beside two classes."""
        return cls(
            passt=architectures.make_passt,
            sentence_encoder=sentence_encoder,
            dual_encoder=dual_encoder,
            architectures=architectures.ARCHITECTURES,
            sample_rate=architectures.SAMPLE_RATE,
            classes=architectures.CLASSES,
            shortest=architectures.MIN_SAMPLES,
            hop_seconds=architectures.HOP_SECONDS,
            windows_at_once=architectures.windows_at_once,
        )


class Tagger:
    """PaSST as the settings name it, loaded when the first sound is to be tagged."""

    def __init__(self, config: Config, networks: Networks) -> None:
        self._config = config
        self._networks = networks
        if config.passt.arch not in networks.architectures:
            raise InputError(
                f"the model needs the PaSST {config.passt.arch!r}, and this version knows "
                f"{', '.join(networks.architectures)}."
            )
        self._architecture = networks.architectures[config.passt.arch]
        self._device = choose_device(config.training.device)
        self._weights, weights_sha256 = weights.find_passt_weights(
            config.passt.weights,
            url=self._architecture.weights_url,
            bundled=_BUNDLED_WEIGHTS,
            sha256_expected=self._architecture.weights_sha256,
        )
        self.origin = {
            "model": config.passt.arch,
            "weights_sha256": weights_sha256,
            "precision": choose_precision(config.precision, self._device),
        }
        self._tag: Callable[[Tensor], Tensor] | None = None
        self._loading = threading.Lock()

    @property
    def width(self) -> int:
        """Numbers per window: logits and scene embedding."""
        return self._networks.classes + self._architecture.embedding_size

    def start(self) -> TagSounds:
        """Load the network; returns what tags sounds."""
        with self._loading:
            if self._tag is None:
                model = self._networks.passt(arch=self._config.passt.arch)
                weights.load_weights(model, self._weights)
                self._tag = extraction.tagger(model, self._device, self.origin["precision"])
        return self._outputs

    def _outputs(self, paths: Sequence[Path]) -> Iterator[NDArray[np.float32] | UnusableSound]:
        rate = self._networks.sample_rate
        tagged = extraction.tag_clips(
            paths,
            self._tag,
            sample_rate=rate,
            window=round(self._architecture.window_seconds * rate),
            hop=round(self._networks.hop_seconds * rate),
            shortest=self._networks.shortest,
            batch_size=self._config.passt.batch_size
            or self._networks.windows_at_once(self._device.type),
        )
        for outputs in tagged:
            yield outputs if isinstance(outputs, UnusableSound) else outputs.cpu().numpy()


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
    networks : Networks
    progress : callable
        Called with a number of sounds, if any are to be tagged; see `update_library`.

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
        networks: Networks,
        progress: Callable[[int], Any],
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}. Give the folder of your sounds with --audio.")
        self.folder = folder.resolve()
        self.config = model.config
        self._dual = model.network
        self._tagger = Tagger(self.config, networks)
        model.require_networks(passt=self._tagger.origin)
        self._features = _features_of(self.config.model.audio_features, networks.classes)
        self.index = index or _index_folder(self.config, self.folder, self._tagger.origin)
        self._encode_text = TextEncoder(config=self.config, load_encoder=networks.sentence_encoder)
        self._networks = networks
        self.changes: Changes
        self.library: Library
        self.engine: Engine
        self.update(progress)

    def update(self, progress: Callable[[int], Any]) -> None:
        """Look for changes in the folder, tag what is new, and search in that from now on."""
        self.library, self.changes = update_library(
            self.folder,
            self.index,
            origin=self._tagger.origin,
            width=self._tagger.width,
            hop_seconds=self._networks.hop_seconds,
            start=self._tagger.start,
            progress=progress,
        )
        tags, digest = audioset.read_labels(), _digest(self._dual)
        embeddings = embed_library(
            self.library, self.index / f"embeddings-{digest}.f32", self.embed_rows
        )
        self.engine = Engine(
            self.library,
            model=self._dual,
            encode_text=self._encode_text,
            features_of=self._features,
            nearest=nearest(
                embeddings,
                path=self.index / f"nearest-{digest}.safetensors",
                sample=self._sample_queries(tags) if len(embeddings) >= EXACT_BELOW else _NO_SAMPLE,
            ),
            tags=tags,
        )

    @torch.inference_mode()
    def _sample_queries(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Embed the names of the tags, as queries that an approximate index is tuned by."""
        vectors = self._dual.tag_table
        if vectors is None:
            vectors = torch.from_numpy(self._encode_text(tags))
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
        (windows,) = self._tagger.start()([path])
        if isinstance(windows, UnusableSound):
            raise windows
        return self.embed_rows(windows.mean(axis=0, keepdims=True))[0]

    @torch.inference_mode()
    def embed_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed rows of a library's table, or means of them: (B, ...) ─► unit vectors (B, D)."""
        table = torch.from_numpy(np.array(rows))  # a copy, because the file is read-only
        tags = self._dual.embed_tags(table[:, : self._networks.classes])
        return self._dual.encode_audio(self._features(table), tags).numpy()


def _features_of(audio_features: str, classes: int) -> Callable[[Tensor], Tensor]:
    """Tell which part of a row the audio branch projects."""
    parts = {"logits": slice(0, classes), "scene": slice(classes, None), "both": slice(None)}
    return lambda rows: rows[:, parts[audio_features]]


def _digest(model: nn.Module) -> str:
    """Tell a model's embeddings from another's."""
    digest = hashlib.sha256(str(model.ratio).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _index_folder(config: Config, folder: Path, origin: Mapping[str, str]) -> Path:
    place = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    network = f"{origin['model']}-{origin['weights_sha256'][:8]}-{origin['precision']}"
    return config.output_path / "indexes" / f"{folder.name}-{place}" / network
