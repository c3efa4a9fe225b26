import json

import pytest

from tests.support import GOLDEN, load_script
from utils.datasets.moment_lists import MomentQuery, write_moment_list
from utils.evaluation.moment_predictions import check_moment_submission, notes_on, read_predictions
from utils.runtime.errors import InputError

QUERIES = [
    MomentQuery("7", "rain", "a", 60, ((0, 10),)),
    MomentQuery("b_1", "A dog", "b", 59.5, ((0, 10),)),
]
ROWS = [
    {"qid": 7, "query": "rain", "vid": "a", "pred_relevant_windows": [[1, 2], [50, 61]]},
    {"qid": "b_1", "query": "A dog", "vid": "b", "pred_relevant_windows": [[0.5, 59.5]]},
]


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "found.jsonl"
        path.write_text(
            "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
        )
        return path

    return write


def windows(*windows):
    return {**ROWS[1], "pred_relevant_windows": list(windows)}


def test_windows_of_two_and_three_numbers_are_read_in_any_order_of_queries(write):
    found = read_predictions(write(windows([-3, 70, 0.5], [4, 4, 1e3]), "", ROWS[0]), QUERIES)
    assert found == {"7": [[1, 2], [50, 61]], "b_1": [[-3, 70, 0.5], [4, 4, 1e3]]}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("[", "not valid JSON"),
        ({}, "qid None is not one of the 2 queries"),
        ({**ROWS[1], "qid": "c"}, "qid 'c' is not one of the 2 queries"),
        (ROWS[0], "qid '7' is already on line 1"),
        ({"qid": "b_1"}, "pred_relevant_windows is None, and must be a list of windows"),
        (windows([1, 2, 3, 4]), r"window [1, 2, 3, 4] must be [start, end] or [start, end, score]"),
        (windows([1]), "window [1] must be"),
        (windows([1, "2"]), "window [1, '2'] must be"),
        (windows([1, float("nan")]), "window [1, nan] must be"),
        (windows([1, 2, float("inf")]), "window [1, 2, inf] must be"),
        (windows([1, True]), "window [1, True] must be"),
        (windows(3), "window 3 must be"),
        (windows([2, 1]), "window [2, 1] ends before it starts"),
        (windows([1, 2], [1, 2, 0.5]), "some windows have a score, and others have none"),
    ],
)
def test_what_is_wrong_is_said_by_line(write, row, problem):
    with pytest.raises(InputError) as caught:
        read_predictions(write(ROWS[0], row), QUERIES, partial=True)
    assert f"\n  - line 2: {problem}" in str(caught.value)


def test_missing_queries_and_empty_lists_need_partial(write):
    path = write(windows())
    with pytest.raises(InputError) as caught:
        read_predictions(path, QUERIES)
    assert str(caught.value).splitlines()[1:] == [
        "  - no row for qid '7'",
        "  - no window for qid 'b_1'",
        "Each of the 2 queries needs one row, with a window. 2 have none; --partial counts them as "
        "not found.",
    ]
    assert read_predictions(path, QUERIES, partial=True) == {"b_1": []}


def test_rules_that_surprise_are_counted():
    found = {"1": [[0, 1, 0.2], [2, 3, 0.4]], "2": [[0, 1]] * 11, "3": [[0, 1, 0.4], [2, 3, 0.4]]}
    assert notes_on(found) == [
        "1 of 3 queries list a window before one with a higher score: R1 takes the first as listed",
        "1 of 3 queries list more than 10 windows: AP takes the first 10 as listed",
    ]


def test_a_submission_is_checked_by_line(write):
    assert check_moment_submission(write(*ROWS), QUERIES) == []
    bad = windows([5, 5], [9, 8], [-1, 3], [50, 60.6], [1, 2, 0.5], [1, None])
    assert check_moment_submission(write(bad, {**bad, "qid": "x"}), QUERIES) == [
        "line 1: window [5, 5] does not end after its start",
        "line 1: window [9, 8] does not end after its start",
        "line 1: window [-1, 3] is outside the recording of 59.5 s",
        "line 1: window [50, 60.6] is outside the recording of 59.5 s",
        "line 1: window [1, 2, 0.5] must be [start, end], two numbers",
        "line 1: window [1, None] must be [start, end], two numbers",
        "line 2: qid 'x' is not one of the 2 queries",
        "no row for qid '7'",
    ]
    other = {**ROWS[1], "query": "A cat", "vid": "a", "pred_relevant_windows": []}
    assert check_moment_submission(write(ROWS[0], ROWS[0], other), QUERIES) == [
        "line 2: qid '7' is already on line 1",
        "line 3: query is 'A cat', and must be 'A dog'",
        "line 3: vid is 'a', and must be 'b'",
        "line 3: pred_relevant_windows is empty, and needs a window",
    ]


def test_the_commands_score_and_check(write, tmp_path, capsys):
    main = load_script("main").main
    truth = tmp_path / "truth.jsonl"
    write_moment_list(truth, [*QUERIES, MomentQuery("c", "rain", "a", 60)])
    found = write(ROWS[0])
    main(["score-moments", str(found), "--truth", str(truth), "--partial"])
    out = capsys.readouterr().out
    assert "1 of 2 queries have no prediction: not found" in out
    assert "1 of 3 queries have no true window, and are not scored" in out
    assert "scores                   0.00" in out
    with pytest.raises(InputError, match="no row for qid 'b_1'"):
        main(["score-moments", str(found), "--truth", str(truth)])
    without = tmp_path / "queries.jsonl"
    write_moment_list(without, [MomentQuery("7", "rain", "a", 60)])
    with pytest.raises(InputError, match="has no true windows"):
        main(["score-moments", str(found), "--truth", str(without)])
    capsys.readouterr()
    main(["check-submission", str(found), "--queries", str(without)])
    assert "is a valid submission of 1 queries" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"2 problems in .*\n  - no row for qid 'b_1'"):
        main(["check-submission", str(found), "--queries", str(truth)])


def test_json_has_the_form_of_the_published_evaluator(capsys):
    folder = GOLDEN / "moments"
    arguments = [
        folder / "published_castella_val_preds.jsonl",
        "--truth",
        folder / "castella_val.jsonl",
    ]
    load_script("main").main(["score-moments", *map(str, arguments), "--json"])
    result = json.loads(capsys.readouterr().out)
    published = json.loads((folder / "published_castella_val_metrics.json").read_text())
    assert {key: result[key] for key in ("brief", "full")} == published
    assert (result["queries"], result["recordings"], result["notes"]) == (352, 178, [])
    assert result["intervals_95"]["R1@0.7"][0] < 16.19 < result["intervals_95"]["R1@0.7"][1]
