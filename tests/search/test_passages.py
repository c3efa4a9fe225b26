import itertools

import numpy as np
import pytest

from utils.files.journal import Journal
from utils.runtime.errors import InputError
from utils.search.passages import Passage, cut_passages, read_passages

HOP = 2.5


@pytest.mark.parametrize("windows", [1, 5, 13, 14, 19, 20, 21, 100])
def test_passages_cover_the_sound_without_gaps(windows):
    outputs = np.random.default_rng(0).standard_normal((windows, 2)).astype(np.float32)
    duration = HOP * (windows - 1) + 1
    passages, rows = cut_passages("s", outputs, duration, HOP)
    assert passages[0].start == 0
    assert passages[-1].end == duration
    assert all(one.end == other.start for one, other in itertools.pairwise(passages))
    assert len(passages) == (1 if windows <= 13 else round(windows / 8))
    if windows <= 13:
        np.testing.assert_allclose(rows[0], outputs.mean(axis=0), rtol=1e-5)
    else:
        assert all(10 <= passage.end - passage.start <= 30 for passage in passages)


def written(path, *keys):
    rows = np.arange(2 * len(keys), dtype=np.float32).reshape(-1, 2)
    with Journal(path, origin={}, width=2) as journal:
        journal.append(keys, rows)
    return read_passages(path, 2)


def test_passages_are_read_as_they_were_written(tmp_path):
    one, other = Passage('s "1", [2]', 0, 1, 0.0, 9.5, 9.5), Passage("ü", 0, 1, 0.0, 1.0, 1.0)
    held = written(tmp_path / "journal", one.key, other.key)
    assert held.passages == [one, other]
    assert held.complete == {one.source: [0], "ü": [1]}
    np.testing.assert_array_equal(held.table, [[0, 1], [2, 3]])


def test_only_sounds_with_all_their_passages_count(tmp_path):
    def part(source, number, count):
        return Passage(source, number, count, 20.0 * number, 20.0 * number + 20, 20.0 * count).key

    held = written(
        tmp_path / "journal",
        *(part("begun", number, 3) for number in (0, 1)),
        *(part("begun twice", number, 2) for number in (0, 0, 1)),
        part("whole", 0, 1),
    )
    assert held.complete == {"begun twice": [3, 4], "whole": [5]}


@pytest.mark.parametrize("key", ["", "no JSON", "[1, 2]", "1", '["s",0,1,0,1,1],["s",0,1,0,1,1]'])
def test_a_journal_of_something_else_is_refused(tmp_path, key):
    message = r"journal does not contain passages .* Remove .*tagged again"
    with pytest.raises(InputError, match=message):
        written(tmp_path / "journal", key)
