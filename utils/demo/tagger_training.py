"""Train the small tagger that replaces PaSST for the synthetic demo sounds.

Shapes: B batch, M mel bands, T frames, K AudioSet classes, N clips.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional as F

from utils.demo.scenes import render_scene, sample_scene, scene_tags
from utils.demo.sound_events import EVENT_KINDS, EventKind
from utils.runtime.devices import autocast
from utils.runtime.pools import worker_pool

HEARD_SECONDS = 0.3  # the shortest part of an event in a crop that counts as heard
_OTHER_RATES = (22_050, 44_100, 48_000)  # of clips, which the network should not depend on
_OTHER_RATE_SHARE = 0.25
_RARE = -6.0  # initial logit of every class: most of the 527 never occur
_LENGTH_POOL = 16  # batches that are sorted by length together

Clip = tuple[NDArray[np.float32], tuple[str, ...]]


def render_clip(
    seed: int,
    index: int,
    *,
    sample_rate: int,
    longest: float,
    kinds: Mapping[str, EventKind] = EVENT_KINDS,
) -> Clip:
    """Render one random scene, at most `longest` seconds of it, and name its tags."""
    rng = np.random.default_rng([seed, index])
    scene = sample_scene(rng, kinds=kinds)
    rate = sample_rate
    if rng.random() < _OTHER_RATE_SHARE:
        rate = int(rng.choice(_OTHER_RATES))
    samples = render_scene(scene, rng, rate)
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    if scene.duration <= longest:
        return samples, scene_tags(scene)
    start = rng.uniform(0, scene.duration - longest)
    heard = {
        tag
        for event in scene.events
        for tag in event.kind.tags
        if min(event.onset + event.seconds, start + longest) - max(event.onset, start)
        >= HEARD_SECONDS
    }
    first = round(start * sample_rate)
    return samples[first : first + round(longest * sample_rate)], tuple(sorted(heard))


def render_clips(
    seed: int,
    count: int,
    *,
    sample_rate: int,
    longest: float,
    kinds: Mapping[str, EventKind] = EVENT_KINDS,
    jobs: int,
) -> Iterator[Clip]:
    """Render clips 0 to count - 1 of a seed in `jobs` processes, in order."""
    render = partial(render_clip, seed, sample_rate=sample_rate, longest=longest, kinds=kinds)
    chunk = 32 * jobs
    with worker_pool(jobs) as pool:
        for start in range(0, count, chunk):
            yield from pool.map(render, range(start, min(start + chunk, count)))


def targets(tags: Sequence[Sequence[str]], labels: Sequence[str]) -> Tensor:
    """Turn tag names into a 0/1 table, shape (N, K)."""
    index = {label: i for i, label in enumerate(labels)}
    table = torch.zeros(len(tags), len(labels))
    for row, names in enumerate(tags):
        table[row, [index[name] for name in names]] = 1.0
    return table


def train_tagger(
    net: nn.Module,
    mels: Sequence[Tensor],
    wanted: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
    report: Callable[[int, float], Any],
) -> None:
    """Train a PaSST network on log-mel spectrograms of unequal length.

    Parameters
    ----------
    net : nn.Module
        Mels (B, 1, M, T) ─► logits (B, K) and features; with a ``head`` ending in a linear layer.
    mels : sequence of N Tensors, shape (M, T_i), float16
    wanted : Tensor, shape (N, K)
        1 where the tag applies.
    learning_rate : float
        Peak of a one-cycle schedule of AdamW.
    precision : {'fp32', 'bf16'}
    report : callable
        Called with each epoch and its mean loss.

    """
    generator = torch.Generator().manual_seed(seed)
    nn.init.constant_(net.head[-1].bias, _RARE)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate,
        fused=True,
    )
    steps = epochs * math.ceil(len(mels) / batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.15
    )
    net.train()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Input image size")
        for epoch in range(1, epochs + 1):
            total = 0.0
            for batch in _batches([m.shape[1] for m in mels], batch_size, generator):
                inputs = _crop([mels[i] for i in batch], generator)
                with autocast(torch.device("cpu"), precision):
                    logits, _ = net(inputs)
                loss = F.binary_cross_entropy_with_logits(
                    logits.float(), wanted[batch], reduction="sum"
                ) / len(batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                total += loss.item() * len(batch)
            report(epoch, total / len(mels))
    net.eval()


@torch.inference_mode()
def score_tagger(
    tagger: nn.Module, clips: Sequence[NDArray[np.float32]], wanted: Tensor
) -> tuple[float, NDArray[np.float64]]:
    """Measure how well a tagger ranks clips under each tag.

    Parameters
    ----------
    tagger : nn.Module
        Samples (B, S) ─► logits (B, K) and features.
    clips : sequence of N ndarrays
    wanted : Tensor, shape (N, K)

    Returns
    -------
    mean_average_precision : float
        Over the tags that occur.
    average_precisions : ndarray, shape (K,)
        NaN for tags that never occur.

    """
    logits = torch.cat([tagger(torch.from_numpy(clip)[None])[0] for clip in clips]).numpy()
    truth = wanted.numpy()
    scores = np.full(truth.shape[1], np.nan)
    for k in np.flatnonzero(truth.any(axis=0)):
        scores[k] = average_precision_score(truth[:, k], logits[:, k])
    return float(np.nanmean(scores)), scores


def _batches(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Shuffle, but let clips of similar length share a batch."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), batch_size * _LENGTH_POOL):
        pool = sorted(order[start : start + batch_size * _LENGTH_POOL], key=lambda i: lengths[i])
        batches += [pool[s : s + batch_size] for s in range(0, len(pool), batch_size)]
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i]


def _crop(mels: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Cut spectrograms to the shortest of them, at random places: (B, 1, M, T)."""
    shortest = min(m.shape[1] for m in mels)
    cut = []
    for mel in mels:
        start = int(torch.randint(mel.shape[1] - shortest + 1, (), generator=generator))
        cut.append(mel[:, start : start + shortest])
    return torch.stack(cut).unsqueeze(1).float()
