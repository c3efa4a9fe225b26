"""Processes that share one piece of work, as torchrun starts them on one machine or several."""

import atexit
import contextlib
import datetime
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from utils.runtime.errors import InputError, out_of_memory

# How long one process waits for the others. Shares of a large piece of work take unequal time, and
# the last may come days after the first; the steps of a training go hand in hand.
PATIENCE = datetime.timedelta(days=7)
PATIENCE_IN_TRAINING = datetime.timedelta(minutes=30)


@dataclass(frozen=True)
class Team:
    """The processes of a run, as one of them sees them; by default it is alone.

    Attributes
    ----------
    rank : int
        Of this process, from 0.
    size : int
        Number of processes, on all machines together.
    local_rank : int
        Of this process among those of its machine, from 0.
    patience : timedelta
        How long to wait for the others before they count as gone.

    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    patience: datetime.timedelta = PATIENCE

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that decides, prints and writes the result."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process of the team has come here.

        Raises
        ------
        InputError
            If another process has left.

        """
        if self.size > 1:
            import torch

            with self.group() as group:
                group.all_reduce(torch.zeros(1))  # on the CPU, where a barrier might ask a GPU

    def broadcast(self, value: Any = None) -> Any:
        """Return, on every rank, the value that rank 0 gives; those of the others do not count.

        Parameters
        ----------
        value : anything that can be pickled

        Raises
        ------
        InputError
            If another process has left.

        """
        if self.size == 1:
            return value
        values = [value]
        with self.group() as group:
            group.broadcast_object_list(values, src=0, device="cpu")
        return values[0]

    def require_same(self, what: dict[str, Any]) -> None:
        """Make sure that every process would do the same.

        Parameters
        ----------
        what : dict of str to anything that can be pickled and compared
            What is to be done, in a few words.

        Raises
        ------
        InputError
            On a process that differs from rank 0, saying in what.

        """
        wanted = self.broadcast(what)
        differing = [
            f"{name} is {what.get(name)!r}, and {wanted.get(name)!r} there"
            for name in {**wanted, **what}
            if what.get(name) != wanted.get(name)
        ]
        if differing:
            raise InputError(
                f"this process would not compute what rank 0 does: {'; '.join(differing)}. All "
                "need the same settings and input files; where machines differ, set precision to "
                "fp32 or bf16."
            )

    @contextlib.contextmanager
    def group(self) -> Iterator[Any]:
        """Give `torch.distributed`, with the group of all processes, who meet at the first call.

        Raises
        ------
        InputError
            If another process has left.

        """
        try:
            yield _group(self.patience)
        except (RuntimeError, ValueError) as error:  # the latter without torchrun's address
            if out_of_memory(error):
                raise
            raise InputError(
                "no connection to the other processes of this run: one of them has stopped (then "
                "it or torchrun says why), or they cannot reach each other. Run the same command "
                f"again: it goes on with what is done. PyTorch says: {error}"
            ) from error


ALONE = Team()


def team(*, patience: datetime.timedelta = PATIENCE) -> Team:
    """Look up which process of which team this is, in the environment that torchrun makes.

    Parameters
    ----------
    patience : timedelta
        How long to wait for the others.

    Returns
    -------
    Team
        Of one process, where nothing has started several. Processes meet at the first `Team.wait`
        or `Team.told`, not before.

    Raises
    ------
    InputError
        If the environment makes no sense.

    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = {name: os.environ.get(name, "") for name in names}
    if not (given["RANK"] and given["WORLD_SIZE"]):
        return ALONE
    try:
        rank, size, local_rank = (int(given[name] or 0) for name in names)
    except ValueError:
        rank, size, local_rank = -1, 0, 0
    if not (0 <= rank < size and 0 <= local_rank < size):
        listing = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise InputError(
            f"the environment says {listing}, which is no process of a team. Start it with "
            "torchrun, or unset these variables to run it alone."
        )
    return Team(rank, size, local_rank, patience)


def refuse_team(what: str) -> None:
    """Refuse to do in several processes what is meant for one.

    Raises
    ------
    InputError
        If this process is one of several.

    """
    if team().size > 1:
        raise InputError(f"{what} is not shared among processes. Run it once, without torchrun.")


def label() -> str:
    """Name this process for its messages: '' alone, or ' (rank 1 on <machine>)'."""
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "1")
    return f" (rank {rank} on {socket.gethostname()})" if rank and size != "1" else ""


def _group(patience: datetime.timedelta) -> Any:
    import torch.distributed  # takes a second, which commands that need no group are spared

    if not torch.distributed.is_initialized():
        gpus = torch.cuda.is_available() and torch.distributed.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        torch.distributed.init_process_group(backend, timeout=patience)
        atexit.register(torch.distributed.destroy_process_group)
    return torch.distributed
