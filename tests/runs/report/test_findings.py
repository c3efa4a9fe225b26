import numpy as np
import pytest

from tests.support import make_retrieval, random_retrieval
from utils.evaluation import metrics
from utils.runs.report import findings
from utils.runs.report.space import space_map

LABELS = [f"tag {i}" for i in range(12)]


def test_the_curve_equals_the_scores_at_1_5_and_10():
    retrieval = random_retrieval(clips=40)
    evaluation = retrieval.evaluation
    curve = findings.recall_curve(evaluation.ranks, evaluation.clips, clips=40, seed=3)
    intervals = evaluation.intervals(seed=3)
    assert curve.k.tolist() == list(range(1, 41))
    for k in (1, 5, 10):
        assert curve.share[k - 1] == evaluation.means()[f"R@{k}"]
        assert (curve.low[k - 1], curve.high[k - 1]) == pytest.approx(intervals[f"R@{k}"])
        assert curve.chance[k - 1] == metrics.chance(40)[f"R@{k}"]
    assert curve.share[-1] == curve.low[-1] == 1
    assert (np.diff(curve.share) >= 0).all()


def test_the_curve_ends_at_100():
    ranks = np.arange(1, 301)
    curve = findings.recall_curve(ranks, np.arange(300), clips=300, seed=0)
    assert len(curve.k) == 100
    assert curve.share[99] == pytest.approx(1 / 3)


def test_bins_of_ranks_cover_all_ranks_once():
    ranks = np.array([1, 1, 2, 3, 5, 6, 11, 100, 101, 1045])
    bins = findings.rank_bins(ranks, clips=1045)
    assert [one.label for one in bins] == [
        *("1", "2", "3–5", "6–10", "11–20", "21–50", "51–100"),
        *("101–200", "201–500", "501–1000", "1001–1045"),
    ]
    assert [one.captions for one in bins] == [2, 1, 2, 1, 1, 0, 1, 1, 0, 0, 1]
    assert sum(one.share for one in bins) == pytest.approx(1)
    assert sum(one.chance for one in bins) == pytest.approx(1)
    assert bins[2].chance == pytest.approx(3 / 1045)


@pytest.mark.parametrize(
    ("clips", "labels"),
    [
        (1, "1"),
        (2, "1 2"),
        (10, "1 2 3–5 6–10"),
        (11, "1 2 3–5 6–10 11"),
        (12, "1 2 3–5 6–10 11–12"),
    ],
)
def test_the_last_bin_ends_with_the_last_clip(clips, labels):
    assert " ".join(one.label for one in findings.rank_bins(np.array([1]), clips=clips)) == labels


def test_worst_and_best_queries():
    audio = np.eye(4)
    text = [
        [0.9, 0.1, 0.0, 0.0],  # own clip first, by .8
        [0.6, 0.5, 0.0, 0.0],  # the same clip again, by .1
        [0.5, 0.4, 0.0, 0.0],  # clip 1 at rank 2, .1 behind
        [0.9, 0.8, 0.1, 0.7],  # clip 2 at rank 4
        [0.0, 0.0, 0.4, 0.9],  # clip 3 first, by .5
    ]
    retrieval = make_retrieval([0, 0, 1, 2, 3], audio, text)
    worst = findings.worst_queries(retrieval, count=2)
    assert [(query.caption, query.rank) for query in worst] == [(3, 4), (2, 2)]
    assert worst[0].score == pytest.approx(0.1)
    assert [clip for clip, _ in worst[0].found] == [0, 1, 3]
    assert [score for _, score in worst[0].found] == pytest.approx([0.9, 0.8, 0.7])
    best = findings.best_queries(retrieval, count=9)
    assert [(query.caption, query.clip) for query in best] == [(0, 0), (4, 3)]


