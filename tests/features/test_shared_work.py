import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from utils.features.shared_work import Work, compute_rows
from utils.files.journal import Journal
from utils.runtime.distributed import ALONE, Team
from utils.runtime.errors import InputError

ORIGIN = {"attributes": [{"model": "a", "precision": "fp32"}]}
PATIENCE = 20  # seconds, after which a test of threads fails instead of hanging


def rows(*values: float) -> np.ndarray:
    return np.array([[value, value + 0.5] for value in values], dtype=np.float32)


class PowerCut(Exception):
    """Stops a process."""


class Table:
    """Computes rows 10, 20, 30, ... in units of the given sizes, counting and noting the result."""

    def __init__(self, path, *, units=((0,), (1,), (2,))):
        self.path = path
        self.units = units
        self.computed = []
        self.advanced = []
        self.result = None
        self.fail_at = None
        self.values = {}
        self.refused = set()
        self.odd = set()

    @property
    def size(self):
        return sum(map(len, self.units))

    def compute(self, units):
        for unit in units:
            if self.fail_at in unit:
                raise PowerCut("power cut")
            if self.refused.intersection(unit):
                yield unit, "is odd"
                continue
            self.computed.append(tuple(unit))
            note = [f"unit {unit[0]} is odd"] if self.odd.intersection(unit) else []
            yield unit, rows(*(self.values.get(i, 10 * (i + 1)) for i in unit)), *note

    def __call__(self, *, team=ALONE, known=None, failed=None, origin=ORIGIN, path=None):
        def finish(table, failed, notes):
            self.result, self.failed, self.notes = table, failed, notes

        return compute_rows(
            Work(path or self.path, [f"k{i}" for i in range(self.size)], origin, 2),
            lambda: (self.units, self.compute),
            finish,
            known=known or {},
            failed=failed or {},
            team=team,
            advance=self.advanced.append,
        )[0]


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path / "x.hdf5.partial")


def append(path, keys, *values, origin=ORIGIN):
    with Journal(path, origin=origin, width=2) as journal:
        journal.append(keys, rows(*values))


def kept(path):
    with Journal(path, origin=ORIGIN, width=2) as journal:
        return set(journal.rows)


def beside(path, rank):
    return path.with_name(f"{path.name}.{rank}")


def test_only_what_is_missing_is_computed_and_order_is_kept(table):
    append(table.path, ["k1"], 20)
    assert table() == 2
    assert table.computed == [(0,), (2,)]
    np.testing.assert_array_equal(table.result, rows(10, 20, 30))
    assert table.advanced == [1, 1, 1, 0]
    assert not table.path.exists()


def test_nothing_is_loaded_if_nothing_is_missing(table):
    append(table.path, ["k1", "k0"], 20, 10)
    table.compute = None
    assert table(known={"k2": rows(33)[0]}) == 0
    np.testing.assert_array_equal(table.result, rows(10, 20, 33))


def test_a_unit_with_a_missing_row_is_computed_whole_and_only_that_row_is_kept(table):
    table.units = ((0, 3), (1, 2), (4, 5))
    append(table.path, ["k0", "k1", "k2"], 1, 2, 3)
    table.fail_at = 4
    with pytest.raises(PowerCut):
        table()
    assert table.result is None
    assert table.computed == [(0, 3)]
    keys = (table.path / "keys.jsonl").read_text().split()
    assert keys == ['"k0"', '"k1"', '"k2"', '"k3"']
    table.fail_at = None
    assert table() == 2
    np.testing.assert_array_equal(table.result, rows(1, 2, 3, 40, 50, 60))


def test_rows_that_cannot_be_computed_are_reported_and_the_others_kept(table):
    table.values = {1: np.nan}
    table.refused = {2}
    assert table() == 1
    assert table.failed.keys() == {"k1", "k2"}
    assert "NaN or infinite numbers" in table.failed["k1"]
    assert table.failed["k2"] == "is odd"
    np.testing.assert_array_equal(table.result[:1], rows(10))
    assert table.advanced == [0, 1, 1, 1, 0]


def test_what_failed_is_tried_again_until_the_file_is_written(table):
    table.refused = {0}
    table.fail_at = 1
    with pytest.raises(PowerCut):
        table()
    table.refused, table.fail_at = set(), None
    assert table() == 3
    assert table.failed == {}
    np.testing.assert_array_equal(table.result, rows(10, 20, 30))


def test_journals_of_any_number_of_processes_are_picked_up_and_removed(table):
    append(beside(table.path, 1), ["k0"], 10)
    append(beside(table.path, 17), ["k2"], 30)
    append(beside(table.path, 3), ["k1"], 99, origin={"attributes": [{"model": "other"}]})
    with (beside(table.path, 1) / "rows.f32").open("ab") as file:
        file.write(b"half")
    assert table() == 1
    assert table.computed == [(1,)]
    np.testing.assert_array_equal(table.result, rows(10, 20, 30))
    assert list(table.path.parent.iterdir()) == []


