import csv
import io

import numpy as np
import pytest

from utils.runs.sweep_table import Outcome, compare, table_csv, table_markdown


def outcome(*ranks, validation=(0.5, 0.7)):
    return Outcome(np.array(validation[: len(ranks)]), np.array(ranks))


def test_means_and_deviations_by_hand():
    rows = compare({"q": {"a": outcome([1, 2], [1, 1])}}, np.array([0, 1]), seed=1)
    (row,) = rows
    # mAP@10 of the two seeds: (1 + 1/2) / 2 and 1.
    assert row["mAP@10 mean"] == pytest.approx(0.875)
    assert row["mAP@10 sd"] == pytest.approx(np.std([0.75, 1.0], ddof=1))
    assert row["R@1 mean"] == pytest.approx(0.75)
    assert row["validation mAP@10 mean"] == pytest.approx(0.6)
    assert row["validation mAP@10 sd"] == pytest.approx(0.2 / np.sqrt(2))
    assert (row["seeds"], row["difference"]) == (2, None)


def test_the_difference_is_bootstrapped_in_pairs():
    """One setting is better by a little on every caption: sure, however much captions differ."""
    rng = np.random.default_rng(0)
    ranks = rng.integers(2, 9, size=200)
    rows = compare({"q": {"a": outcome(ranks), "b": outcome(ranks - 1)}}, np.arange(200), seed=1)
    better = rows[1]
    assert better["difference"] == pytest.approx((1 / (ranks - 1) - 1 / ranks).mean())
    assert 0 < better["difference low"] < better["difference"] < better["difference high"]
    paired = better["difference high"] - better["difference low"]
    assert paired < better["mAP@10 high"] - better["mAP@10 low"]


def test_one_seed_has_no_deviation():
    rows = compare({"q": {"a": outcome([1, 2])}}, np.array([0, 1]), seed=1)
    assert rows[0]["mAP@10 sd"] is None
    (read,) = csv.DictReader(io.StringIO(table_csv(rows)))
    assert (read["mAP@10 sd"], read["mAP@10 mean"]) == ("", "0.750000")
    text = table_markdown(rows, title="t")
    assert "nan" not in text.lower()
    assert "±" not in text.split("\n\n")[-1]


def test_markdown_has_a_section_for_each_question_and_escapes_bars():
    outcomes = {
        "first": {"a|b": outcome([1, 3]), "c": outcome([1, 1])},
        "second": {"d": outcome([2, 2])},
    }
    text = table_markdown(compare(outcomes, np.array([0, 1]), seed=1), title="t")
    assert text.startswith("# t\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## first",
        "## second",
    ]
    assert "| a\\|b |" in text
    assert "| +0.3333 [+0.000, +0.667] |" in text