def test_tags_are_scored_over_the_captions_of_their_clips():
    # Five clips, two captions each; tag 0 belongs to clips 0, 1 and 2, tag 1 to all, tags 2 and 3
    # to too few.
    logits = np.full((5, 6), -9, np.float32)
    for clip, tags in enumerate([(0, 1, 2), (0, 1, 2), (0, 1, 3), (1, 3, 4), (1, 4, 5)]):
        logits[clip, list(tags)] = 1
    audio = np.eye(5)
    own = np.repeat(np.arange(5), 2)
    text = audio[own].copy()
    text[4] = [0.9, 0, 0.5, 0, 0]  # a caption of clip 2 finds clip 0 first
    text[9] = [0.9, 0.8, 0.7, 0.6, 0.5]  # one of clip 4 comes last
    retrieval = make_retrieval(own, audio, text, logits)
    scores = findings.tag_scores(retrieval, LABELS[:6], count=4, seed=1)
    assert findings.fewest_clips(5) == 3
    assert (scores.common, scores.worst) == (2, [])
    first, second = scores.best
    assert (first.name, first.clips, first.recall) == ("tag 0", 3, 1)
    assert first.precision == pytest.approx((5 + 1 / 2) / 6)
    assert (second.name, second.clips) == ("tag 1", 5)
    assert second.precision == pytest.approx((8 + 1 / 2 + 1 / 5) / 10)
    assert first.interval[0] < first.precision < first.interval[1] + 1e-9


def test_of_many_tags_only_the_best_and_the_worst_are_kept():
    retrieval = random_retrieval(clips=60)
    every = findings.tag_scores(retrieval, LABELS, count=6, seed=1)
    some = findings.tag_scores(retrieval, LABELS, count=2, seed=1)
    assert every.common == some.common == len(every.best) == 12
    assert some.best == every.best[:2]
    assert some.worst == every.best[:-3:-1]


def test_clips_without_captions_count_for_no_tag():
    logits = np.zeros((4, 3), np.float32)
    retrieval = make_retrieval([0, 1], np.eye(4), np.eye(4)[:2], logits)
    assert findings.tag_scores(retrieval, LABELS[:3], count=2, seed=1).common == 0


def test_the_map_puts_captions_beside_the_clips_they_find():
    retrieval = random_retrieval(clips=50)
    places = space_map(retrieval, LABELS, groups=4, seed=5)
    again = space_map(retrieval, LABELS, groups=4, seed=5)
    np.testing.assert_array_equal(places.clip_places, again.clip_places)
    assert places.clip_places.min() == 0
    assert places.clip_places.max() == 1
    assert [rows.tolist() for rows in places.captions[:2]] == [[0, 1, 2], [3, 4, 5]]
    scores = retrieval.text @ retrieval.audio.T
    nearest = np.argsort(-scores, axis=1)[:, :3]
    for rows, ends in zip(places.captions, places.caption_places, strict=True):
        for row, end in zip(rows, ends, strict=True):
            among = places.clip_places[nearest[row]]
            assert (among.min(axis=0) - 1e-6 <= end).all()
            assert (end <= among.max(axis=0) + 1e-6).all()


def test_the_map_names_the_most_common_tags():
    logits = np.zeros((30, 12), np.float32)
    logits[np.arange(30), [7] * 15 + [3] * 10 + [0, 1, 2, 4, 5]] = 1
    retrieval = random_retrieval(clips=30)
    retrieval = make_retrieval(retrieval.evaluation.clips, retrieval.audio, retrieval.text, logits)
    places = space_map(retrieval, LABELS, groups=2, seed=1)
    assert places.group_names == ["tag 7", "tag 3"]
    assert places.group.tolist() == [0] * 15 + [1] * 10 + [-1] * 5


def test_neighbours_stay_neighbours_on_the_map():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(16)[:3], 20, axis=0)
    audio = centres + 0.05 * rng.normal(size=centres.shape)
    places = space_map(
        make_retrieval(np.arange(60), audio, audio), [], groups=8, seed=0
    ).clip_places
    distances = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 20 == np.arange(60) // 20).all()


@pytest.mark.parametrize("clips", [1, 2, 3, 4, 5])
def test_few_clips_have_a_map_too(clips):
    places = space_map(random_retrieval(clips=clips, with_logits=False), [], groups=8, seed=0)
    assert places.clip_places.shape == (clips, 2)
    assert np.isfinite(places.clip_places).all()
    assert all(np.isfinite(ends).all() for ends in places.caption_places)
    assert (places.group.tolist(), places.group_names) == ([-1] * clips, [])


def test_the_map_shows_a_sample_of_very_many_clips(monkeypatch):
    monkeypatch.setattr("utils.runs.report.space._SHOWN_CLIPS", 10)
    places = space_map(random_retrieval(clips=100), LABELS, groups=8, seed=0)
    assert places.clips.tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert [rows[0] for rows in places.captions] == [3 * clip for clip in places.clips]
