import copy
import functools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from safetensors.torch import load_file, save_file

from tests.support import GOLDEN, run_pipeline, settings_for, stub_report, train
from utils.demo.scenes import write_demo_set
from utils.features import weights
from utils.files.reading import sha256
from utils.runs import training_run
from utils.runs.report import write_report
from utils.runtime.paths import PROJECT_ROOT


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


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder once for all processes that share the tests; do not change what is in it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        finished = folder / f"{name}.finished"
        with FileLock(folder / f"{name}.lock"):
            if not finished.exists():
                make(folder / name)
                finished.touch()
        return folder / name

    return made


@pytest.fixture(scope="session")
def quick_sentence_model(made_once, sentence_model) -> list[str]:
    """Settings for a sentence model of one layer, the first of the real one."""

    def make(folder: Path) -> None:
        shutil.copytree(
            sentence_model, folder, ignore=shutil.ignore_patterns("model.safetensors", ".*")
        )
        state = load_file(sentence_model / "model.safetensors")
        first = {name: part for name, part in state.items() if not re.search(r"\.[1-9]\d*\.", name)}
        save_file(first, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))

    folder = made_once("quick_sentence_model", make)
    checksum = sha256(folder / "model.safetensors")
    return [f"sentence_model.path={folder}", f"sentence_model.sha256={checksum}"]


@pytest.fixture(scope="session")
def small_demo(made_once, sentence_model) -> Path:
    """A small demo set in `clotho`, with all its vectors in `processed`, in a folder of its own."""

    def make(folder: Path) -> None:
        write_demo_set(folder / "clotho", clips=(30, 10, 10), seed=5, jobs=2)
        run_pipeline(settings_for(folder))

    return made_once("small_demo", make)


@pytest.fixture(scope="session", autouse=True)
def one_sentence_model():
    """Commands of one process share the sentence model: its hash and its weights take seconds."""
    real = (PROJECT_ROOT / "data/all-mpnet-base-v2").resolve()
    load, hashed = weights.load_sentence_model, weights.sha256
    loaded, known = functools.cache(load), functools.cache(lambda path, *_: hashed(path))

    def sharing_weights(folder: Path):
        if folder.resolve() != real:
            return load(folder)
        model = loaded(real)
        shared = [model.tokenizer, *model.parameters(), *model.buffers()]
        return copy.deepcopy(model, {id(part): part for part in shared})

    def hashed_once(path: Path) -> str:
        if path.parent.resolve() != real:
            return hashed(path)
        state = path.stat()
        return known(path, state.st_size, state.st_mtime_ns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "load_sentence_model", sharing_weights)
        patch.setattr(weights, "sha256", hashed_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_report():
    """Runs write a stub of a report, because the real one takes longer than their training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "write_report", stub_report)
        yield


@pytest.fixture(scope="session")
def trained(small_demo, made_once) -> Path:
    """A checkpoint that was trained on the small demo set, in a run folder with its report."""

    def make(outputs: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_run, "write_report", write_report)
            train(settings_for(small_demo, outputs=outputs))

    (checkpoint,) = made_once("trained", make).rglob("checkpoint_best.safetensors")
    return checkpoint


@pytest.fixture
def finished_run(trained, tmp_path) -> Path:
    """A copy of that run folder, to change."""
    return shutil.copytree(trained.parent, tmp_path / "run")


@pytest.fixture
def own_demo(small_demo, tmp_path) -> Path:
    """The small demo set, with its vectors, in a folder of the test's own."""
    for folder in ("clotho", "processed"):
        shutil.copytree(small_demo / folder, tmp_path / folder)
    return tmp_path


@pytest.fixture
def own_outputs(small_demo, tmp_path):
    """Settings for the small demo set that write their runs into a folder of the test's own."""
    return settings_for(small_demo, outputs=tmp_path / "outputs")
