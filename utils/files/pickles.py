"""Pickles read without trusting them: a pickle can name any function and have it called."""

import io
import pickle
from pathlib import Path
from typing import Any

from utils.files.reading import read_bytes
from utils.runtime.errors import InputError

_CLASSES = {cls.__name__: cls for cls in (set, frozenset)}  # other built-in types need no name
_BUILTINS = ("builtins", "__builtin__")  # the module's name in Python 3 and 2


class _NotAllowedError(pickle.UnpicklingError):
    """A pickle names something else than a built-in type; the message is the name."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if module not in _BUILTINS or name not in _CLASSES:
            raise _NotAllowedError(f"{module}.{name}")
        return _CLASSES[name]


def safe_unpickle(path: str | Path) -> Any:
    """Load a pickle of built-in types: numbers, texts, bytes, lists, tuples, dicts and sets.

    Raises
    ------
    InputError
        If the file cannot be read, is not a pickle, or names anything else. No code in it is run.

    """
    content = read_bytes(path)
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except _NotAllowedError as error:
        raise InputError(
            f"{path} asks for {error}, and only built-in types are loaded: a pickle can run any "
            "code. Write the file again with the script that makes it."
        ) from None
    except MemoryError as error:
        raise InputError(
            f"not enough memory to read {path} ({len(content)} bytes): close other programs. If "
            "there is enough, it is damaged: write it again with the script that makes it."
        ) from error
    except Exception as error:  # a damaged pickle can raise any kind
        raise InputError(
            f"{path} is not a pickle that can be read, or is damaged "
            f"({type(error).__name__}: {error}). Write it again with the script that makes it."
        ) from error
