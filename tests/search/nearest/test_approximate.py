import faiss
import numpy as np
import pytest

from tests.support import Bar, noting, unit
from utils.runtime.errors import InputError
from utils.search.nearest import approximate
from utils.search.nearest.approximate import ApproximateSearch, Tuning, recall_of
from utils.search.nearest.exact import ExactSearch

COUNT, DIMENSION = 8000, 48


@pytest.fixture(scope="module")
def data():
    """Vectors around some centres, of fewer dimensions than they have numbers; and queries."""
    rng = np.random.default_rng(0)
    centres = unit(rng, 60, 12)
    spread = rng.standard_normal((12, DIMENSION))

    def draw(count, noise):
        hidden = centres[rng.integers(60, size=count)] + 0.2 * rng.standard_normal((count, 12))
        vectors = hidden @ spread + noise * rng.standard_normal((count, DIMENSION))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return draw(COUNT, 0.2), draw(300, 1.0)


@pytest.fixture(scope="module")
def index(data):
    vectors, queries = data
    return ApproximateSearch.build(vectors, sample=queries[:200], seed=1)


def test_recall_is_what_a_recount_finds_and_what_was_wanted(data, index):
    vectors, queries = data
    held_out = queries[1:200:2]
    _, found = index.search(held_out, 10)
    _, best = ExactSearch(vectors).search(held_out, 10)
    recount = np.mean([len(set(f) & set(b)) / 10 for f, b in zip(found, best, strict=True)])
    assert index.tuning.recall == pytest.approx(recount)
    assert 0.95 <= index.tuning.recall <= 1
    assert index.tuning.probes < index._lists.nlist
    new, _ = index.search(queries[200:], 10)
    assert recall_of(new, ExactSearch(vectors).search(queries[200:], 10)[0]) > 0.93


def test_no_fewer_probes_would_do(data, index):
    vectors, queries = data
    chosen_by = queries[:200:2]
    best, _ = ExactSearch(vectors).search(chosen_by, 10)
    for probes, enough in ((index.tuning.probes, True), (index.tuning.probes - 1, False)):
        tuning = Tuning(COUNT, probes, index.tuning.candidates, 0.0)
        search = ApproximateSearch(vectors, index._index, tuning)
        assert (recall_of(search.search(chosen_by, 10)[0], best) >= 0.97) == enough


def test_more_recall_takes_more_probes(data, index):
    vectors, queries = data
    more = ApproximateSearch.build(vectors, sample=queries[:200], seed=1, wanted=0.99)
    less = ApproximateSearch.build(vectors, sample=queries[:200], seed=1, wanted=0.5)
    assert less.tuning.probes < index.tuning.probes < more.tuning.probes
    assert less.tuning.recall < index.tuning.recall < more.tuning.recall


def test_a_recall_that_cannot_be_reached_is_not_reported():
    """Vectors that differ only in what the projection drops: no list or byte separates them."""
    rng = np.random.default_rng(4)
    vectors = np.hstack([np.ones((4000, 1)), 0.02 * rng.standard_normal((4000, 63))])
    vectors = vectors.astype(np.float32)
    sample = np.hstack([np.zeros((40, 1)), unit(rng, 40, 63)]).astype(np.float32)
    search = ApproximateSearch.build(vectors, sample=sample, seed=0)
    assert search.tuning.probes == search._lists.nlist
    best, _ = ExactSearch(vectors).search(sample[1::2], 10)
    assert search.tuning.recall == recall_of(search.search(sample[1::2], 10)[0], best) < 0.95


def test_scores_are_exact_and_in_order(data, index):
    vectors, queries = data
    scores, rows = index.search(queries, 10)
    exact = np.einsum("qkd,qd->qk", vectors[rows].astype(float), queries.astype(float))
    assert scores.tolist() == exact.astype(np.float32).tolist()
    assert (np.diff(scores, axis=1) <= 0).all()
    one = index.search(queries[3:4], 10)
    assert (one[0].tolist(), one[1].tolist()) == ([scores[3].tolist()], [rows[3].tolist()])


@pytest.mark.parametrize("step", [2, 7, 30])
def test_a_filter_is_respected_and_costs_no_recall(data, index, step, monkeypatch):
    monkeypatch.setattr(approximate, "_FEW", 0)  # use the lists for any filter
    vectors, queries = data
    among = np.arange(1, COUNT, step)
    scores, rows = index.search(queries, 10, among=among)
    assert np.isin(rows, among).all()
    assert all(len(set(row)) == 10 for row in rows.tolist())
    best, _ = ExactSearch(vectors).search(queries, 10, among=among)
    assert recall_of(scores, best) > 0.95


def test_if_the_lists_hold_too_few_all_rows_are_scored(data, index):
    vectors, queries = data
    search = ApproximateSearch(vectors, index._index, Tuning(COUNT, 1, 10, 0.0))
    scores, rows = search.search(queries, 150)
    assert rows.shape == (300, 150)
    assert (rows >= 0).all()
    expected, _ = ExactSearch(vectors).search(queries, 150)
    alike = (scores == expected).all(axis=1)
    assert alike.any()
    assert not alike.all()


def test_a_small_filter_and_a_large_k_are_answered_exactly(data, index):
    vectors, queries = data
    exact = ExactSearch(vectors)
    among = np.array([5, 6, 4000])
    for k, some in ((10, among), (10, among[:0]), (1000, None), (9000, None)):
        found, expected = (s.search(queries[:3], k, among=some) for s in (index, exact))
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]


