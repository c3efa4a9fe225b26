"""Bring vector files up to date: find the rows they lack, compute those alone, write the files.

Shapes: N rows, F files, D numbers per row of all files together.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.features.shared_work import Start, Work, compute_rows
from utils.features.vector_file import read_reusable, row_keys, write_vectors
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError, shorten


@dataclass(frozen=True)
class Target:
    """A vector file to bring up to date."""

    path: Path
    attributes: Mapping[str, Any]  # how its vectors are made
    width: int  # numbers per row


@dataclass(frozen=True)
class Update:
    """What was done to files of vectors or features."""

    computed: int  # rows
    written: bool  # whether anything was
    failed: Mapping[str, str] = field(default_factory=dict)  # why rows cannot be computed, by id
    notes: Mapping[str, str] = field(default_factory=dict)  # on rows, by id


def update_vector_files(
    targets: Sequence[Target],
    ids: Sequence[str],
    *,
    columns: Mapping[str, Sequence[str]],
    start: Start,
    unusable: Mapping[str, str] = MappingProxyType({}),
    retried: Callable[[str], bool] = lambda reason: False,
    again: Collection[str] = (),
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Bring vector files of the same rows up to date, computing only the rows they lack.

    Rows that cannot be computed are left out. The files keep the reasons, so that the same input is
    not tried again, and notes on rows. The processes of a team share the work: all call this with
    the same arguments.

    Parameters
    ----------
    targets : sequence of F Target
        Computed rows are cut into them, left to right.
    ids : sequence of N distinct str
    columns : mapping of str to sequence of N str
        What each row is computed from (texts, or fingerprints of sound files).
    start : callable
        Loads the network, and says how to compute rows of D numbers; see `compute_rows`. It is
        called only if something is to be computed.
    unusable : mapping of str to str
        Ids of rows that are known not to be computable, and why.
    retried : callable
        For which reasons rows that could not be computed are tried again.
    again : collection of str
        Ids of rows to compute even if the files have them.
    advance : callable
        Called with the number of rows that were finished since the last call.

    Returns
    -------
    Update
        Files that are up to date stay untouched.

    Raises
    ------
    InputError
        If not a single row can be computed; if a file cannot be written, was not written by this
        program, or is being written by another run; if the processes of the team do not fit
        together.

    """
    keys = row_keys(ids, columns)
    first = targets[0].path
    work = Work(
        first.with_name(first.name + ".partial"),
        keys,
        origin={
            "files": [target.path.name for target in targets],
            "attributes": [dict(target.attributes) for target in targets],
        },
        width=sum(target.width for target in targets),
    )
    known: dict[str, NDArray[np.float32]] = {}
    failed = {key: unusable[id] for key, id in zip(keys, ids, strict=True) if id in unusable}
    notes: Mapping[str, str] = {}
    current = finished = False
    if team.is_first:
        known, failed, notes, current = _look_at(targets, keys, columns, failed, retried)
        for key, id in zip(keys, ids, strict=True):
            if id in again and key not in failed:
                known.pop(key, None)
                current = False
        # Journals beside up-to-date files: a run was stopped between its last two steps.
        finished = current and not work.path.is_dir() and not work.other_journals()
    current, finished, failed, notes = team.broadcast((current, finished, failed, notes))
    if finished:
        computed = 0
        advance(len(ids))
    else:
        computed, failed, notes = compute_rows(
            work,
            start,
            None if current else partial(_write, targets, ids, keys, columns),
            known=known,
            failed=failed,
            notes=notes,
            team=team,
            advance=advance,
        )
    id_of = dict(zip(keys, ids, strict=True))
    by_id = ({id_of[key]: text for key, text in texts.items()} for texts in (failed, notes))
    return Update(computed, not current, *by_id)


def _look_at(
    targets: Sequence[Target],
    keys: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    failed: Mapping[str, str],
    retried: Callable[[str], bool],
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str], dict[str, str], bool]:
    """Return the rows that all files have, what failed, notes, and whether all are current."""
    files = [read_reusable(target.path, columns, target.attributes) for target in targets]
    if any(file is None for file in files):
        return {}, dict(failed), {}, False
    tables = [dict(zip(file.keys, file.vectors, strict=True)) for file in files]
    known = {
        key: np.concatenate([table[key] for table in tables])
        for key in keys
        if all(key in table for table in tables)
    }
    reasons = {key: files[0].failed[key] for key in keys if all(key in f.failed for f in files)}
    reasons = {key: why for key, why in reasons.items() if not retried(why)} | failed
    wanted = [key for key in keys if key not in reasons]
    current = all(file.keys == wanted and file.failed == reasons for file in files)
    notes = {key: note for key, note in files[0].notes.items() if key in known}
    return known, reasons, notes, current


def _write(
    targets: Sequence[Target],
    ids: Sequence[str],
    keys: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    table: NDArray[np.float32],
    failed: Mapping[str, str],
    notes: Mapping[str, str],
) -> None:
    """Cut a table, shape (N, D), into the files, without the rows that failed."""
    rows = [i for i, key in enumerate(keys) if key not in failed]
    if ids and not rows:
        reasons = [f"{id}: {failed[key]}" for id, key in zip(ids, keys, strict=True)]
        raise InputError(
            f"none of the {len(ids)} rows of {targets[0].path.name} can be computed:\n"
            f"{shorten(reasons)}"
        )
    table = table[rows] if failed else table  # a copy, and it is large
    kept = {name: [values[i] for i in rows] for name, values in columns.items()}
    left = 0
    for target in targets:
        write_vectors(
            target.path,
            [ids[i] for i in rows],
            table[:, left : left + target.width],
            attributes=target.attributes,
            columns=kept,
            failed=failed,
            notes=notes,
        )
        left += target.width
