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

# How long a process waits for the others: the last may finish its share days after the first.
_PATIENCE = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Team:
    """The processes of a run, as one of them sees them; by default there is only one."""

    rank: int = 0  # of this process
    size: int = 1  # number of processes, on all machines together
    local_rank: int = 0  # of this process, among those of its machine

    @property
    def is_first(self) -> bool:
        """Whether this process decides, prints and writes the result."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process of the team has called this.

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
        """Return the value of rank 0, which can be pickled, on every rank.

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
        """Check that every process has the same plan, a dict of values that can be pickled.

        Raises
        ------
        InputError
            On a process that differs from rank 0, listing the differences.

        """
        wanted = self.broadcast(what)
        differing = [
            f"{name} is {what.get(name)!r} here and {wanted.get(name)!r} there"
            for name in {**wanted, **what}
            if what.get(name) != wanted.get(name)
        ]
        if differing:
            raise InputError(
                f"this process is configured differently from rank 0: {'; '.join(differing)}. Give "
                "all the same settings and input files; if their hardware differs, set precision "
                "to fp32 or bf16."
            )

    @contextlib.contextmanager
    def group(self) -> Iterator[Any]:
        """Yield `torch.distributed`; the processes connect to each other at the first call.

        Raises
        ------
        InputError
            If another process has left.

        """
        try:
            yield _group()
        except (RuntimeError, ValueError) as error:  # the latter without torchrun's address
            if out_of_memory(error):
                raise
            raise InputError(
                "no connection to the other processes of this run: one of them has stopped (see "
                "its message or torchrun's), or they cannot reach each other. Run the same command "
                f"again to resume. PyTorch says: {error}"
            ) from error


ALONE = Team()


def team() -> Team:
    """Read this process's place in its team from torchrun's environment variables.

    Without torchrun it returns `ALONE`. Processes connect when they first wait or broadcast.

    Raises
    ------
    InputError
        If the variables are inconsistent.

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
            f"RANK, WORLD_SIZE and LOCAL_RANK are inconsistent: {listing}. Start with torchrun, or "
            "unset them to run a single process."
        )
    return Team(rank, size, local_rank)


def refuse_team(what: str) -> None:
    """Refuse to run in several processes what is made for one.

    Raises
    ------
    InputError
        If this process is one of several.

    """
    if team().size > 1:
        raise InputError(f"{what} cannot be shared among processes. Run it without torchrun.")


def label() -> str:
    """Name this process for its messages: '' alone, or ' (rank 1 on <machine>)'."""
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "1")
    return f" (rank {rank} on {socket.gethostname()})" if rank and size != "1" else ""


def _group() -> Any:
    import torch.distributed  # takes a second

    if not torch.distributed.is_initialized():
        gpus = torch.cuda.is_available() and torch.distributed.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(torch.distributed.destroy_process_group)
    return torch.distributed
