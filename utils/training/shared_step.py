"""A training step shared by the processes of a team.

Each process embeds its part of a batch; the embeddings are put together, so that impostors and
negatives come from the whole batch; each computes the loss of all and takes the gradient of its
part; the gradients of the parameters are added up. So the numbers are those of one process with the
same batch, up to rounding.

Shapes: B pairs of a batch, b of one process's part, D dimension.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from utils.runtime.distributed import Team
from utils.runtime.errors import InputError
from utils.settings.config import Config


def require_same_training(team: Team, config: Config, begun_with: Mapping[str, str]) -> None:
    """Make sure that the processes of a team train the same model on the same pairs.

    Parameters
    ----------
    team : Team
    config : Config
    begun_with : mapping of str to str
        Digests of data and weights, by name.

    Raises
    ------
    InputError
        On a process that differs from rank 0, and where all would take the same device.

    """
    if team.size == 1:
        return
    if ":" in config.training.device:
        raise InputError(
            f"training.device is {config.training.device}, a single device, and {team.size} "
            "processes are to share the training. Set it to auto, cuda or cpu."
        )
    team.require_same(
        {
            "seed": config.seed,
            **{f"model.{name}": value for name, value in vars(config.model).items()},
            **{
                f"training.{name}": value
                for name, value in vars(config.training).items()
                if name != "init_checkpoint"  # its weights count, not where it lies
            },
            **{f"SHA-256 of {name}": digest for name, digest in begun_with.items()},
        }
    )


def share_of(team: Team, count: int) -> slice:
    """Cut `count` rows into one part for each process; returns this process's."""
    return slice(count * team.rank // team.size, count * (team.rank + 1) // team.size)


def gather_rows(team: Team, part: Tensor, count: int) -> Tensor:
    """Put the parts of all processes together; the gradient of a part goes back to it alone.

    Parameters
    ----------
    team : Team
    part : Tensor, shape (b, D)
        The rows of `share_of`.
    count : int
        B, rows of all parts.

    Returns
    -------
    Tensor, shape (B, D)
        The same on every process.

    Raises
    ------
    InputError
        If another process has left.

    """
    return part if team.size == 1 else _Gather.apply(part, team, count)


def add_gradients(team: Team, parameters: Iterable[Tensor]) -> None:
    """Replace the gradient of each parameter by its sum over the processes.

    Raises
    ------
    InputError
        If another process has left.

    """
    if team.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    with team.group() as group:
        group.all_reduce(together)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, total in zip(gradients, together.split(sizes), strict=True):
        gradient.copy_(total.view_as(gradient))


class _Gather(torch.autograd.Function):
    """The rows of all processes; backwards, the gradient of the own rows."""

    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor, team: Team, count: int) -> Tensor:
        ctx.own = share_of(team, count)
        shares = [share_of(replace(team, rank=rank), count) for rank in range(team.size)]
        sizes = [share.stop - share.start for share in shares]
        padded = part.new_zeros(max(sizes), *part.shape[1:])  # all must be of one shape
        padded[: len(part)] = part
        gathered = [torch.empty_like(padded) for _ in sizes]
        with team.group() as group:
            group.all_gather(gathered, padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad[ctx.own], None, None
