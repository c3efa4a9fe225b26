"""The rates of a fine-tuning."""

import pytest
from torch import nn

from utils.finetuning.schedule import make_optimizer, rate_factor
from utils.settings.config import Finetuning


def test_the_rate_rises_then_falls_to_the_lowest():
    of = [rate_factor(step, warmup=10, steps=100, lowest=0.01) for step in range(101)]
    assert of[:11] == sorted(of[:11])
    assert of[10] == 1
    assert of[10:] == sorted(of[10:], reverse=True)
    assert of[100] == pytest.approx(0.01)


def test_without_a_warm_up_the_first_step_has_the_highest_rate():
    assert rate_factor(0, warmup=0, steps=10, lowest=0) == 1


def test_each_network_has_its_rate_and_only_matrices_decay():
    network = nn.Module()
    network.passt, network.sentences = nn.Linear(2, 3), nn.Linear(2, 4)
    network.heads, loss = nn.Linear(2, 5), nn.Module()
    network.passt.bias.requires_grad_(False)
    settings = Finetuning(
        audio_learning_rate=1e-5,
        text_learning_rate=2e-5,
        heads_learning_rate=3e-5,
        weight_decay=0.1,
    )
    groups = make_optimizer(network, loss, settings).param_groups
    found = [(g["lr"], g["weight_decay"], [p.shape for p in g["params"]]) for g in groups]
    assert found == [
        (1e-5, 0.1, [(3, 2)]),
        (2e-5, 0.1, [(4, 2)]),
        (2e-5, 0.0, [(4,)]),
        (3e-5, 0.1, [(5, 2)]),
        (3e-5, 0.0, [(5,)]),
    ]
