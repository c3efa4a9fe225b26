import csv
import json

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tests.support import GOLDEN
from utils.evaluation import metrics
from utils.evaluation.relevance import read_relevant_csv
from utils.evaluation.result_tables import read_result_table, results_for

EXPECTED = json.loads((GOLDEN / "golden.json").read_text())
NAMES = {"R@1": "R1", "R@5": "R5", "R@10": "R10", "mAP@10": "mAP10"}


def read_case(name: str):
    """Queries, retrieved names, and the (caption, file) pairs of a golden case."""
    with (GOLDEN / f"metrics/{name}_pred.csv").open(newline="") as file:
        results = list(csv.reader(file))[1:]
    with (GOLDEN / f"metrics/{name}_gt.csv").open(newline="") as file:
        owners = [(caption, row[0]) for row in list(csv.reader(file))[1:] for caption in row[1:]]
    return [row[0] for row in results], [row[1:] for row in results], owners


def test_metrics_equal_the_originals():
    queries, retrieved, owners = read_case("plain")
    own = {caption: {file} for caption, file in owners}
    scores = metrics.several_relevant(retrieved, [own[query] for query in queries])
    for ours, theirs in NAMES.items():
        assert scores[ours].mean() == pytest.approx(
            EXPECTED["metrics_plain_by_hand"][theirs], abs=1e-12
        )


def test_a_shared_caption_by_the_originals_convention():
    # The original keeps one query per text, and the last clip with that caption.
    queries, retrieved, owners = read_case("shared_caption")
    once = dict(zip(queries, retrieved, strict=True))
    own = {caption: {file} for caption, file in owners}
    scores = metrics.several_relevant(list(once.values()), [own[query] for query in once])
    for ours, theirs in NAMES.items():
        assert round(scores[ours].mean(), 4) == EXPECTED["metrics_shared_caption"][theirs]


def test_a_shared_caption_by_our_convention():
    # Every clip with that caption is relevant: "a dog" finds the first of its two at rank 1 and
    # the second at rank 4, so AP = (1/1 + 2/4) / 2.
    queries, retrieved, owners = read_case("shared_caption")
    relevant: dict[str, set[str]] = {}
    for caption, file in owners:
        relevant.setdefault(caption, set()).add(file)
    i = queries.index("a dog")
    values = metrics.several_relevant([retrieved[i]], [relevant["a dog"]])
    assert values["mAP@10"].tolist() == [0.75]
    assert values["R@1"].tolist() == [0.5]


def test_single_relevant_by_hand():
    values = metrics.single_relevant([1, 2, 5, 6, 10, 11])
    assert values["R@1"].tolist() == [1, 0, 0, 0, 0, 0]
    assert values["R@5"].tolist() == [1, 1, 1, 0, 0, 0]
    assert values["R@10"].tolist() == [1, 1, 1, 1, 1, 0]
    assert values["mAP@10"].tolist() == pytest.approx([1, 1 / 2, 1 / 5, 1 / 6, 1 / 10, 0])


def test_single_and_several_relevant_agree_where_one_clip_is():
    rng = np.random.default_rng(0)
    names = [f"{i}.wav" for i in range(30)]
    ranks = rng.integers(1, 31, size=50)
    lists = []
    for rank in ranks:
        order = [*rng.permutation(names[1:])]
        order.insert(rank - 1, names[0])
        lists.append(order)
    one = metrics.single_relevant(ranks)
    several = metrics.several_relevant(lists, [{names[0]}] * 50)
    for name in metrics.METRICS:
        np.testing.assert_allclose(one[name], several[name])


@pytest.mark.parametrize(("convention", "expected"), [("cutoff", 10 / 10), ("all", 10 / 12)])
def test_average_precision_conventions(convention, expected):
    names = [str(i) for i in range(20)]
    values = metrics.several_relevant([names], [set(names[:12])], divide_by=convention)
    assert values["mAP@10"][0] == pytest.approx(expected)
    assert values["R@10"][0] == pytest.approx(10 / 12)


def test_chance_equals_a_simulation():
    expected = metrics.chance(25)
    ranks = np.random.default_rng(0).integers(1, 26, size=200_000)
    for name, values in metrics.single_relevant(ranks).items():
        assert values.mean() == pytest.approx(expected[name], abs=0.005)
    assert metrics.chance(4)["R@5"] == 1.0


def test_median_rank():
    assert metrics.median_rank([3, 1, 8]) == 3
    assert metrics.median_rank([1, 2]) == 1.5


def test_bootstrap_interval_of_grouped_values():
    # Captions of a clip that agree are one observation: the interval is that of 50 values.
    rng = np.random.default_rng(0)
    per_clip = rng.random(50)
    values, groups = np.repeat(per_clip, 5), np.repeat(np.arange(50), 5)
    low, high = metrics.bootstrap_interval(values, groups, seed=1)
    error = 1.96 * per_clip.std() / 50**0.5
    assert low == pytest.approx(per_clip.mean() - error, abs=0.02)
    assert high == pytest.approx(per_clip.mean() + error, abs=0.02)
    single = metrics.bootstrap_interval(values, np.arange(250), seed=1)
    assert single[1] - single[0] < 0.6 * (high - low)
    assert metrics.bootstrap_interval(values, groups, seed=1) == (low, high)


