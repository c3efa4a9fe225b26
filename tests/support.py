"""What tests share beside fixtures."""

import importlib.util
import json
from pathlib import Path

import torch

from models.dual_encoder import DualEncoder
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


def train(settings: list[str], *arguments: str):
    """Run main.py in this process; returns the run folder and its metrics."""
    load_script("main").main([*arguments, *options(settings)])
    (output,) = (s.partition("=")[2] for s in settings if s.startswith("output_path="))
    run = max((PROJECT_ROOT / output / "demo").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    return run, json.loads((run / "metrics.json").read_text())


def scores(metrics: dict) -> dict:
    return {key: metrics[key] for key in ("scores", "intervals_95", "median_rank", "best_epoch")}


# The golden numbers' names for the two forms of the original audio encoder.
LOGITS_BRANCH = ("Sauvegarde", "layer_norm", "projection_layer", "logits")
SCENE_BRANCH = (
    "PasstEncoder",
    "scene_embedding_layer_norm",
    "scene_embedding_projection_layer",
    "scene",
)


def golden_encoder(golden, weights: str, norm: str, projection: str, *, tags) -> DualEncoder:
    """The dual encoder with the golden weights of these names."""
    state = {
        f"{ours}.{part}": torch.from_numpy(golden[f"{weights}_{theirs}.{part}"])
        for ours, theirs in (("audio_norm", norm), ("audio_projection", projection))
        for part in ("weight", "bias")
    }
    text_size, audio_size = state["audio_projection.weight"].shape
    model = DualEncoder(audio_size=audio_size, text_size=text_size, tag_table=tags)
    model.to(tags.dtype).load_state_dict({**state, "tag_table": tags})
    return model
