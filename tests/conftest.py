import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from utils.demo.scenes import write_demo_set
from utils.settings.config import PROJECT_ROOT

DEMO_CONFIG = PROJECT_ROOT / "data/demo/conf.yaml"
GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "audio_logits": "audio_logits_passt.hdf5",
    "audio_scene": "audio_scene_passt.hdf5",
    "caption_embeddings": "sentence_embeddings_mpnet.hdf5",
    "tag_embeddings": "audioset_527_tags_embeddings_mpnet.hdf5",
}


class Bar:
    """Counts what a progress bar would show."""

    def __init__(self, total):
        self.total, self.done = total, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, count):
        self.done += count


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


def load_script(name: str):
    """Import a numbered script (or main.py) as a module; its `main(argv)` runs it."""
    path = PROJECT_ROOT / ("main.py" if name == "main" else f"scripts/{name}.py")
    spec = importlib.util.spec_from_file_location(f"script_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(settings: list[str]) -> list[str]:
    """Command-line options: the demo's settings file, and --set for each setting."""
    return ["--config", str(DEMO_CONFIG), *(p for s in settings for p in ("--set", s))]


def run_pipeline(settings: list[str]) -> None:
    """Run the scripts from preprocessing to tag embeddings with these settings."""
    for name in (
        "01_preprocess",
        "03_audio_features",
        "04_sentence_embeddings",
        "06_audioset_tag_embeddings",
    ):
        load_script(name).main(options(settings))


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory, sentence_model) -> Path:
    """A small demo set in `clotho`, with all its vectors in `processed`, in a folder of its own."""
    folder = tmp_path_factory.mktemp("small_demo")
    write_demo_set(folder / "clotho", clips=(30, 10, 10), seed=5, jobs=2)
    run_pipeline(settings_for(folder))
    return folder


@pytest.fixture(scope="session")
def trained(small_demo, tmp_path_factory) -> Path:
    """A checkpoint that was trained on the small demo set."""
    outputs = tmp_path_factory.mktemp("trained")
    load_script("main").main(options(settings_for(small_demo, outputs=outputs)))
    (checkpoint,) = outputs.glob("demo/*/checkpoint_best.pt")
    return checkpoint


def settings_for(folder: Path, *, outputs: Path | None = None) -> list[str]:
    """The settings that point the pipeline at `clotho`, `processed` and `outputs` in a folder."""
    return [
        f"train_data.dataset_path={folder / 'clotho'}",
        f"train_data.input_path={folder / 'processed'}",
        f"output_path={outputs or folder / 'outputs'}",
        "precision=fp32",
        "training.epochs=2",
        "training.device=cpu",
    ]


@pytest.fixture
def own_outputs(small_demo, tmp_path):
    """Settings for the small demo set that write their runs into a folder of the test's own."""
    return settings_for(small_demo, outputs=tmp_path / "outputs")


def train(settings: list[str], *arguments: str):
    """Run main.py in this process; returns the run folder and its metrics."""
    load_script("main").main([*arguments, *options(settings)])
    (output,) = (s.partition("=")[2] for s in settings if s.startswith("output_path="))
    run = max((PROJECT_ROOT / output / "demo").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    return run, json.loads((run / "metrics.json").read_text())


def scores(metrics: dict) -> dict:
    return {key: metrics[key] for key in ("scores", "intervals_95", "median_rank", "best_epoch")}
