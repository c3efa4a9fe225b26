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

from utils.files.journal import Journal
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError

Units = Sequence[Sequence[int]]
# Positions and their rows; or, in the place of rows, why they cannot be computed.
Batches = Iterator[tuple[Sequence[int], NDArray[np.float32] | str]]
Rows = Mapping[str, NDArray[np.float32]]
Start = Callable[[], tuple[Units, Callable[[Units], Batches]]]

_BROKEN = "makes the network give NaN or infinite numbers (does precision: fp32 help?)"


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

    def has_journals(self) -> bool:
        """Tell whether an earlier run has left a journal here, or one is at work."""
        return self.path.parent.is_dir() and (self.path.is_dir() or bool(self.other_journals()))

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


@dataclass(frozen=True)
class Outcome:
    """What came of some work.

    Attributes
    ----------
    computed : int
        Rows that no file or journal had.
    failed : dict of str to str
        Keys of the rows that cannot be computed, and why. Complete on rank 0 alone.

    """

    computed: int
    failed: Mapping[str, str]


def compute_rows(
    work: Work,
    start: Start,
    finish: Callable[[NDArray[np.float32], Mapping[str, str]], Any],
    *,
    known: Rows | None = None,
    failed: Mapping[str, str] | None = None,
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> Outcome:
    """Compute the rows that no journal holds, each batch kept as it comes, and pass all on.

    Parameters
    ----------
    work : Work
        The same on every rank.
    start : callable
        Loads the network; called only if something is missing. Returns the units, disjoint lists of
        positions (into ``work.keys``) that hold every one, and a function that takes some of these
        units and yields (positions, rows) in any order, or (positions, reason) where they cannot be
        computed. A unit with a missing row is computed as a whole.
    finish : callable
        Called on rank 0 when all is done, with the table, shape (N, D), and the reasons for the
        keys whose rows mean nothing; writes the result. Then the journals are removed.
    known : mapping of str to ndarray of shape (D,), optional
        Rows that are there already, under their keys. Only rank 0 is asked.
    failed : mapping of str to str, optional
        Keys that are known not to be computable, and why. Only rank 0 is asked.
    team : Team
    advance : callable
        Told how many wanted rows are newly settled, the ones found first. Those of other processes
        come at the end.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        If another run is at work, the processes do not see the same folder or would not compute the
        same, or one of them has left. Rows computed so far are kept.

    """
    if team.is_first:
        outcome = _lead(work, start, finish, known or {}, failed or {}, team, advance)
    else:
        outcome = _follow(work, start, team)
    team.wait()  # none leaves, and lets other work begin, before the result is written
    return outcome


def _lead(
    work: Work,
    start: Start,
    finish: Callable[[NDArray[np.float32], Mapping[str, str]], Any],
    known: Rows,
    failed: Mapping[str, str],
    team: Team,
    advance: Callable[[int], Any],
) -> Outcome:
    with work.journal(0) as own:
        rows = {**known, **own.rows}
        for rank in work.other_journals():
            # Opened, not only read: one that is still held belongs to a run that is at work.
            with work.journal(rank) as left_over:
                rows |= left_over.rows
        # What failed in a journal is tried again: only a finished run has the last word.
        missing = [i for i, key in enumerate(work.keys) if key not in rows and key not in failed]
        team.require_same(work.described())
        team.broadcast(missing)
        advance(len(work.keys) - len(missing))
        settled = _compute(own, work, missing, start, team, advance)
        team.wait()
        rows |= own.rows
        failed = {**failed, **own.failed}
        with contextlib.ExitStack() as held:
            others = [held.enter_context(work.journal(r)) for r in work.other_journals(team.size)]
            for journal in others:
                rows |= journal.rows
                failed |= journal.failed
            failed = {key: failed[key] for key in work.keys if key in failed and key not in rows}
            lacking = [key for key in work.keys if key not in rows and key not in failed]
            if lacking:
                raise InputError(
                    f"{len(lacking)} of {len(work.keys)} rows are not in {work.path.parent}, "
                    "though every process has computed its share. All machines must see this "
                    "folder; then run the same command again, which computes what is missing."
                )
            advance(len(missing) - settled)
            table = np.zeros((len(work.keys), work.width), dtype=np.float32)
            for i, key in enumerate(work.keys):
                if key not in failed:
                    table[i] = rows[key]
            finish(table, failed)
            for journal in others:
                journal.remove()
        own.remove()
    return Outcome(sum(work.keys[i] not in failed for i in missing), failed)


def _follow(work: Work, start: Start, team: Team) -> Outcome:
    team.require_same(work.described())
    missing = team.broadcast()
    if not work.path.is_dir():
        raise InputError(
            f"there is no {work.path} here, which rank 0 has made on its machine. Let "
            f"{work.path.parent} be a folder that all machines see."
        )
    with work.journal(team.rank) as journal:
        _compute(journal, work, missing, start, team)
    team.wait()
    return Outcome(len(missing), {})


def _compute(
    journal: Journal,
    work: Work,
    missing: Sequence[int],
    start: Start,
    team: Team,
    advance: Callable[[int], Any] = lambda count: None,
) -> int:
    """Settle the share of one rank; returns how many of the missing rows it was."""
    if not missing:
        return 0
    wanted = set(missing)
    units, compute = start()
    shares = [unit for unit in units if not wanted.isdisjoint(unit)]
    settled = 0
    for positions, rows in compute(shares[team.rank :: team.size]):
        new = [n for n, i in enumerate(positions) if i in wanted]
        keys = [work.keys[positions[n]] for n in new]
        if isinstance(rows, str):
            journal.fail(keys, rows)
        else:
            finite = np.isfinite(rows[new]).all(axis=1)
            journal.fail([key for key, fine in zip(keys, finite, strict=True) if not fine], _BROKEN)
            journal.append(
                [key for key, fine in zip(keys, finite, strict=True) if fine], rows[new][finite]
            )
        settled += len(new)
        advance(len(new))
    return settled
