"""Measure ranking, and search among a million made-up clips."""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.dual_encoder import DualEncoder
from utils.benchmark.made_up_clips import MadeUpClips
from utils.benchmark.reference import rank_and_score
from utils.benchmark.timing import Row, latencies, once, seconds, with_peak
from utils.benchmark.training_stages import CAPTIONS_PER_CLIP, CLOTHO, DIMENSION, new_trainer
from utils.datasets import audioset
from utils.evaluation.metrics import single_relevant
from utils.evaluation.ranking import rank_clips
from utils.features.pairs import Pairs
from utils.features.sentences import TextEncoder
from utils.search.nearest import approximate
from utils.search.nearest.exact import as_tensor
from utils.settings.config import Config

_PASSES = 10  # of training, for the model that embeds the million clips


def measure_ranking(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Rank and score the captions of Clotho's evaluation split among all its clips."""
    clips = 50 if small else CLOTHO["evaluation"]
    generator = torch.Generator().manual_seed(0)
    audio, queries = (
        F.normalize(torch.randn(count, DIMENSION, generator=generator), dim=-1).to(device)
        for count in (clips, CAPTIONS_PER_CLIP * clips)
    )
    own = (torch.arange(len(queries)) // CAPTIONS_PER_CLIP).to(device)
    clips_of = own.tolist()
    reference = min(once(lambda: rank_and_score(audio, queries, clips_of)) for _ in range(3))
    ours = seconds(lambda: single_relevant(rank_clips(audio, queries, own)))
    return [Row("ranks and metrics", f"{len(queries)}x{clips}", ours, reference)]


def measure_million(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Find the ten best of a million clips for captions, embedded by a model trained on both."""
    clips, paired, asked = (3000, 40, 60) if small else (1_000_000, 1000, 300)
    names = audioset.read_labels()
    embed = TextEncoder(config)
    table = embed(names)
    made_up = MadeUpClips(names, table, rng=np.random.default_rng(0))
    trainer = new_trainer(torch.from_numpy(table), device, seed=1)
    model = trainer.model
    logits, tags = made_up.draw(paired)
    captions = [made_up.describe(tags[i // 2]) for i in range(2 * paired)]
    queries = [made_up.describe(tags) for tags in made_up.draw(asked)[1]]
    sentences = torch.from_numpy(embed([*captions, *queries])).to(device)
    features = torch.from_numpy(logits).to(device)
    pairs = Pairs(
        features=features,
        logits=features,
        tags=model.embed_tags(features),
        sentences=sentences[: len(captions)],
        clips=torch.arange(len(captions), device=device) // 2,
    )
    for _ in range(_PASSES):
        trainer.train_epoch(pairs)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        path = Path(name) / "vectors.npy"
        _write_embeddings(path, made_up, model, clips, device)
        return search_rows(
            np.load(path, mmap_mode="r"),
            model.encode_text(sentences[len(captions) :]).cpu().numpy(),
            model.encode_text(model.tag_table).cpu().numpy(),
            folder=Path(name),
        )


def search_rows(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    sample: NDArray[np.float32],
    *,
    folder: Path,
) -> list[Row]:
    """Time exact and approximate search; the reference scores and sorts all clips per query.

    Parameters
    ----------
    vectors : ndarray, shape (clips, D)
    queries : ndarray, shape (queries, D)
    sample : ndarray, shape (texts, D)
        Texts that the approximate search is tuned with.
    folder : Path
        Where the index is written, to measure its size.

    """
    exact = approximate.ExactSearch(vectors)
    audio = as_tensor(vectors)
    best, _ = exact.search(queries, 10)  # also reads the file
    reference, _ = latencies(
        lambda query: (audio @ query).argsort(descending=True)[:10], torch.from_numpy(queries[:4])
    )
    one, one_p99 = latencies(lambda query: exact.search(query[None], 10), queries[:50])
    many = queries[:100]
    together = min(once(lambda: exact.search(many, 10)) for _ in range(3)) / len(many)

    started = time.perf_counter()
    build = partial(approximate.ApproximateSearch.build, vectors, sample=sample, seed=0)
    search, memory = with_peak(build)  # includes the mapped vectors
    took = time.perf_counter() - started
    search.save(folder / "index")
    quick, quick_p99 = latencies(lambda query: search.search(query[None], 10), queries)
    quick_together = min(once(lambda: search.search(many, 10)) for _ in range(3)) / len(many)
    recall = approximate.recall_of(search.search(queries, 10)[0], best)
    unit = f"query of {len(vectors):.0e}"
    note = (
        f"p99 {1e3 * quick_p99:.1f} ms; {recall:.1%} of the ten best, {search.tuning.recall:.1%} "
        f"estimated; built in {took:.0f} s, {(folder / 'index').stat().st_size / 1e6:.0f} MB"
    )
    return [
        Row("exact, one query", unit, one, reference, note=f"p99 {1e3 * one_p99:.1f} ms"),
        Row(f"exact, {len(many)} at once", unit, together, reference),
        Row("approximate, one query", unit, quick, reference, ours_mb=memory, note=note),
        Row(f"approximate, {len(many)} at once", unit, quick_together, reference),
    ]


def _write_embeddings(
    path: Path, made_up: MadeUpClips, model: DualEncoder, clips: int, device: torch.device
) -> None:
    """Draw clips and write their embeddings, some at a time."""
    shape = (clips, DIMENSION)
    vectors = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=shape)
    for first in range(0, clips, 20_000):
        part = vectors[first : first + 20_000]
        logits = torch.from_numpy(made_up.draw(len(part))[0]).to(device)
        part[:] = model.encode_audio(logits, model.embed_tags(logits)).cpu().numpy()
