"""Measure training at Clotho's size, with the default model and loss."""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from models import architectures
from models.dual_encoder import DualEncoder, tag_embedding
from models.losses import TripletRankingLoss
from utils.benchmark.reference import (
    PlainModel,
    PlainPairs,
    PlainTraining,
    embed_pairs,
    rank_and_score,
)
from utils.benchmark.timing import Row, once, peak_memory, seconds, with_peak
from utils.datasets.splits import CAPTION_COLUMNS, captions_file
from utils.evaluation.evaluate import evaluate
from utils.features import vector_file
from utils.features.pairs import Pairs
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.config import Config
from utils.training.trainer import Schedule, Trainer

CAPTIONS_PER_CLIP = 5
CLOTHO = {"development": 3839, "validation": 1045, "evaluation": 1045}  # clips
EPOCHS, BATCH, DIMENSION, MARGIN = 30, 32, 768, 0.4
_LATENT = 24  # numbers that clip and caption have in common

Splits = dict[str, Pairs]


def measure_training(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Time a pass over the logits, an epoch and a whole run."""
    splits, table = learnable_splits(device, small=small)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = new_trainer(table, device, seed=1)
        training, validation = (
            splits[split].with_text(trainer.model) for split in ("development", "validation")
        )

        def epoch() -> None:
            trainer.train_epoch(training)
            trainer.validate(validation)

        def ours() -> tuple[float, float]:
            return seconds(lambda: trainer.train_epoch(training)), seconds(epoch)

        # Before and after the reference: another program may be busy for some seconds.
        before = ours()
        references, reference_memory = with_peak(lambda: _plain_epoch(splits, table, folder))
        one_pass, one_epoch = map(min, before, ours())
        epochs = 2 if small else EPOCHS
        run, run_memory = _whole_run(splits, table, folder, device, epochs=epochs)
    original = references["original"]
    note = "its losses on all splits, ours on validation alone"
    return [
        Row("training pass", "epoch", one_pass, references["pass"]),
        Row("pass and validation", "epoch", one_epoch, references["same work"]),
        Row("the original's epoch", "epoch", one_epoch, original, note=note),
        Row(
            "main.py, to the test scores",
            f"{epochs} epochs",
            run,
            epochs * original,
            ours_mb=run_memory,
            reference_mb=reference_memory,
            note=f"reference: {epochs} times its epoch",
        ),
    ]


def measure_agreement(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Train three epochs with three seeds, ours and plainly, to compare the scores."""
    splits, table = learnable_splits(device, small=small)
    scores: dict[str, list[float]] = {"ours": [], "plain": []}
    spent = dict.fromkeys(scores, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        plainly = _plain_splits(splits, Path(folder))
        for seed in (1, 2, 3):
            trainer = new_trainer(table, device, seed=seed)
            model = PlainModel(trainer.model)
            training = PlainTraining(model, margin=MARGIN, batch_size=BATCH, seed=seed)
            for _ in range(3):
                spent["ours"] += once(partial(trainer.train_epoch, splits["development"]))
                spent["plain"] += once(partial(training.train, plainly["development"]))
            scores["ours"].append(evaluate(trainer.model, splits["evaluation"]).means()["mAP@10"])
            _, metrics = rank_and_score(*embed_pairs(model, plainly["evaluation"]))
            scores["plain"].append(metrics["mAP@10"])
    note = "mAP@10 " + ", ".join(
        f"{name} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
        for name, values in scores.items()
    )
    return [Row("scores after 3 epochs", "3 seeds", spent["ours"], spent["plain"], note=note)]


def learnable_splits(device: torch.device, *, small: bool) -> tuple[Splits, Tensor]:
    """Make splits of Clotho's size whose clips and captions have something learnable in common.

    Returns
    -------
    splits : dict of str to Pairs
        On the device.
    tag_table : Tensor, shape (527, D)
        On the CPU.

    """
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(architectures.CLASSES, DIMENSION, generator=generator), dim=-1)
    to_logits = torch.randn(_LATENT, architectures.CLASSES, generator=generator)
    to_text = torch.randn(_LATENT, DIMENSION, generator=generator)
    splits = {}
    for name, count in CLOTHO.items():
        hidden = torch.randn(count // 60 if small else count, _LATENT, generator=generator)
        clips = torch.arange(CAPTIONS_PER_CLIP * len(hidden)) // CAPTIONS_PER_CLIP
        noise = torch.randn(len(hidden), architectures.CLASSES, generator=generator)
        logits = 0.3 * hidden @ to_logits + noise - 4
        other = torch.randn(len(clips), _LATENT, generator=generator)  # what only a caption says
        sentences = F.normalize((hidden[clips] + other) @ to_text, dim=-1)
        tags = tag_embedding(logits, table)
        splits[name] = Pairs(*(t.to(device) for t in (logits, logits, tags, sentences, clips)))
    return splits, table


def new_trainer(table: Tensor, device: torch.device, *, seed: int) -> Trainer:
    """Set up the default model and loss."""
    model = DualEncoder(
        audio_size=architectures.CLASSES,
        text_size=DIMENSION,
        tag_table=table,
        generator=torch.Generator().manual_seed(seed),
    )
    schedule = Schedule(1, BATCH, 1e-3, 0.0, 0.1, 5, 0.01)
    return Trainer(model.to(device), TripletRankingLoss(margin=MARGIN), schedule, seed=seed)


def _plain_splits(splits: Splits, folder: Path) -> dict[str, PlainPairs]:
    """Write the splits for the reference."""
    return {
        name: PlainPairs(folder / name, pairs.features, pairs.sentences, pairs.clips)
        for name, pairs in splits.items()
    }


def _plain_epoch(splits: Splits, table: Tensor, folder: Path) -> dict[str, float]:
    """Time a plain pass, alone, with our validation, and with the original's."""
    pairs = _plain_splits(splits, folder)
    model = PlainModel(new_trainer(table, torch.device("cpu"), seed=1).model)
    training = PlainTraining(model, margin=MARGIN, batch_size=BATCH, seed=1)
    one_pass = once(lambda: training.train(pairs["development"]))
    losses = {name: once(partial(training.measure, part)) for name, part in pairs.items()}
    scores = once(lambda: rank_and_score(*embed_pairs(model, pairs["validation"])))
    one_pass = min(one_pass, once(lambda: training.train(pairs["development"])))
    return {
        "pass": one_pass,
        "same work": one_pass + losses["validation"] + scores,
        "original": one_pass + sum(losses.values()) + scores,
    }


def _whole_run(
    splits: Splits, table: Tensor, folder: Path, device: torch.device, *, epochs: int
) -> tuple[float, float | None]:
    """Run `python main.py` on the splits; returns its seconds and its MB."""
    settings = {
        "output_path": "outputs",
        "train_data": {"dataset_path": ".", "input_path": "."},
        "training": {"epochs": epochs, "device": device.type},
    }
    (folder / "conf.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    _write_inputs(folder, splits, table)
    command = [sys.executable, PROJECT_ROOT / "main.py", "--config", folder / "conf.yaml"]
    started, memory = time.perf_counter(), None
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            memory = peak_memory(process.pid) or memory
            time.sleep(0.05)
    if process.returncode:
        raise InputError(f"main.py failed with status {process.returncode}; its error is above.")
    return time.perf_counter() - started, memory


def _write_inputs(folder: Path, splits: Splits, table: Tensor) -> None:
    """Write captions and vectors as the numbered scripts do."""
    audio_ids, caption_ids, texts = [], [], []
    for split, pairs in splits.items():
        rows = []
        for cid, clip in enumerate(pairs.clips.tolist(), start=len(texts) + 1):
            name, text = f"{split} {clip}.wav", f"Caption {cid} of clip {clip}."
            rows.append((cid, len(audio_ids) + clip + 1, name, text, text, text.split()))
            caption_ids.append(f"{split}/{cid}")
            texts.append(text)
        audio_ids += [f"{split}/{split} {clip}.wav" for clip in range(len(pairs.features))]
        pd.DataFrame(rows, columns=CAPTION_COLUMNS).to_json(captions_file(folder, split))
    sentence_model = {"weights_sha256": Config().sentence_model.sha256}
    vector_file.write_vectors(
        folder / "audio_logits_passt.hdf5",
        audio_ids,
        torch.cat([pairs.features for pairs in splits.values()]).cpu().numpy(),
        attributes={"what": vector_file.LOGITS, "model": "demo", "weights_sha256": "random"},
    )
    vector_file.write_vectors(
        folder / "sentence_embeddings_mpnet.hdf5",
        caption_ids,
        torch.cat([pairs.sentences for pairs in splits.values()]).cpu().numpy(),
        attributes={"what": vector_file.CAPTIONS, **sentence_model},
        columns={"texts": texts},
    )
    vector_file.write_vectors(
        folder / "audioset_527_tags_embeddings_mpnet.hdf5",
        [str(index) for index in range(len(table))],
        table.numpy(),
        attributes={"what": vector_file.tags_of("tags"), **sentence_model},
    )
