from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.dual_encoder import DualEncoder
from tests import libraries
from utils.search.engine import Engine
from utils.search.filters import Filter
from utils.search.nearest.exact import ExactSearch

TAGS = ["Dog", "Bark", "Rain", "Rain on surface"]
SCENE = 3  # numbers of a scene embedding
D = 6


@pytest.fixture
def make_library(tmp_path):
    """Make a library with so many passages per sound, after rows of sounds that are gone."""

    def make(passages_of_sounds, *, gone=0, seed=0, table=None, peaks=None, silent=()):
        rows = gone + sum(passages_of_sounds)
        rng = np.random.default_rng(seed)
        if table is None:
            table = 2 * rng.standard_normal((rows, len(TAGS) + SCENE)).astype(np.float32)
        if peaks is None:
            peaks = table[:, : len(TAGS)].astype(np.float16)
        return libraries.make_library(
            tmp_path / "library.sqlite",
            [(f"{number}.wav",) for number in range(len(passages_of_sounds))],
            table,
            peaks,
            passages=passages_of_sounds,
            gone=gone,
            silent=silent,
        )

    return make


def make_engine(library, *, features="logits", with_tags=True):
    generator = torch.Generator().manual_seed(0)
    part = {"logits": slice(0, 4), "scene": slice(4, None), "both": slice(None)}[features]
    table = torch.from_numpy(library.table)
    tags = F.normalize(torch.randn(len(TAGS), D, generator=generator), dim=-1)
    network = DualEncoder(
        audio_size=table[:, part].shape[1],
        text_size=D,
        tag_table=tags if with_tags else None,
        generator=generator,
    ).requires_grad_(False)
    embeddings = network.encode_audio(table[:, part], network.embed_tags(table[:, : len(TAGS)]))
    engine = Engine(
        library,
        SimpleNamespace(network=network, features=lambda rows: rows[:, part], tags=TAGS),
        nearest=ExactSearch(embeddings.numpy()),
    )
    return engine, embeddings.numpy()


def make_query(seed=0):
    query = np.random.default_rng(seed).standard_normal(D).astype(np.float32)
    return query / np.linalg.norm(query)


@pytest.mark.parametrize("features", ["logits", "scene", "both"])
@pytest.mark.parametrize("with_tags", [True, False])
def test_hits_come_in_order_and_each_score_is_the_sum_of_its_parts(
    features, with_tags, make_library
):
    library = make_library([1] * 30)
    engine, embeddings = make_engine(library, features=features, with_tags=with_tags)
    query = make_query()
    hits = engine.search(query, top=7)
    expected = embeddings @ query
    assert [hit.sound for hit in hits] == np.argsort(-expected)[:7].tolist()
    assert [hit.rank for hit in hits] == list(range(1, 8))
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.sound], abs=1e-6)
        assert hit.projection + hit.tag_branch == pytest.approx(hit.score, abs=1e-5)
        # There are only four tags, so that all are among the reasons.
        total = sum(reason.contribution for reason in hit.reasons)
        assert total == pytest.approx(hit.tag_branch, abs=1e-5)
        assert len(hit.reasons) == (4 if with_tags else 0)
        contributions = [reason.contribution for reason in hit.reasons]
        assert contributions == sorted(contributions, reverse=True)
        assert not hit.is_part


def test_hits_have_the_tags_of_their_loudest_windows_most_probable_first(make_library):
    library = make_library([1], peaks=np.array([[3, -3, 5, 0]], np.float16))
    engine, _ = make_engine(library)
    (hit,) = engine.search(make_query())
    assert [tag.tag for tag in hit.tags] == ["Rain", "Dog", "Rain on surface"]
    assert hit.tags[2].probability == pytest.approx(0.5)


def test_a_long_sound_appears_once_with_its_best_passage(make_library):
    library = make_library([1, 300, 1, 40, 1])
    engine, embeddings = make_engine(library)
    query = make_query()
    hits = engine.search(query, top=4)
    assert len({hit.sound for hit in hits}) == 4
    scores = embeddings @ query
    for hit in hits:
        rows = np.flatnonzero(library.sound_of_row == hit.sound)
        best = rows[scores[rows].argmax()]
        assert hit.score == pytest.approx(scores[best], abs=1e-6)
        start = 20 * (best - rows[0])
        assert (hit.start, hit.end) == (start, start + 20)
        assert hit.is_part == (len(rows) > 1)
    best_of_each = [scores[library.sound_of_row == sound].max() for sound in range(5)]
    assert [hit.sound for hit in hits] == np.argsort(best_of_each)[::-1][:4].tolist()


@pytest.mark.parametrize("gone", [3, 50])
def test_sounds_that_are_gone_are_not_found(gone, make_library):
    library = make_library([1, 4, 1, 1], gone=gone)
    engine, _ = make_engine(library)
    for top in (1, 2, 10):
        hits = engine.search(make_query(), top=top)
        assert len({hit.sound for hit in hits} & {0, 1, 2, 3}) == len(hits) == min(top, 4)


