"""Rows of a file, computed by one process or by a team, and kept in journals until all are there.

Rank 0 keeps its rows in the journal ``<file>.partial``, rank r in ``<file>.partial.<r>`` beside it.
Rank 0 also decides: it reads what all journals hold, tells the others which rows are missing, and
in the end collects them. So the others need not see the same state of the disk at the same moment,
and journals of any number of earlier processes serve.

Rows are computed in units (a clip, a batch of texts) that are the same whatever is missing and
however many processes there are: so are, then, the numbers.

Shapes: N rows, D numbers each.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.distributed import ALONE, Team
from utils.errors import InputError
from utils.journal import Journal

Units = Sequence[Sequence[int]]
Batches = Iterator[tuple[Sequence[int], NDArray[np.float32]]]
Rows = Mapping[str, NDArray[np.float32]]
Start = Callable[[], tuple[Units, Callable[[Units], Batches]]]


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Attributes
    ----------
    path : Path
        The journal of rank 0.
    keys : sequence of N distinct str
        The wanted rows, in order.
    origin : dict
        How they are computed (JSON-serialisable).
    width : int
        D, numbers per row.

    """

    path: Path
    keys: Sequence[str]
    origin: dict[str, Any]
    width: int

    def journal(self, rank: int) -> Journal:
        """Open the journal of a rank."""
        name = f"{self.path.name}.{rank}" if rank else self.path.name
        return Journal(self.path.with_name(name), origin=self.origin, width=self.width)

    def other_journals(self, size: int = 1) -> list[int]:
        """List the ranks from 1 that have a journal, of a team of `size` now or of earlier ones."""
        pattern = re.compile(re.escape(self.path.name) + r"\.([1-9]\d*)")
        found = map(pattern.fullmatch, (path.name for path in self.path.parent.iterdir()))
        ranks = {int(match[1]) for match in found if match}
        # A folder on another machine may be listed as it was a minute ago, but not one name in it.
        ranks |= {
            r for r in range(1, size) if self.path.with_name(f"{self.path.name}.{r}").is_dir()
        }
        return sorted(ranks)

    def described(self) -> dict[str, Any]:
        """Say in a few words what this work is, to be compared with another process's."""
        digest = hashlib.sha256(json.dumps(list(self.keys)).encode()).hexdigest()[:12]
        attributes = {
            name: value
            for part in self.origin.get("attributes", [])
            for name, value in part.items()
        }
        return {"rows": len(self.keys), "inputs": digest, "width": self.width, **attributes}


def compute_rows(
    work: Work,
    start: Start,
    finish: Callable[[NDArray[np.float32]], Any],
    *,
    known: Rows | None = None,
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> int:
    """Compute the rows that no journal holds, each batch kept as it comes, and pass all on.

    Parameters
    ----------
    work : Work
        The same on every rank.
    start : callable
        Loads the network; called only if something is missing. Returns the units, disjoint lists of
        positions (into ``work.keys``) that hold every one, and a function that takes some of these
        units and yields (positions, rows) in any order. A unit with a missing row is computed as a
        whole.
    finish : callable
        Called on rank 0 with the table, shape (N, D), when all rows are there; writes the result.
        Then the journals are removed.
    known : mapping of str to ndarray of shape (D,), optional
        Rows that are there already, under their keys. Only rank 0 is asked.
    team : Team
    advance : callable
        Told how many wanted rows are newly available, the ones found first. Those of other
        processes come at the end.

    Returns
    -------
    int
        How many rows were missing.

    Raises
    ------
    InputError
        If a computed row is not finite, another run is at work, the processes do not see the same
        folder or would not compute the same, or one of them has left. Rows computed so far are
        kept.

    """
    if team.leads:
        missing = _lead(work, start, finish, known or {}, team, advance)
    else:
        missing = _follow(work, start, team)
    team.wait()  # none leaves, and lets other work begin, before the result is written
    return missing


def _lead(
    work: Work,
    start: Start,
    finish: Callable[[NDArray[np.float32]], Any],
    known: Rows,
    team: Team,
    advance: Callable[[int], Any],
) -> int:
    with work.journal(0) as own:
        rows = {**known, **own.rows}
        for rank in work.other_journals():
            # Opened, not only read: one that is still held belongs to a run that is at work.
            with work.journal(rank) as left_over:
                rows |= left_over.rows
        missing = [i for i, key in enumerate(work.keys) if key not in rows]
        team.require_same(work.described())
        team.told(missing)
        advance(len(work.keys) - len(missing))
        computed = _compute(own, work, missing, start, team, advance)
        team.wait()
        rows |= own.rows
        with contextlib.ExitStack() as held:
            others = [held.enter_context(work.journal(r)) for r in work.other_journals(team.size)]
            for journal in others:
                rows |= journal.rows
            lacking = [key for key in work.keys if key not in rows]
            if lacking:
                raise InputError(
                    f"{len(lacking)} of {len(work.keys)} rows are not in {work.path.parent}, "
                    "though every process has computed its share. All machines must see this "
                    "folder; then run the same command again, which computes what is missing."
                )
            advance(len(missing) - computed)
            table = np.empty((len(work.keys), work.width), dtype=np.float32)
            for i, key in enumerate(work.keys):
                table[i] = rows[key]
            finish(table)
            for journal in others:
                journal.remove()
        own.remove()
    return len(missing)


def _follow(work: Work, start: Start, team: Team) -> int:
    team.require_same(work.described())
    missing = team.told()
    if not work.path.is_dir():
        raise InputError(
            f"there is no {work.path} here, which rank 0 has made on its machine. Let "
            f"{work.path.parent} be a folder that all machines see."
        )
    with work.journal(team.rank) as journal:
        _compute(journal, work, missing, start, team)
    team.wait()
    return len(missing)


def _compute(
    journal: Journal,
    work: Work,
    missing: Sequence[int],
    start: Start,
    team: Team,
    advance: Callable[[int], Any] = lambda count: None,
) -> int:
    """Compute the share of one rank; returns how many of the missing rows it was."""
    if not missing:
        return 0
    wanted = set(missing)
    units, compute = start()
    shares = [unit for unit in units if not wanted.isdisjoint(unit)]
    computed = 0
    for positions, rows in compute(shares[team.rank :: team.size]):
        new = [n for n, i in enumerate(positions) if i in wanted]
        for n in new:
            if not np.isfinite(rows[n]).all():
                raise InputError(
                    f"the network gives NaN or infinite numbers for {work.keys[positions[n]]}. "
                    "Look at that input, or set precision: fp32."
                )
        journal.append([work.keys[positions[n]] for n in new], rows[new])
        computed += len(new)
        advance(len(new))
    return computed
