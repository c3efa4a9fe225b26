"""Put a search engine together: a trained model, the networks before it, a folder of sounds.

The classes of the networks come as arguments.
"""

import hashlib
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
from utils.checkpoint import load_checkpoint
from utils.config import PROJECT_ROOT, Config, parse_config
from utils.devices import choose_device, choose_precision
from utils.errors import InputError
from utils.library import Changes, Library, TagSounds, update_library
from utils.nearest import nearest
from utils.resuming import load_into, weights_of
from utils.search import Engine, embed_library
from utils.sentences import TextEncoder

_BUNDLED_WEIGHTS = PROJECT_ROOT / "data/demo/tagger.safetensors"
_PROBES = 200  # tag names that an approximate index is tuned with, as queries


@dataclass(frozen=True)
class Networks:
    """The classes and constants of `models` that a search needs.

    Attributes
    ----------
    passt, sentence_encoder, dual_encoder : callable
        Classes.
    architectures : mapping
        Of PaSST, by name.
    sample_rate, classes, shortest : int
        Of PaSST: in Hz; numbers of logits; and samples.
    hop_seconds : float
    windows_at_once : callable
        Device ─► windows per pass.

    """

    passt: Callable[..., nn.Module]
    sentence_encoder: Callable[[Path], nn.Module]
    dual_encoder: Callable[..., nn.Module]
    architectures: Mapping[str, Any]
    sample_rate: int
    classes: int
    shortest: int
    hop_seconds: float
    windows_at_once: Callable[[torch.device], int]


class Tagger:
    """PaSST as the settings name it, loaded when the first sound is to be tagged."""

    def __init__(self, config: Config, networks: Networks) -> None:
        self._config = config
        self._networks = networks
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

    @property
    def width(self) -> int:
        """Numbers per window: logits and scene embedding."""
        return self._networks.classes + self._architecture.embedding_size

    def start(self) -> TagSounds:
        """Load the network; returns what tags sounds."""
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
            or self._networks.windows_at_once(self._device),
        )
        for outputs in tagged:
            yield outputs if isinstance(outputs, UnusableSound) else outputs.cpu().numpy()


class Searcher:
    """All that answers queries about one folder of sounds.

    Parameters
    ----------
    model : Path
        A checkpoint.
    folder : Path
        The sounds.
    index : Path or None
        Where to keep what is computed about them; None for a folder of their own below
        ``<output_path>/indexes``.
    networks : Networks
    overrides : sequence of str
        ``key=value`` settings, over those that the model was trained with.
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
        model: Path,
        folder: Path,
        *,
        index: Path | None = None,
        networks: Networks,
        overrides: Sequence[str] = (),
        progress: Callable[[int], Any],
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}. Give the folder of your sounds with --audio.")
        self.folder = folder.resolve()
        checkpoint = load_checkpoint(model)
        self.config = parse_config(
            checkpoint["settings"], overrides, base=Path.cwd(), source=str(model)
        )
        self._dual = _dual_encoder(weights_of(checkpoint), self.config, networks, model)
        self._tagger = Tagger(self.config, networks)
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
        embeddings = embed_library(
            self.library, self.index / f"embeddings-{_digest(self._dual)}.f32", self._embed
        )
        tags = audioset.read_labels()
        self.engine = Engine(
            self.library,
            model=self._dual,
            encode_text=self._encode_text,
            features_of=self._features,
            nearest=nearest(embeddings),
            tags=tags,
        )

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
        return self._embed(windows.mean(axis=0, keepdims=True))[0]

    @torch.inference_mode()
    def _embed(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        table = torch.from_numpy(np.array(rows))  # a copy, because the file is read-only
        tags = self._dual.embed_tags(table[:, : self._networks.classes])
        return self._dual.encode_audio(self._features(table), tags).numpy()


def newest_run(config: Config) -> Path:
    """Find the best checkpoint of the newest finished run of an experiment.

    Raises
    ------
    InputError
        If there is none.

    """
    folder = config.output_path / config.experiment
    finished = sorted(path.parent for path in folder.glob("*/metrics.json"))
    if not finished:
        raise InputError(
            f"no finished run in {folder}. Train first (`make demo`, or python main.py), or name a "
            "checkpoint with --model."
        )
    return finished[-1] / "checkpoint_best.pt"


def _dual_encoder(
    state: Mapping[str, Tensor] | None, config: Config, networks: Networks, source: Path
) -> nn.Module:
    if not state or "audio_projection.weight" not in state:
        raise InputError(f"{source} holds no trained model. Give a checkpoint of main.py.")
    text_size, audio_size = state["audio_projection.weight"].shape
    model = networks.dual_encoder(
        audio_size=audio_size,
        text_size=text_size,
        tag_table=state.get("tag_table"),
        ratio=config.model.ratio_embed1,
        text_projection=config.model.text_projection,
    )
    load_into(model, state, source)
    return model.eval()


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
