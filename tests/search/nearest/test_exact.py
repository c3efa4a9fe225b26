import numpy as np
import pytest

from tests.support import unit
from utils.runtime.errors import InputError
from utils.search.nearest import exact
from utils.search.nearest.exact import ExactSearch


def plainly(vectors, queries, k, among=None):
    """Sort all scores, computed exactly, one query at a time."""
    rows = range(len(vectors)) if among is None else among.tolist()
    scores, best = [], []
    for query in queries:
        each = {r: np.float32(vectors[r].astype(float) @ query.astype(float)) for r in rows}
        order = sorted(rows, key=lambda r: (-each[r], r))[:k]
        best.append(order)
        scores.append([each[r] for r in order])
    return scores, best


@pytest.fixture(params=[None, 40, 3], ids=["whole", "chunks", "row by row"])
def _chunks(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(exact, "_CHUNK", request.param)
        monkeypatch.setattr(exact, "_SCORES", request.param)
        monkeypatch.setattr(exact, "_GATHERED", request.param)
        monkeypatch.setattr(exact, "_QUERIES", 3)
        monkeypatch.setattr(exact, "_RESCORED", 2)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("filtered", [None, [0, 3, 4, 9], [5], list(range(1, 60))])
def test_it_finds_what_sorting_all_scores_does(filtered):
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, 60, 32), unit(rng, 7, 32)
    vectors[[9, 31, 59]] = vectors[4]  # copies
    among = None if filtered is None else np.array(filtered)
    scores, rows = ExactSearch(vectors).search(queries, 5, among=among)
    expected_scores, expected_rows = plainly(vectors, queries, 5, among)
    assert rows.tolist() == expected_rows
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-7)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.mark.usefixtures("_chunks")
def test_equal_scores_are_in_order_of_row():
    rng = np.random.default_rng(1)
    # Few distinct numbers, so that ties abound, between chunks too.
    vectors = rng.integers(-1, 2, (50, 4)).astype(np.float32)
    queries = rng.integers(-1, 2, (9, 4)).astype(np.float32)
    scores, rows = ExactSearch(vectors).search(queries, 12)
    assert (scores.tolist(), rows.tolist()) == plainly(vectors, queries, 12)


def test_one_query_scores_as_it_does_among_many_and_copies_score_the_same():
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 5000, 768), unit(rng, 70, 768)
    vectors[::2] = vectors[0]
    search = ExactSearch(vectors)
    scores, rows = search.search(queries, 20)
    for i in (0, 33, 69):
        one_score, one_row = search.search(queries[i : i + 1], 20)
        assert one_score.tolist() == [scores[i].tolist()]
        assert one_row.tolist() == [rows[i].tolist()]
    _, rows = search.search(vectors[:1], 2000)
    assert rows.tolist() == [list(range(0, 4000, 2))]


def test_there_may_be_fewer_rows_than_wanted_or_none():
    vectors = np.eye(3, dtype=np.float32)
    search = ExactSearch(vectors)
    assert search.search(vectors, 10)[1].shape == (3, 3)
    assert search.search(vectors, 10, among=np.array([1, 2]))[1].shape == (3, 2)
    assert search.search(vectors, 10, among=np.array([], int))[1].shape == (3, 0)
    assert search.search(vectors[:0], 2)[0].shape == (0, 2)
    assert ExactSearch(vectors[:0]).search(vectors, 10)[0].shape == (3, 0)


def test_a_mapped_file_is_searched_in_place(tmp_path, recwarn):
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng, 40, 8), unit(rng, 2, 8)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    search = ExactSearch(mapped)
    assert np.shares_memory(search._tensor.numpy(), mapped)
    for found, expected in zip(
        search.search(queries, 4), ExactSearch(vectors).search(queries, 4), strict=True
    ):
        assert found.tolist() == expected.tolist()
    assert not recwarn.list


@pytest.mark.parametrize("among", [None, np.array([1, 7]), np.arange(30)])
def test_vectors_that_are_not_finite_are_named(tmp_path, among):
    np.save(tmp_path / "vectors.npy", np.ones((40, 2), np.float32))
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r+")
    vectors[7, 1] = np.nan
    with pytest.raises(InputError, match=r"vectors\.npy: row 7 \(from 0\) holds NaN"):
        ExactSearch(vectors).search(np.ones((1, 2), np.float32), 1, among=among)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones((1, 3), np.float32)}, r"of shape \(Q, 4\), not float32 of .*\(1, 3\)"),
        ({"queries": np.ones((1, 4))}, "not float64"),
        ({"queries": np.ones(4, np.float32)}, r"of shape \(4,\)"),
        ({"queries": np.full((1, 4), np.inf, np.float32)}, "NaN or infinite"),
        ({"k": 0}, "k is 0; it must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {"queries": np.ones((1, 4), np.float32), "k": 1, **change}
    with pytest.raises(ValueError, match=message):
        ExactSearch(np.ones((5, 4), np.float32)).search(**arguments)
