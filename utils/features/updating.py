"""Run a network over many inputs, in batches, keeping each batch as it comes.

The networks come as arguments. Shapes: B batch, D numbers per row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.features.shared_work import Outcome, Start, Work, compute_rows
from utils.features.vector_file import VectorFile, read_reusable, row_keys, write_vectors
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError, shorten


@dataclass(frozen=True)
class Update:
    """What became of a file of vectors or features.

    Attributes
    ----------
    computed : int
        Rows that were computed.
    written : bool
        Whether anything was written at all.
    failed : dict of str to str
        The ids of rows that cannot be computed, and the reasons why.

    """

    computed: int
    written: bool
    failed: Mapping[str, str] = field(default_factory=dict)


def update_vector_files(
    paths: Sequence[Path],
    ids: Sequence[str],
    *,
    attributes: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Sequence[str]],
    widths: Sequence[int],
    start: Start,
    unusable: Mapping[str, str] | None = None,
    team: Team = ALONE,
    advance: Callable[[int], Any] = lambda count: None,
) -> Update:
    """Bring vector files of the same rows up to date, computing no row that is there already.

    Rows that cannot be computed are left out of the files, which keep the reasons why; the same
    input is not tried again. The processes of a team call it with the same arguments, and share
    the work.

    Parameters
    ----------
    paths : sequence of F Path
        The files; computed rows are cut into them, left to right.
    ids : sequence of N distinct str
    attributes : sequence of F mappings
        How the vectors of each file are made.
    columns : mapping of str to sequence of N str
        What each row is computed from (texts, or fingerprints of sound files).
    widths : sequence of F int
        Numbers per row of each file.
    start : callable
        Loads the network; called only where something is to be computed. Returns the units in which
        rows are computed (lists of positions, each position in one), and a function that takes some
        units and yields (positions, rows of sum(widths) numbers) batch by batch, or a reason in the
        place of the rows. See `utils.features.shared_work.compute_rows`.
    unusable : mapping of str to str, optional
        Ids of rows that are known not to be computable, and the reasons why.
    team : Team
    advance : callable
        Told about finished rows, for a progress bar.

    Returns
    -------
    Update
        Files that are up to date stay untouched.

    Raises
    ------
    InputError
        If not a single row can be computed, a file cannot be written, stands under that name but
        was not written by this program, or is being written by another run; and where the
        processes of the team do not fit together.

    """
    unusable = unusable or {}
    keys = row_keys(ids, columns)
    work = Work(
        paths[0].with_name(paths[0].name + ".partial"),
        keys,
        origin={"files": [path.name for path in paths], "attributes": list(map(dict, attributes))},
        width=sum(widths),
    )
    files: list[VectorFile | None] = []
    known: dict[str, NDArray[np.float32]] = {}
    failed: dict[str, str] = {}
    if team.is_first:
        files = [
            read_reusable(path, columns, attrs)
            for path, attrs in zip(paths, attributes, strict=True)
        ]
        if all(files):
            known, failed = _reusable(files, keys)
        failed |= {key: unusable[id] for key, id in zip(keys, ids, strict=True) if id in unusable}

    def write(table: NDArray[np.float32], failed: Mapping[str, str]) -> None:
        rows = [i for i, key in enumerate(keys) if key not in failed]
        table = table[rows] if failed else table  # a copy, and it is large
        if ids and not rows:
            raise InputError(
                f"not a single one of the {len(ids)} rows of {paths[0].name} can be computed:\n"
                f"{shorten([f'{id}: {failed[key]}' for id, key in zip(ids, keys, strict=True)])}"
            )
        kept = {name: [values[i] for i in rows] for name, values in columns.items()}
        left = 0
        for path, attrs, width in zip(paths, attributes, widths, strict=True):
            write_vectors(
                path,
                [ids[i] for i in rows],
                table[:, left : left + width],
                attributes=attrs,
                columns=kept,
                failed=failed,
            )
            left += width

    current = team.broadcast(
        all(files)
        and all(
            file.keys == [key for key in keys if key not in failed] and file.failed == failed
            for file in files
        )
    )
    # Left-over journals of an up-to-date file: a run was stopped between its last two steps.
    if current and not team.broadcast(work.has_journals()):
        advance(len(ids))
        outcome = Outcome(0, failed)
    else:
        outcome = compute_rows(
            work,
            start,
            write if not current else lambda table, failed: None,
            known=known,
            failed=failed,
            team=team,
            advance=advance,
        )
    id_of = dict(zip(keys, ids, strict=True))
    return Update(
        computed=outcome.computed,
        written=not current,
        failed={id_of[key]: reason for key, reason in team.broadcast(outcome.failed).items()},
    )


def _reusable(
    files: Sequence[VectorFile], keys: Sequence[str]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Take the rows that all files have, and the reasons for those that all of them lack."""
    row_of = [{key: row for row, key in enumerate(file.keys)} for file in files]
    known = {
        key: np.concatenate(
            [file.vectors[rows[key]] for file, rows in zip(files, row_of, strict=True)]
        )
        for key in keys
        if all(key in rows for rows in row_of)
    }
    failed = {key: files[0].failed[key] for key in keys if all(key in f.failed for f in files)}
    return known, failed