def test_wrong_arguments_are_refused_as_exact_search_does(data, index):
    with pytest.raises(ValueError, match="k is 0"):
        index.search(data[1], 0)


def test_vectors_that_are_not_finite_are_not_indexed():
    vectors = np.ones((50, 4), np.float32)
    vectors[11] = np.nan
    with pytest.raises(InputError, match="row 11"):
        ApproximateSearch.build(vectors, sample=np.ones((2, 4), np.float32), seed=0)


def test_copies_of_one_vector_are_found(index):
    vectors = np.tile(unit(np.random.default_rng(5), 32), (3000, 1))
    search = ApproximateSearch.build(vectors, sample=vectors[:4], seed=0)
    assert search.tuning.recall == 1
    assert len(set(search.search(vectors[:1], 10)[1][0].tolist())) == 10


def test_the_seed_decides_every_byte(data, index, tmp_path):
    vectors, queries = data
    again = ApproximateSearch.build(vectors, sample=queries[:200], seed=1)
    different = ApproximateSearch.build(vectors, sample=queries[:200], seed=2)
    for name, search in (("one", index), ("other", again), ("different", different)):
        search.save(tmp_path / name)
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "other").read_bytes() != (tmp_path / "different").read_bytes()


@pytest.fixture(scope="module")
def saved(index, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "nearest.faiss"
    index.save(path)
    return path


def test_a_saved_index_searches_as_before(data, index, saved):
    vectors, queries = data
    loaded = ApproximateSearch.load(saved, vectors)
    assert loaded.tuning == index.tuning
    among = np.arange(0, COUNT, 3)
    for some in (None, among):
        found, expected = (s.search(queries, 10, among=some) for s in (loaded, index))
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]


@pytest.fixture
def _faiss_must_not_read(monkeypatch):
    def fail(*_):
        raise AssertionError("FAISS was given an unverified file")

    monkeypatch.setattr(faiss, "deserialize_index", fail)


@pytest.mark.usefixtures("_faiss_must_not_read")
@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param((i, 1), id=f"bit at {i}") for i in (3, 70, 400, 20_000, -1)),
        *(pytest.param((i, None), id=f"cut at {i}") for i in (0, 64, 65, 120, -10)),
    ],
)
def test_faiss_never_sees_a_damaged_file(data, saved, tmp_path, change):
    content = bytearray(saved.read_bytes())
    place, bit = change
    if bit is None:
        del content[place:]
    else:
        content[place] ^= bit
    (tmp_path / "bad").write_bytes(content)
    assert ApproximateSearch.load(tmp_path / "bad", data[0]) is None


@pytest.mark.usefixtures("_faiss_must_not_read")
def test_an_index_of_other_vectors_or_another_faiss_does_not_fit(data, saved, monkeypatch):
    vectors, _ = data
    for other in (vectors[:-1], np.ascontiguousarray(vectors[:, 1:])):
        assert ApproximateSearch.load(saved, other) is None
    monkeypatch.setattr(faiss, "__version__", "1.0")
    assert ApproximateSearch.load(saved, vectors) is None


def test_an_index_is_built_for_many_vectors_and_kept(data, tmp_path, monkeypatch):
    vectors, queries = data
    path = tmp_path / "index"
    bars = []

    def find(some):
        return approximate.nearest(some, path=path, sample=lambda: queries, progress=noting(bars))

    assert isinstance(find(vectors), ExactSearch)
    assert not path.exists()
    monkeypatch.setattr(approximate, "EXACT_BELOW", 4000)
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")  # of an earlier version
    built = []
    for some in (vectors[:5000], vectors[:5000], vectors[:2000], vectors, vectors[:7900], vectors):
        before = len(bars)
        search = find(some)
        built.append(len(bars) > before)
        assert isinstance(search, ExactSearch if len(some) < 4000 else ApproximateSearch)
    # Replaced, kept, not needed, of many fewer vectors, of more than there are, of a few less.
    assert built == [True, False, False, True, True, False]
    assert {(bar.total, bar.done) for bar in bars} == {(approximate.STEPS, approximate.STEPS)}


def test_vectors_that_are_added_are_found_and_soon_kept(data, tmp_path):
    vectors, queries = data
    path = tmp_path / "index"
    first = ApproximateSearch.build(vectors[:7000], sample=queries, seed=0)
    first.save(path)
    held = path.read_bytes()
    for count, kept in ((7050, False), (7500, True)):
        search = ApproximateSearch.load(path, vectors[:count])
        _, rows = search.search(vectors[count - 40 : count], 1)
        assert rows[:, 0].tolist() == [*range(count - 40, count)]
        assert (path.read_bytes() != held) == kept
    broken = vectors[:7600].copy()
    broken[7550] = np.nan
    assert ApproximateSearch.load(path, broken) is None


def test_an_index_that_cannot_be_read_is_not_replaced(data, tmp_path, monkeypatch):
    monkeypatch.setattr(approximate, "EXACT_BELOW", 0)
    (tmp_path / "index").mkdir()
    with pytest.raises(InputError, match="cannot read"):
        approximate.nearest(data[0], path=tmp_path / "index", sample=None, progress=Bar)
