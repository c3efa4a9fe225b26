"""The optimiser of a fine-tuning: AdamW with a rate for each part, a warm-up and a cosine."""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from utils.finetuning.network import EndToEnd
from utils.settings.config import Finetuning


def make_optimizer(network: EndToEnd, loss: nn.Module, settings: Finetuning) -> torch.optim.AdamW:
    """Give each network its own rate, and decay its matrices alone."""
    named = [
        (settings.audio_learning_rate, [network.passt]),
        (settings.text_learning_rate, [network.sentences] if network.sentences else []),
        (settings.heads_learning_rate, [network.heads, loss]),
    ]
    groups = [group for rate, of in named for group in _groups(of, rate, settings.weight_decay)]
    return torch.optim.AdamW(groups)


def make_scheduler(
    optimizer: torch.optim.Optimizer, settings: Finetuning, *, steps_of_epoch: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """Let rates rise in the warm-up and fall along a cosine until the last step."""
    factor = partial(
        rate_factor,
        warmup=settings.warmup_epochs * steps_of_epoch,
        steps=settings.epochs * steps_of_epoch,
        lowest=settings.lowest_learning_rate,
    )
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def rate_factor(step: int, *, warmup: float, steps: float, lowest: float) -> float:
    """Compute the share of the highest rate at a step, from 0.

    Examples
    --------
    >>> [round(rate_factor(s, warmup=2, steps=6, lowest=0.0), 2) for s in range(6)]
    [0.33, 0.67, 1.0, 0.85, 0.5, 0.15]

    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1.0, steps - warmup))
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * done)) / 2


def _groups(parts: list[nn.Module], rate: float, decay: float) -> Iterator[dict]:
    parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
    for decayed in (True, False):
        chosen = [p for p in parameters if (p.ndim > 1) == decayed]
        if chosen:
            yield {"params": chosen, "lr": rate, "weight_decay": decay if decayed else 0.0}
