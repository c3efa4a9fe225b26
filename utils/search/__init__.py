"""A folder of sounds ─► index ─► hits ─► page.

Imports `utils.runtime`, `utils.settings`, `utils.files`, `utils.audio`, `utils.datasets`,
`utils.features`, `utils.checkpoints`, `utils.moments` and `models`.

Examples
--------
>>> from utils.search import Searcher
>>> searcher = Searcher.open("my_model", "my_sounds")
>>> searcher.search("rain on a tin roof", top=3)
[<1. ...>, <2. ...>, <3. ...>]

"""

import importlib
from typing import Any

_EXPORTED = {
    "Hit": "engine",
    "Searcher": "searcher",
    "embed_audio": "embedder",
    "embed_text": "embedder",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, because PyTorch takes seconds to import."""
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTED[name]}"), name)


def __dir__() -> list[str]:
    """List what can be imported from here."""
    return sorted([*globals(), *_EXPORTED])