def test_the_passage_that_is_found_passes_the_filters(make_library):
    library = make_library([5] * 40)
    engine, embeddings = make_engine(library)
    query = make_query()
    filters = [Filter("Dog", True, 0.7), Filter("Rain", False, 0.2)]
    hits = engine.search(query, top=500, filters=filters)
    probabilities = 1 / (1 + np.exp(-library.peaks.astype(np.float64)))
    passing = (probabilities[:, 0] > 0.7) & (probabilities[:, 2] < 0.2)
    assert {hit.sound for hit in hits} == set(library.sound_of_row[passing])
    scores = np.where(passing, embeddings @ query, -np.inf)
    assert hits[0].score == pytest.approx(scores.max(), abs=1e-6)
    assert engine.search(query, filters=[Filter("Dog", True, 1.0)]) == []
    assert len(engine.search(query, top=500, filters=[Filter("Dog", True, 0.0)])) == 40


def test_a_short_event_in_a_long_passage_passes_the_filters(make_library):
    table = np.full((3, len(TAGS) + SCENE), -6, np.float32)  # the mean: a dog for 5 s of 28 s
    peaks = np.full((3, len(TAGS)), -6, np.float16)
    peaks[:, 0] = [2, -6, -0.847]
    library = make_library([1] * 3, table=table, peaks=peaks)
    engine, _ = make_engine(library)

    def found(above, threshold):
        hits = engine.search(make_query(), filters=[Filter("Dog", above, threshold)])
        return sorted(hit.sound for hit in hits)

    assert found(True, 0.5) == [0]
    assert found(True, 0.3) == [0, 2]  # the limit is not rounded to 16 bits
    assert found(True, 0.30008) == [0]
    assert found(False, 0.1) == [1]
    assert found(False, 0.003) == [1]  # less than the database keeps
    assert found(True, 0.003) == [0, 2]


@pytest.mark.parametrize("features", ["logits", "scene", "both"])
@pytest.mark.parametrize("with_tags", [True, False])
def test_a_sound_of_any_length_is_its_own_best_match(features, with_tags, make_library):
    library = make_library([1, 2, 1, 60, 5], gone=2)
    engine, embeddings = make_engine(library, features=features, with_tags=with_tags)
    for sound in range(5):
        queries = engine.vectors_of(sound)
        hits = engine.search(queries, top=3, itself=sound)
        assert (hits[0].sound, hits[0].score) == (sound, 1.0)
        for hit in hits:
            best = (embeddings[library.sound_of_row == hit.sound] @ queries.T).max(axis=0)
            assert hit.score == pytest.approx(best.mean(), abs=1e-5)
            assert hit.projection + hit.tag_branch == pytest.approx(hit.score, abs=1e-5)
            total = sum(reason.contribution for reason in hit.reasons)
            assert total == pytest.approx(hit.tag_branch, abs=1e-5)
    (passage,) = engine.vectors_of(3, start=40)
    np.testing.assert_array_equal(passage, embeddings[np.flatnonzero(library.sound_of_row == 3)[2]])
    hit = engine.search(passage[None], top=1)[0]
    assert (hit.sound, hit.start, hit.score) == (3, 40, 1.0)


def test_a_search_by_example_obeys_filters(make_library):
    library = make_library([5] * 20)
    engine, embeddings = make_engine(library)
    queries = engine.vectors_of(4)
    hits = engine.search(queries, top=500, filters=[Filter("Dog", True, 0.9)], itself=4)
    passing = 1 / (1 + np.exp(-library.peaks[:, 0].astype(np.float64))) > 0.9
    assert {hit.sound for hit in hits} == set(library.sound_of_row[passing])
    for hit in hits:
        rows = passing & (library.sound_of_row == hit.sound)
        assert hit.score == pytest.approx(
            (embeddings[rows] @ queries.T).max(axis=0).mean(), abs=1e-5
        )
    assert engine.search(queries, filters=[Filter("Dog", True, 1.0)], itself=4) == []


@pytest.mark.parametrize("filters", [[], [Filter("Dog", True, 0.0)]])
@pytest.mark.parametrize("by_example", [True, False])
def test_silence_comes_last_whatever_is_searched_for(filters, by_example, make_library):
    silent = [1, 3, 6, 7]  # sound 0, a part of sound 1, sound 3
    library = make_library([1, 3, 1, 2, 1], gone=1, silent=silent)
    engine, embeddings = make_engine(library)
    query = embeddings[1]  # most like silence
    query = query[None] if by_example else query
    hits = engine.search(query, top=5, filters=filters)
    assert {hit.sound for hit in hits[:3]} == {1, 2, 4}
    assert [hit.sound for hit in hits[3:]] == [0, 3]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert len(engine.search(query, top=4, filters=filters)) == 4
    (part,) = [hit for hit in hits if hit.sound == 1]
    assert part.start != 20
    assert sorted(len(engine.vectors_of(sound)) for sound in range(5)) == [1, 1, 1, 2, 2]
    best = engine.search(engine.vectors_of(3), filters=filters, itself=3)[0]
    assert (best.sound, best.score) == (3, 1.0)
    best = engine.search(engine.vectors_of(1), filters=filters, itself=1)[0]
    assert (best.sound, best.score) == (1, 1.0)


def test_silence_is_found_by_who_asks_for_it(monkeypatch, make_library):
    library = make_library([1, 1, 1, 1], silent=[2])
    monkeypatch.setitem(globals(), "TAGS", ["Dog", "Silence", "Rain", "Speech"])
    for most_like, place in (("Silence", 0), ("Rain", -1)):
        engine, embeddings = make_engine(library)
        query = embeddings[2]
        texts = np.stack([query if tag == most_like else -query for tag in TAGS])
        engine._embedder.embed_tags = lambda texts=texts: texts
        assert engine.search(query)[place].sound == 2
