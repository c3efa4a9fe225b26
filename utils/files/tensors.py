"""Files of tensors and plain values, looked through before they are loaded."""

import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from utils.files.pickles import NotAllowedError, look_through
from utils.runtime.errors import out_of_memory

_STORAGES = (
    *("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"),
    *("Untyped", "ComplexFloat", "ComplexDouble"),
)
_NAMES = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.storage UntypedStorage",
    *(f"torch {kind}Storage" for kind in _STORAGES),
}
_CODES = ("BINPERSID", "BUILD")  # a storage; the attributes of an OrderedDict
_ARCHIVE_START = b"PK\x03\x04"
_PICKLES_OF_OLD_FILES = 5  # those that PyTorch wrote before 1.6 begin with as many
_MAX_DEPTH = 20
_DAMAGE = (
    *(pickle.UnpicklingError, ValueError, LookupError, EOFError, struct.error),
    *(RuntimeError, OSError, MemoryError),  # RuntimeError: what zipfile cannot decrypt or unpack
)
_PLAIN = (str, int, float, bool, type(None))


def load_tensors(path: Path) -> Any:
    """Load what ``torch.save`` wrote, onto the CPU: tensors, texts, numbers, lists and dicts.

    Raises
    ------
    ValueError
        Saying why not: it is damaged, holds anything else, or would take much more memory than
        disk. No code in it is run.

    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(_ARCHIVE_START)) == _ARCHIVE_START:
                _check_archive(file, size)
            else:
                file.seek(0)
                for _ in range(_PICKLES_OF_OLD_FILES):
                    look_through(file, names=_NAMES, size=size, codes=_CODES)
    except NotAllowedError as error:
        raise ValueError(
            f"it asks for {error}, and holds more than tensors and plain values, which is refused "
            "because loading it could run code"
        ) from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is damaged (a broken download?): {error}") from None
    except _DAMAGE as error:
        raise ValueError(
            f"it is damaged (a broken download?), or was not written by PyTorch: {error}"
        ) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and zip raise a dozen kinds, with unhelpful advice
        if out_of_memory(error):
            raise
        raise ValueError(
            "it is damaged (a broken download?), or holds more than tensors and plain values, "
            "which is refused because loading it could run code"
        ) from None
    return _plain(content, size, {})


def digest_of(tensors: Iterable[Tensor]) -> str:
    """Compute the SHA-256 of tensors, with their types and shapes."""
    result = hashlib.sha256()
    for tensor in tensors:
        result.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        result.update(tensor.detach().cpu().contiguous().numpy())
    return result.hexdigest()


def _check_archive(file: IO[bytes], size: int) -> None:
    """Look through the pickle in an archive; refuse members that take more room than the file."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1 or len(set(names)) != len(names):
            raise zipfile.BadZipFile(f"it has {len(pickles)} data.pkl, or a member twice")
        if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
            raise zipfile.BadZipFile("its members are compressed, as PyTorch's never are")
        if sum(member.file_size for member in members) > size:
            raise zipfile.BadZipFile("its members are larger than the file")
        content = archive.read(pickles[0])
    look_through(io.BytesIO(content), names=_NAMES, size=len(content), codes=_CODES)


def _plain(value: Any, size: int, known: dict[int, Any], depth: int = 0) -> Any:
    """Copy containers into plain ones, each once, and refuse what does not belong into them.

    A mapping of the file's own may have been given attributes in place of its methods, and a
    tensor of four numbers a shape of millions.
    """
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.numel() * value.element_size() > size:
            raise ValueError(
                f"a tensor of shape {tuple(value.shape)} is larger than the file that it is in"
            )
        return value
    if isinstance(value, _PLAIN):
        return value
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    if id(value) not in known:
        if isinstance(value, dict):
            pairs = list(dict.items(value))
            if not all(isinstance(key, str | int) for key, _ in pairs):
                raise ValueError("it has keys that are neither texts nor numbers")
            known[id(value)] = {k: _plain(v, size, known, depth + 1) for k, v in pairs}
        elif isinstance(value, list | tuple):
            items = [_plain(item, size, known, depth + 1) for item in value]
            known[id(value)] = items if isinstance(value, list) else tuple(items)
        else:
            raise ValueError(f"it holds a {type(value).__name__}")
    return known[id(value)]
