"""Rows of a file, computed by one process or by a team, and kept in journals until all are there.

Rank 0 keeps its rows in the journal ``<file>.partial``, rank r in ``<file>.partial.<r>``. Rank 0
alone reads all journals, broadcasts which rows are missing, and collects them at the end. So the
other ranks need not see the same state of the disk, and journals of any number of earlier processes
can be used.

Rows are computed in units (a clip, a batch of texts). Units do not depend on which rows are missing
nor on the number of processes, and therefore the numbers do not either.

Shapes: N rows, D numbers each.
"""

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files.journal import Journal
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError

Units = Sequence[Sequence[int]]
# Positions with their rows, or with the reason why they cannot be computed; perhaps with a note.
Batches = Iterator[
    tuple[Sequence[int], NDArray[np.float32] | str]
    | tuple[Sequence[int], NDArray[np.float32] | str, str]
]
Rows = Mapping[str, NDArray[np.float32]]
Start = Callable[[], tuple[Units, Callable[[Units], Batches]]]
Finish = Callable[[NDArray[np.float32], Mapping[str, str], Mapping[str, str]], Any]

_BROKEN = "produces NaN or infinite numbers in the network (does precision: fp32 help?)"


@dataclass(frozen=True)
class Work:
    """What is to be computed."""

    path: Path  # the journal of rank 0
    keys: Sequence[str]  # of the N wanted rows, distinct, in order
    origin: dict[str, Any]  # how they are computed (JSON-serialisable)
    width: int  # D, numbers per row

    def journal(self, rank: int) -> Journal:
        """Open the journal of a rank."""
        return Journal(self._place(rank), origin=self.origin, width=self.width)

    def other_journals(self, size: int = 1) -> list[int]:
        """List the ranks from 1 with a journal, of a team of `size` now or of earlier ones."""
        pattern = re.compile(re.escape(self.path.name) + r"\.([1-9]\d*)")
        found = (pattern.fullmatch(path.name) for path in self.path.parent.iterdir())
        ranks = {int(match[1]) for match in found if match}
        # Another machine's listing of a folder may be a minute old; asking for one name is not.
        ranks |= {rank for rank in range(1, size) if self._place(rank).is_dir()}
        return sorted(ranks)

    def described(self) -> dict[str, Any]:
        """Summarise this work, for comparison with that of another process."""
        digest = hashlib.sha256(json.dumps(list(self.keys)).encode()).hexdigest()[:12]
        described: dict[str, Any] = {"rows": len(self.keys), "inputs": digest, "width": self.width}
        for attributes in self.origin["attributes"]:
            described |= attributes
        return described

    def _place(self, rank: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{rank}" if rank else self.path.name)


def compute_rows(
    work: Work,
    start: Start,
    finish: Finish | None,
    *,
    known: Rows,
    failed: Mapping[str, str],
    notes: Mapping[str, str] = MappingProxyType({}),
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Compute the rows that no journal holds, keep each batch at once, and pass all rows on.

    Parameters
    ----------
    work : Work
        The same on every rank.
    start : callable
        Loads the network; called only if something is missing. Returns the units (lists of
        positions in ``work.keys``, each in one list) and a function that takes some units and
        yields (positions, rows), or (positions, reason) if they cannot be computed, in any order;
        a note on them may be the third. A unit with a missing row is computed as a whole.
    finish : callable, or None if the result is written already
        Called on rank 0 with the table, shape (N, D), the reasons for keys without a row, and the
        notes by key; writes the result. The journals are removed after it.
    known : mapping of str to ndarray of shape (D,)
        Rows that exist already, by key; used on rank 0.
    failed : mapping of str to str
        Keys that are known not to be computable, and why; used on rank 0.
    notes : mapping of str to str
        Notes on known rows, by key; used on rank 0.
    advance : callable
        Called with the number of rows that were finished since the last call: first those found,
        last those of other processes.

    Returns
    -------
    computed : int
        Rows that no file or journal had.
    failed : dict of str to str
        Keys of the rows that cannot be computed, and why.
    notes : dict of str to str
        Notes on rows, by key.

    Raises
    ------
    InputError
        If another run is at work; if the processes do not see the same folder, would not compute
        the same, or one of them has left. Rows computed so far are kept.

    """
    if team.is_first:
        missing, *texts = _lead(work, start, finish, known, failed, notes, team, advance)
    else:
        missing, texts = _follow(work, start, team), []
    # No process leaves, and begins other work, before the result is written.
    reasons, notes = team.broadcast(texts)
    return sum(work.keys[i] not in reasons for i in missing), reasons, notes


def _lead(
    work: Work,
    start: Start,
    finish: Finish | None,
    known: Rows,
    failed: Mapping[str, str],
    notes: Mapping[str, str],
    team: Team,
    advance: Callable[[int], Any],
) -> tuple[Sequence[int], dict[str, str], dict[str, str]]:
    """Do the part of rank 0; returns the missing positions, why some still are, and all notes."""
    with work.journal(0) as own:
        rows = {**known, **own.rows}
        # Opened, not only read: a journal that is locked belongs to a run that is at work.
        for rank in work.other_journals():
            with work.journal(rank) as left_over:
                rows |= left_over.rows
        # What failed in a journal is tried again; only the reasons in a finished file are final.
        missing = [i for i, key in enumerate(work.keys) if key not in rows and key not in failed]
        team.require_same(work.described())
        team.broadcast(missing)
        advance(len(work.keys) - len(missing))
        settled = _compute(own, work, missing, start, team, advance)
        team.wait()
        with contextlib.ExitStack() as stack:
            ranks = work.other_journals(team.size)
            others = [stack.enter_context(work.journal(rank)) for rank in ranks]
            reasons, notes = dict(failed), dict(notes)
            for journal in (own, *others):
                rows |= journal.rows
                reasons |= journal.failed
                notes |= journal.notes
            notes = {key: notes[key] for key in work.keys if key in notes and key in rows}
            reasons = {key: reasons[key] for key in work.keys if key in reasons and key not in rows}
            lacking = sum(key not in rows and key not in reasons for key in work.keys)
            if lacking:
                raise InputError(
                    f"{lacking} of {len(work.keys)} rows are not in {work.path.parent}, although "
                    "every process has computed its share. All machines must see this folder; then "
                    "run the same command again, which computes what is missing."
                )
            advance(len(missing) - settled)
            table = np.zeros((len(work.keys), work.width), dtype=np.float32)
            for i, key in enumerate(work.keys):
                if key not in reasons:
                    table[i] = rows[key]
            if finish:
                finish(table, reasons, notes)
            for journal in others:
                journal.remove()
        own.remove()
    return missing, reasons, notes


def _follow(work: Work, start: Start, team: Team) -> Sequence[int]:
    """Do the part of another rank; returns the positions that were missing."""
    team.require_same(work.described())
    missing = team.broadcast()
    if not work.path.is_dir():
        raise InputError(
            f"there is no {work.path} here, which rank 0 has made on its machine. All machines "
            f"must see the folder {work.path.parent}."
        )
    with work.journal(team.rank) as journal:
        _compute(journal, work, missing, start, team)
    team.wait()
    return missing


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
    settled = 0
    for positions, rows, *note in compute(shares[team.rank :: team.size]):
        new = [n for n, i in enumerate(positions) if i in wanted]
        keys = [work.keys[positions[n]] for n in new]
        for text in filter(None, note):
            journal.note(keys, text)
        if isinstance(rows, str):
            journal.fail(keys, rows)
        else:
            good = np.isfinite(rows[new]).all(axis=1)
            journal.fail(list(itertools.compress(keys, ~good)), _BROKEN)
            journal.append(list(itertools.compress(keys, good)), rows[new][good])
        settled += len(new)
        advance(len(new))
    return settled