@pytest.mark.parametrize("ranks", [[], [0, 1], [1.5], [[1, 2]]])
def test_invalid_ranks_are_refused(ranks):
    with pytest.raises(ValueError, match=r"ranks must be"):
        metrics.single_relevant(ranks)


@pytest.mark.parametrize(
    ("retrieved", "relevant", "message"),
    [
        ([["a", "a"]], [{"a"}], "a clip twice"),
        ([["a"]], [set()], "no relevant clip"),
        ([["a"]], [{"a"}, {"b"}], "1 lists of results for 2"),
    ],
)
def test_several_relevant_refuses_nonsense(retrieved, relevant, message):
    with pytest.raises(ValueError, match=message):
        metrics.several_relevant(retrieved, relevant)


def test_the_official_baselines_results(shared_data):
    captions = shared_data / "clotho/clotho_captions_evaluation.csv"
    with captions.open(newline="", encoding="utf-8") as file:
        relevant = {c: {row[0]} for row in list(csv.reader(file))[1:] for c in row[1:]}
    names = sorted(set.union(*relevant.values()))
    table = shared_data / "baseline2022/test.output.csv"
    found = results_for(list(relevant), read_result_table(table), names, path=table)
    scores = metrics.several_relevant(found, list(relevant.values()))
    expected = {"R@1": 0.03158, "R@5": 0.10947, "R@10": 0.18833, "mAP@10": 0.06793}
    assert {name: round(value.mean(), 5) for name, value in scores.items()} == expected


def test_hits_by_hand():
    # Three relevant items, found at ranks 1 and 3; one, found at rank 12; two, never found.
    hits = np.zeros((3, 12), dtype=bool)
    hits[0, [0, 2]] = hits[1, 11] = True
    share = metrics.score_hits(hits, [3, 1, 2])
    assert share["R@1"].tolist() == pytest.approx([1 / 3, 0, 0])
    assert share["R@5"].tolist() == pytest.approx([2 / 3, 0, 0])
    assert share["mAP@10"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 0, 0])
    anywhere = metrics.score_hits(hits, [3, 1, 2], recall="any")
    assert anywhere["R@1"].tolist() == [1, 0, 0]
    assert anywhere["R@10"].tolist() == [1, 0, 0]
    assert anywhere["mAP@10"].tolist() == share["mAP@10"].tolist()


def slow_average_precision(names: list[str], relevant: set[str], cutoff: int) -> float:
    """AP@k as published for DCASE 2025: over all relevant clips."""
    precisions = []
    for rank in range(1, cutoff + 1):
        if names[rank - 1] in relevant:
            precisions.append(len(relevant & set(names[:rank])) / rank)
    return sum(precisions) / len(relevant)


@pytest.mark.parametrize("cutoff", [10, 16, 25])
def test_average_precision_at_any_depth_equals_the_slow_way(cutoff):
    rng = np.random.default_rng(1)
    names = [f"{i}.wav" for i in range(40)]
    found = [list(rng.permutation(names)) for _ in range(30)]
    relevant = [set(rng.choice(names, rng.integers(1, 13), replace=False)) for _ in range(30)]
    values = metrics.several_relevant(found, relevant, divide_by="all", cutoff=cutoff)
    wanted = [slow_average_precision(*of, cutoff) for of in zip(found, relevant, strict=True)]
    np.testing.assert_allclose(values[f"mAP@{cutoff}"], wanted)


def test_graded_relevance_equals_scikit_learns():
    rng = np.random.default_rng(2)
    names = [f"{i}.wav" for i in range(20)]
    scores = rng.normal(size=(15, 20))
    grades = rng.integers(0, 4, size=(15, 20))
    found = [[names[i] for i in np.argsort(-row)] for row in scores]
    of_queries = [
        {name: float(grade) for name, grade in zip(names, row, strict=True) if grade}
        for row in grades
    ]
    values = metrics.graded_relevance(found, of_queries, cutoff=16)
    for value, grade, score in zip(values, grades, scores, strict=True):
        assert value == pytest.approx(ndcg_score([grade], [score], k=16))


def test_the_challenges_relevant_clips_are_read_and_scored(shared_data):
    captions = shared_data / "clotho/clotho_captions_evaluation.csv"
    with captions.open(newline="", encoding="utf-8") as file:
        names = [row[0] for row in list(csv.reader(file))[1:]]
    relevant = read_relevant_csv(shared_data / "dcase2025/metadata_eval.csv", names)
    sizes = [len(clips) for clips in relevant.clips]
    assert (len(sizes), max(sizes), sizes.count(1)) == (1037, 12, 250)
    perfect = [[*clips, *(n for n in names if n not in clips)][:16] for clips in relevant.clips]
    values = metrics.several_relevant(perfect, relevant.clips, divide_by="all", cutoff=16)
    assert values["mAP@16"].mean() == 1
    # One place further down, behind a clip that is not relevant.
    later = []
    for clips, best in zip(relevant.clips, perfect, strict=True):
        wrong = next(name for name in names if name not in clips)
        later.append([wrong, *(name for name in best if name != wrong)])
    values = metrics.several_relevant(later, relevant.clips, divide_by="all", cutoff=16)
    wanted = np.mean([sum(i / (i + 1) for i in range(1, n + 1)) / n for n in sizes])
    assert values["mAP@16"].mean() == pytest.approx(wanted)
