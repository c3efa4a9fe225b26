"""Adam, without what PyTorch's own checks at every step: a third of the time of a small step."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """`torch.optim.Adam` with a `fused_step` that equals its `step`, for parameters of one kind.

    Parameters
    ----------
    parameters : iterable of Tensor
        All on one device and of one type, all with a gradient at every step.
    lr, weight_decay : float

    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self._lists: tuple[list[Tensor], ...] | None = None

    @torch.no_grad()
    def fused_step(self) -> None:
        """Take one step and drop the gradients."""
        if self._lists is None:
            self.step()  # makes the moments
            self._lists = self._gather()
        else:
            parameters, averages, squares, steps = self._lists
            group = self.param_groups[0]
            steps[0] += 1  # one tensor for all
            torch._fused_adam_(
                parameters,
                [parameter.grad for parameter in parameters],
                averages,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        for parameter in self._lists[0]:
            parameter.grad = None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; the moments are other tensors then."""
        super().load_state_dict(state)
        self._lists = self._gather() if self.state else None

    def _gather(self) -> tuple[list[Tensor], ...]:
        parameters = self.param_groups[0]["params"]
        states = [self.state[parameter] for parameter in parameters]
        for state in states:
            state["step"] = states[0]["step"]
        names = ("exp_avg", "exp_avg_sq", "step")
        return parameters, *([state[name] for state in states] for name in names)
