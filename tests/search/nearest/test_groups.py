import numpy as np
import pytest

from tests.support import unit
from utils.runtime.errors import InputError
from utils.search.nearest.approximate import ApproximateSearch
from utils.search.nearest.exact import ExactSearch
from utils.search.nearest.groups import best_groups

D = 16


@pytest.fixture
def rows():
    """Rows of 40 groups, in no order, some of none; returns vectors and groups."""
    rng = np.random.default_rng(0)
    groups = rng.integers(-1, 40, 300)
    groups[:40] = np.arange(40)
    return unit(rng, 300, D), rng.permutation(groups)


def slow(vectors, groups, queries, rows):
    """The score of each group, computed one by one."""
    scores = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    return {
        group: scores[[r for r in rows if groups[r] == group]].max(axis=0).mean()
        for group in set(groups[rows]) - {-1}
    }


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("filtered", [True, False])
def test_groups_are_found_as_by_scoring_them_one_by_one(rows, count, filtered):
    vectors, groups = rows
    queries = unit(np.random.default_rng(1), count, D)
    allowed = np.flatnonzero(groups >= 0)
    among = allowed[::3] if filtered else None
    expected = slow(vectors, groups, queries, allowed[::3] if filtered else allowed)
    found = best_groups(ExactSearch(vectors), queries, groups, 5, among=among)
    order = sorted(expected, key=expected.get, reverse=True)
    assert [match.group for match in found] == order[:5]
    for match in found:
        assert match.score == pytest.approx(expected[match.group], abs=1e-6)
        each = np.einsum("qd,qd->q", vectors[match.rows], queries)
        assert each.mean() == pytest.approx(match.score, abs=1e-5)
        assert match.row == match.rows[each.argmax()]
        assert set(groups[match.rows]) == {match.group}
    every = best_groups(ExactSearch(vectors), queries, groups, 100, among=among)
    assert [match.group for match in every] == order


def test_a_group_is_its_own_best_match_and_first_among_equals(rows):
    vectors, groups = rows
    vectors[groups == 3] = vectors[np.flatnonzero(groups == 7)[0]]
    vectors[groups == 5] = vectors[np.flatnonzero(groups == 7)[0]]
    for group in range(40):
        own = vectors[groups == group]
        found = best_groups(ExactSearch(vectors), own, groups, 1, itself=group)
        assert [(match.group, match.score) for match in found] == [(group, 1.0)]


def test_the_mean_over_the_queries_counts_and_not_the_best_of_them():
    axes = np.eye(4, dtype=np.float32)
    vectors = np.concatenate([axes[:2], axes[:1], axes[1:3], axes[3:]])
    groups = np.array([0, 0, 1, 2, 2, 3])
    found = best_groups(ExactSearch(vectors), axes[:2], groups, 4)
    assert [(match.group, match.score) for match in found] == [(0, 1), (1, 0.5), (2, 0.5), (3, 0)]


@pytest.mark.parametrize("filtered", [True, False])
def test_an_approximate_index_finds_nearly_the_same_and_surely_the_example(filtered):
    rng = np.random.default_rng(0)
    centres = unit(rng, 200, D)
    vectors = centres[rng.integers(200, size=20_000)] + 0.1 * rng.standard_normal((20_000, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    groups = np.repeat(np.arange(5000), 4)
    groups[:2000] = 0  # a long sound
    index = ApproximateSearch.build(vectors, sample=unit(rng, 50, D), seed=0)
    among = np.flatnonzero(rng.random(20_000) < 0.9) if filtered else None
    shared = 0
    for group in (0, *range(1500, 1520)):
        queries = vectors[groups == group]
        options = {"among": among, "itself": group}
        exact = best_groups(ExactSearch(vectors), queries, groups, 10, **options)
        found = best_groups(index, queries, groups, 10, **options)
        if not filtered:
            assert (found[0].group, found[0].score) == (group, 1.0)
        assert len(found) == 10
        shared += len({match.group for match in found} & {match.group for match in exact})
    assert shared > 0.9 * 21 * 10


def test_nothing_is_found_among_no_rows_and_bad_vectors_are_refused(rows):
    vectors, groups = rows
    none = np.empty(0, np.int64)
    assert best_groups(ExactSearch(vectors), vectors[:2], groups, 5, among=none) == []
    with pytest.raises(ValueError, match="k is 0"):
        best_groups(ExactSearch(vectors), vectors[:2], groups, 0)
    queries = vectors[:2].copy()
    vectors[np.flatnonzero(groups == 5)[0]] = np.nan
    with pytest.raises(InputError, match=r"holds NaN or infinite numbers"):
        best_groups(ExactSearch(vectors), queries, groups, 5)
