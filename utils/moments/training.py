"""Train the network that finds the cells of moments.

Shapes: F curves, C cells of a recording.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.architectures import CELL_SECONDS
from models.moment_net import MomentNet
from utils.datasets.moment_lists import Window

_CROP = 96  # cells of a recording in a batch: a part of it, another one in each epoch
_OVERLAP_WEIGHT = 0.5


class Example(NamedTuple):
    """A query about a recording: its curves, shape (F, C), and each cell's share in a moment."""

    curves: Tensor
    wanted: Tensor


@dataclass(frozen=True)
class Schedule:
    """Length of the training and its highest learning rate."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float


def share_of_cells(windows: Sequence[Window], count: int) -> Tensor:
    """Compute how much of each cell is inside of windows in seconds: shape (count,).

    Examples
    --------
    >>> share_of_cells([(0.5, 1.25)], 4)
    tensor([0.0000, 1.0000, 0.5000, 0.0000])

    """
    begin = CELL_SECONDS * torch.arange(count)
    share = torch.zeros(count)
    for start, end in windows:
        inside = (begin + CELL_SECONDS).clamp(max=end) - begin.clamp(min=start)
        share = torch.maximum(share, inside.clamp(min=0) / CELL_SECONDS)
    return share


def moment_loss(logits: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Measure how wrong cells are, each by itself, and how little the moments as wholes overlap.

    The second is 1 - the intersection over union of soft sets (M. A. Rahman, Y. Wang, 2016), with
    one cell added to both, so that parts without a moment count too. It weighs short moments as
    much as long ones.

    Parameters
    ----------
    logits, wanted : Tensor, shape (B, C)
    there : Tensor, shape (B, C), bool
        False for padding.

    """
    losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    of_cells = (losses * there).sum(dim=1) / there.sum(dim=1)
    inside = logits.sigmoid() * there
    shared = (inside * wanted).sum(dim=1)
    union = (inside + wanted).sum(dim=1) - shared
    return (of_cells + _OVERLAP_WEIGHT * (1 - (shared + 1) / (union + 1))).mean()


def train_moment_net(
    net: MomentNet,
    examples: Sequence[Example],
    schedule: Schedule,
    *,
    seed: int,
    validate: Callable[[MomentNet], float],
    after_epoch: Callable[[int, float, float, bool], Any] = lambda *row: None,
) -> None:
    """Train a network, and leave it with the weights of its best epoch.

    Parameters
    ----------
    examples : sequence of Example
    seed : int
        Of the order and the parts of the examples, and of dropout.
    validate : callable
        The network in evaluation mode ─► its score, more is better.
    after_epoch : callable
        Called with the number of the epoch, the mean loss, the score, and whether it is the best.

    """
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    steps = schedule.epochs * -(-len(examples) // schedule.batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=steps
    )
    best, best_weights = float("-inf"), {}
    for epoch in range(1, schedule.epochs + 1):
        net.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global random state
            torch.manual_seed(hash((seed, epoch)))
            for curves, wanted, there in _batches(examples, schedule.batch_size, order):
                loss = moment_loss(net(curves, there), wanted, there)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                total += loss.item() * len(curves)
        net.eval()
        score = validate(net)
        improved = score > best
        if improved:
            best, best_weights = score, copy.deepcopy(net.state_dict())
        after_epoch(epoch, total / len(examples), score, improved)
    net.load_state_dict(best_weights)


def _batches(
    examples: Sequence[Example], size: int, order: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Draw a part of each example, padded: curves (B, F, C), shares (B, C), and what is there."""
    for numbers in torch.randperm(len(examples), generator=order).split(size):
        batch = [_part(examples[number], order) for number in numbers]
        longest = max(len(wanted) for _, wanted in batch)

        def padded(part: Tensor, longest: int = longest) -> Tensor:
            return F.pad(part, (0, longest - part.shape[-1]))

        yield (
            torch.stack([padded(curves) for curves, _ in batch]),
            torch.stack([padded(wanted) for _, wanted in batch]),
            torch.stack([torch.arange(longest) < len(wanted) for _, wanted in batch]),
        )


def _part(example: Example, order: torch.Generator) -> Example:
    """Cut a random part of `_CROP` cells out of a longer recording."""
    spare = max(0, len(example.wanted) - _CROP)
    start = int(torch.randint(spare + 1, (), generator=order))
    return Example(*(part[..., start : start + _CROP] for part in example))