@pytest.mark.parametrize("rank", [0, 4])
def test_a_run_beside_another_is_refused(table, rank):
    held = beside(table.path, rank) if rank else table.path
    with (
        Journal(held, origin=ORIGIN, width=2),
        pytest.raises(InputError, match=r"another run is writing x\.hdf5"),
    ):
        table()
    assert table.computed == []


@dataclass
class Meeting:
    """What the threads of a team have in common."""

    barrier: threading.Barrier
    values: list = field(default_factory=list)


@dataclass(frozen=True)
class Thread(Team):
    """A member of a team of threads."""

    meeting: Meeting = None

    def wait(self):
        self.meeting.barrier.wait()

    def broadcast(self, value=None):
        if self.is_first:
            self.meeting.values.append(value)
        self.wait()
        result = self.meeting.values[-1]
        self.wait()
        return result


def together(size, run):
    """Call run(team) for each member of a team, each in its thread; returns results and errors."""
    meeting = Meeting(threading.Barrier(size, timeout=PATIENCE))

    def member(rank):
        try:
            return run(Thread(rank, size, rank, meeting=meeting))
        except (InputError, PowerCut) as error:
            meeting.barrier.abort()  # as the others lose the connection
            return error
        except threading.BrokenBarrierError as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(member, range(size)))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_team_shares_the_units_and_one_writes(table, size):
    tables = [Table(table.path, units=((3, 0), (1,), (2, 4))) for _ in range(size)]
    append(table.path, ["k1"], 20)
    append(beside(table.path, 9), ["k4"], 50)
    assert together(size, lambda team: tables[team.rank](team=team)) == [3] * size
    assert sorted(unit for t in tables for unit in t.computed) == [(2, 4), (3, 0)]
    assert max(len(t.computed) for t in tables) == 1
    np.testing.assert_array_equal(tables[0].result, rows(10, 20, 30, 40, 50))
    assert sum(tables[0].advanced) == 5
    assert [t.result for t in tables[1:]] == [None] * (size - 1)
    assert list(table.path.parent.iterdir()) == []


def test_what_members_cannot_compute_is_collected(table):
    tables = [Table(table.path, units=[(i,) for i in range(6)]) for _ in range(2)]
    for each in tables:
        each.refused = {0, 3}
    assert together(2, lambda team: tables[team.rank](team=team))[0] == 4
    assert tables[0].failed == {"k0": "is odd", "k3": "is odd"}
    np.testing.assert_array_equal(tables[0].result[[1, 2, 4, 5]], rows(20, 30, 50, 60))


def test_what_a_member_did_before_it_failed_is_kept(table):
    tables = [Table(table.path, units=[(i,) for i in range(8)]) for _ in range(2)]
    tables[1].fail_at = 5
    broken, error = together(2, lambda team: tables[team.rank](team=team))
    assert isinstance(broken, threading.BrokenBarrierError)
    assert "power cut" in str(error)
    assert tables[0].result is None
    table.units = tables[0].units
    assert table() == 2
    assert table.computed == [(5,), (7,)]
    np.testing.assert_array_equal(table.result, rows(*range(10, 90, 10)))


@pytest.fixture
def elsewhere(table, tmp_path):
    """The journal of rank 1 as another machine sees it, which does not see rank 0's folder."""
    path = tmp_path / "other machine" / table.path.name
    path.parent.mkdir()
    return path


def apart(table, elsewhere):
    return together(2, lambda team: table(team=team, path=elsewhere if team.rank else table.path))


def test_a_machine_that_does_not_see_the_folder_is_refused(table, elsewhere):
    _, error = apart(table, elsewhere)
    assert f"All machines must see the folder {elsewhere.parent}" in str(error)


def test_a_machine_that_sees_another_folder_of_that_name_is_noticed_at_the_end(table, elsewhere):
    append(elsewhere, ["k0"], 10)
    error, _ = apart(table, elsewhere)
    assert "1 of 3 rows are not in" in str(error)
    assert "All machines must see this folder" in str(error)
    assert table.result is None
    assert kept(table.path) == {"k0", "k2"}


def test_a_member_with_other_settings_is_refused(table):
    other = {"attributes": [{"model": "a", "precision": "bf16"}]}
    _, error = together(2, lambda team: table(team=team, origin=other if team.rank else ORIGIN))
    assert "precision is 'bf16' here and 'fp32' there" in str(error)
    assert "model" not in str(error)
    assert not beside(table.path, 1).exists()


def test_notes_outlive_an_interruption_and_belong_to_rows(table):
    table.odd, table.fail_at = {0, 2}, 1
    with pytest.raises(PowerCut):
        table()
    table.fail_at, table.refused = None, {1}
    assert table() == 1
    assert table.notes == {"k0": "unit 0 is odd", "k2": "unit 2 is odd"}
