import os
from pathlib import Path

import numpy as np
import pytest

from utils.config import PROJECT_ROOT

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Numbers computed with the original system's own code."""
    small, full = np.load(GOLDEN / "golden.npz"), np.load(GOLDEN / "golden_fulldim.npz")
    return {**small, **full}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real Clotho and AudioSet files, which are not part of the project."""
    folder = os.environ.get("AUDIO_RETRIEVAL_SHARED")
    if not folder:
        pytest.skip("AUDIO_RETRIEVAL_SHARED names no folder with the real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def sentence_model() -> Path:
    """Folder of the real all-mpnet-base-v2."""
    folder = PROJECT_ROOT / "data/all-mpnet-base-v2"
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"{folder} holds no model: run `make sentence-model`")
    return folder
