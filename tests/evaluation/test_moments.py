import json

import numpy as np
import pytest

from tests.support import GOLDEN
from utils.datasets.moment_lists import MomentQuery, read_moment_list
from utils.evaluation.moments import METRICS, THRESHOLDS, score_moments

FOLDER = GOLDEN / "moments"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def predictions(name):
    rows = map(json.loads, (FOLDER / name).read_text().splitlines())
    return {row["qid"]: row["pred_relevant_windows"] for row in rows}


@pytest.fixture(scope="module")
def truth():
    return read_moment_list(FOLDER / "castella_val.jsonl")


def printed(scores):
    return {
        kind: {at: f"{mean:.2f}" for at, mean in means.items()}
        for kind, means in scores.at_thresholds().items()
    }


def as_printed(full):
    return {kind: {at: f"{v:.2f}" for at, v in values.items()} for kind, values in full.items()}


def query(*windows, qid="1", vid="a"):
    return MomentQuery(qid, "rain", vid, 60, windows)


@pytest.mark.parametrize("name", [f"pred_{letter}.jsonl" for letter in "abcd"])
def test_scores_equal_those_of_the_published_evaluator(truth, name):
    scores = score_moments(predictions(name), truth)
    expected = EXPECTED[name]
    assert printed(scores) == as_printed(expected["full"])
    for kind, means in scores.at_thresholds().items():
        assert means == pytest.approx(expected["unrounded"][kind.removeprefix("MR-")], abs=1e-9)
    brief = {f"MR-full-{name}": round(mean, 2) for name, mean in scores.means().items()}
    assert brief == expected["brief"]


def test_published_predictions_have_their_published_scores(truth):
    scores = score_moments(predictions("published_castella_val_preds.jsonl"), truth)
    metrics = json.loads((FOLDER / "published_castella_val_metrics.json").read_text())
    assert printed(scores) == as_printed(metrics["full"])


def test_the_truth_itself_does_not_score_100(truth):
    scores = score_moments({q.qid: [[*window, 1] for window in q.windows] for q in truth}, truth)
    assert printed(scores) == as_printed(
        EXPECTED["the truth itself, score 1 for each window"]["full"]
    )


def test_without_the_first_queries_the_rest_scores_as_in_the_evaluator(truth):
    found = dict(list(predictions("pred_b.jsonl").items())[52:])
    expected = EXPECTED["pred_b.jsonl, first 52 lines left out, match_number=False"]["full"]
    rest = score_moments(found, [q for q in truth if q.qid in found])
    assert printed(rest) == as_printed(expected)
    every = score_moments(found, truth)  # the others count as not found
    for name, mean in every.means().items():
        assert mean == pytest.approx(rest.means()[name] * 300 / 352)


def test_r1_takes_the_first_as_listed_and_ap_sorts_the_first_ten():
    wrong, right = [30, 31, 0.1], [0, 10, 0.9]
    one = score_moments({"1": [wrong, right]}, [query((0, 10))]).means()
    assert (one["R1@0.7"], one["mAP"]) == (0, 100)
    late = score_moments({"1": [wrong] * 10 + [right]}, [query((0, 10))]).means()
    assert late["mAP"] == 0


def test_windows_without_scores_keep_their_order():
    with_two = score_moments({"1": [[30, 31], [0, 10]]}, [query((0, 10))]).means()
    assert (with_two["R1@0.5"], with_two["mAP"]) == (0, 50)


def test_a_true_window_is_found_once_and_a_double_is_a_miss():
    truth = [query((0, 10), (20, 30))]
    scores = score_moments({"1": [[0, 10, 0.9], [0, 10, 0.8], [20, 30, 0.7]]}, truth).means()
    assert scores["mAP@0.5"] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_the_best_precision_from_a_hit_on_counts():
    truth = [query((0, 10), (20, 30))]
    scores = score_moments({"1": [[40, 41, 3], [0, 10, 2], [20, 30, 1]]}, truth).means()
    assert scores["mAP@0.5"] == pytest.approx(100 * 2 / 3)


def test_windows_of_no_length_are_wrong_and_do_not_count_as_truth():
    truth = [query((5, 5), (0, 10), (0, 1600)), query((3, 3), qid="2")]
    scores = score_moments({"1": [[0, 10, 1]], "2": [[3, 3, 1]]}, truth)
    assert scores.means()["mAP"] == 100
    assert len(scores.recordings) == 1
    assert score_moments({"1": [[5, 5, 1]]}, truth).means()["mAP"] == 0
    with pytest.raises(ValueError, match="no query has a true window"):
        score_moments({}, truth[1:])


def test_nothing_is_cut_at_the_end_of_the_recording():
    truth = [query((50, 70))]
    assert score_moments({"1": [[50, 60, 1]]}, truth).means()["R1@0.7"] == 0
    assert score_moments({"1": [[50, 70, 1]]}, truth).means()["R1@0.7"] == 100


def test_intervals_resample_recordings_and_are_the_same_again():
    same = [query((0, 10), qid=str(i), vid=f"{i // 20}") for i in range(40)]
    alone = [query((0, 10), qid=str(i), vid=str(i)) for i in range(40)]
    found = {str(i): [[0, 10, 1]] for i in range(20)}
    intervals = score_moments(found, same).intervals(seed=1)
    assert intervals == dict.fromkeys(METRICS, (0, 100))  # two recordings: one right, one wrong
    assert score_moments(found, same).intervals(seed=1) == intervals
    low, high = score_moments(found, alone).intervals(seed=1)["mAP"]
    assert 30 < low < 50 < high < 70


def test_any_order_of_many_windows_scores_as_one_by_one():
    """Against the definition, written out, on random windows in tenths of a second."""
    rng = np.random.default_rng(3)
    truth, found = [], {}
    for i in range(60):
        start = rng.integers(0, 600, rng.integers(1, 5)) / 10
        truth.append(
            query(
                *zip(start, start + rng.integers(1, 300, len(start)) / 10, strict=True), qid=str(i)
            )
        )
        of_query = [
            [s + rng.integers(-20, 20) / 10, e + rng.integers(-20, 20) / 10, rng.integers(3)]
            for s, e in truth[-1].windows
            for _ in range(3)
        ]
        found[str(i)] = [[min(w[:2]), max(w[:2]), w[2]] for w in of_query]
    scores = score_moments(found, truth)
    expected = [[ap(found[q.qid], q.windows, t) for t in THRESHOLDS] for q in truth]
    np.testing.assert_allclose(scores.precision, expected, atol=1e-12)


def ap(windows, true, threshold):
    ordered = sorted(windows[:10], key=lambda window: -window[2])
    free, hits = list(true), []
    for start, end, _ in ordered:
        overlaps = {}
        for window in free:
            shared = max(min(end, window[1]) - max(start, window[0]), 0)
            overlaps[window] = shared / (end - start + window[1] - window[0] - shared)
        best = max(overlaps, key=overlaps.get, default=None)
        hits.append(best is not None and overlaps[best] >= threshold)
        if hits[-1]:
            free.remove(best)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return sum(max(precision[i:]) for i, hit in enumerate(hits) if hit) / len(true)
