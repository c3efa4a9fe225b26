import copy

import pytest
import torch

from utils.training.adam import Adam


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_equal_pytorchs_also_after_a_new_rate_and_a_restored_state(weight_decay):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((4, 3), (4,), ())]
    gradients = [[torch.randn(s.shape, generator=generator) for s in start] for _ in range(6)]
    ours = [s.clone().requires_grad_() for s in start]
    theirs = [s.clone().requires_grad_() for s in start]
    fast = Adam(ours, lr=0.1, weight_decay=weight_decay)
    plain = torch.optim.Adam(theirs, lr=0.1, weight_decay=weight_decay, fused=True)
    for number, gradient in enumerate(gradients):
        if number == 2:
            for optimizer in (fast, plain):
                optimizer.param_groups[0]["lr"] = 0.03
        if number == 4:
            state = copy.deepcopy(fast.state_dict())
            fast = Adam(ours, lr=1.0, weight_decay=weight_decay)
            fast.load_state_dict(state)
        for one, other, g in zip(ours, theirs, gradient, strict=True):
            one.grad, other.grad = g.clone(), g.clone()
        fast.fused_step()
        plain.step()
        assert all(one.grad is None for one in ours)
        for one, other, before in zip(ours, theirs, start, strict=True):
            assert torch.equal(one, other)
            assert not torch.equal(one, before)
