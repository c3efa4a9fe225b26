"""What tests share beside fixtures."""

import csv
import errno
import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from models.dual_encoder import DualEncoder
from utils.audio.sound_file import mono_blocks
from utils.checkpoints.checkpoint import load_checkpoint
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.config import to_plain

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

    def update(self, count=1):
        self.done += count


def load_script(name: str):
    """Import a numbered script (or main.py) as a module; its `main(argv)` runs it."""
    path = PROJECT_ROOT / ("main.py" if name == "main" else f"scripts/{name}.py")
    if (scripts := str(PROJECT_ROOT / "scripts")) not in sys.path:
        sys.path.append(scripts)  # for `import start`
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


def stub_report(run, *_, **__) -> None:
    """Stands in for `utils.runs.report.write_report`."""
    run.report.write_text("a report", encoding="utf-8")


def runs_in(settings: list[str]) -> list[Path]:
    """The run folders below the output_path of these settings, oldest first."""
    (output,) = (Path(s.partition("=")[2]) for s in settings if s.startswith("output_path="))
    return sorted((output / "demo").iterdir())


def age(run: Path, *names: str) -> None:
    """Turn checkpoints of a run, 'best' or 'last', into those of an older version: .pt files."""
    for name in names:
        new = run / f"checkpoint_{name}.safetensors"
        checkpoint = load_checkpoint(new)
        content = {
            "format": 1,
            "settings": to_plain(checkpoint.settings),
            "trained_on": checkpoint.trained_on,
            "trained_with": asdict(checkpoint.trained_with),
        }
        if checkpoint.trainer is None:
            content["model"] = checkpoint.weights
        else:
            origin = json.loads((run / "run.json").read_text())
            content |= {"trainer": checkpoint.trainer, "begun_with": origin["begun_with"]}
        torch.save(content, new.with_suffix(".pt"))
        new.unlink()
    (run / "run.json").unlink()


def read_audio(path: Path, **options) -> np.ndarray:
    """Decode a whole sound file, as `mono_blocks` does piece by piece."""
    return np.concatenate(list(mono_blocks(path, **options)))


def write_captions(folder: Path, split: str, table: dict[str, list[str]]) -> None:
    """Write a file of captions as Clotho's own, with CRLF as line ends."""
    count = len(next(iter(table.values())))
    with (folder / f"clotho_captions_{split}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", *(f"caption_{i + 1}" for i in range(count))])
        writer.writerows([name, *captions] for name, captions in table.items())


def unit(rng, *shape):
    """Draw float32 unit vectors."""
    vectors = rng.standard_normal(shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def make_retrieval(clip_of_caption, audio, text, logits=None):
    """Retrieve the slow and obvious way: sort every row of scores."""
    from utils.datasets.splits import CaptionSplit
    from utils.evaluation.metrics import Evaluation, single_relevant
    from utils.runs.report.findings import Retrieval

    clips = np.asarray(clip_of_caption)
    audio, text = (np.asarray(vectors, dtype=np.float32) for vectors in (audio, text))
    scores = text @ audio.T
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = 1 + np.array([row.tolist().index(c) for row, c in zip(order, clips, strict=True)])
    split = CaptionSplit(
        split="evaluation",
        cids=np.arange(len(clips)),
        captions=[f"caption {i}" for i in range(len(clips))],
        clip_of_caption=clips,
        clip_names=[f"clip {i}.wav" for i in range(len(audio))],
        clip_fids=np.arange(len(audio)),
    )
    evaluation = Evaluation(
        ranks=ranks,
        best=order[:, :10],
        scores=np.take_along_axis(scores, order[:, :10], axis=1),
        values=single_relevant(ranks),
        audio_to_text={},
        clips=clips,
    )
    return Retrieval(split, evaluation, audio, text, logits)


def random_retrieval(*, clips: int, with_logits: bool = True):
    """Make clips with three noisy captions each, and logits of 12 tags."""
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(clips, 16))
    own = np.repeat(np.arange(clips), 3)
    text = audio[own] + rng.normal(size=(len(own), 16))
    audio, text = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (audio, text))
    logits = rng.normal(size=(clips, 12)).astype(np.float32) if with_logits else None
    return make_retrieval(own, audio, text, logits)


def folder_to_search(small_demo: Path, folder: Path) -> Path:
    """Make a folder of ten sounds, one of them twice under an odd name, and other files."""
    shutil.copytree(small_demo / "clotho/evaluation", folder / "sub")
    shutil.copy(min((folder / "sub").iterdir()), folder / "a <b> & 'c'.wav")
    for name in ("broken.flac", "read me.txt", "notes.TXT", ".hidden.flac"):
        (folder / name).write_bytes(b"no sound")
    return folder


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


def run_python(program: str, *arguments: object, status: int = 0) -> subprocess.CompletedProcess:
    """Run a program in a new process that must end with a status; returns what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == status, process.stderr
    return process


def break_disk(monkeypatch, path: Path, *, after: int = 0) -> None:
    """Let a file be opened so many times; then its disk does not answer."""
    real, opened = Path.open, []

    def open_(self, *args, **kwargs):
        if self == path:
            opened.append(self)
            if len(opened) > after:
                raise OSError(errno.EIO, "Input/output error", str(path))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_)


def noting(bars: list[Bar]):
    """Return a function that makes progress bars and keeps them in a list."""

    def progress(total):
        bars.append(Bar(total))
        return bars[-1]

    return progress
