"""The report of moments: its numbers, its drawings, and that nothing in the data can break it."""

import re

import numpy as np
import pytest

from tests.runs.report.test_run_report import HOSTILE, Reader
from utils.datasets.moment_lists import MomentQuery
from utils.runs.moments import Answer, outline
from utils.runs.report.moment_findings import best_answers, by_length, judge, worst_answers
from utils.runs.report.moment_page import clock, moment_page

METRICS = ("R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP")


def answer(qid, windows, true=(), *, recording="a.flac", query="rain", duration=60.0):
    """An answer with windows of decreasing scores."""
    scores = np.linspace(0.9, 0.1, len(windows))[:, None]
    ranked = np.hstack([np.array(windows, float).reshape(-1, 2), scores])
    curve = np.sin(np.arange(120) / 9).astype(np.float32)
    asked = MomentQuery(qid, query, recording, duration, tuple(true))
    return Answer(asked, recording, duration, curve, curve**2, ranked)


def judged_of(*answers, fit=1.0):
    return judge(answers, {a.query.qid: np.array([[0, 1, fit]]) for a in answers})


def written(answers, judged, **changes):
    rows = {"found": judged.scores.means()} if judged else {}
    given = {"rows": rows, "how": "by likeness", "facts": {"model": "m"}, "note": None, "seed": 0}
    return moment_page("castella / test", answers, judged, **{**given, **changes})


RIGHT = answer("1", [[10, 12], [30, 31]], [(10, 12)])
SECOND = answer("2", [[30, 40], [1, 7]], [(1, 7)], recording="b.flac")
WRONG = answer("3", [[30, 31]], [(40, 55)])
CUT = answer("4", [[50, 60]], [(50, 61)], recording="b.flac")


def test_queries_are_grouped_by_the_length_of_their_moments():
    groups = by_length(judged_of(RIGHT, SECOND, WRONG, CUT, fit=0.6), seed=0)
    assert [(group.label, group.queries) for group in groups] == [
        ("< 3 s", 1),
        ("3–10 s", 1),
        ("> 10 s", 2),
        ("all", 4),
    ]
    short, middle, long, every = groups
    assert short.right[0.7] == [100, 100, 0]
    assert middle.right[0.5] == [0, 100, 100]
    assert long.scores["R1@0.5"] == long.right[0.5][0] == 50
    assert every.right[0.5] == [50, 75, 100]


@pytest.mark.parametrize(("length", "label"), [(2.9, "< 3 s"), (3, "3–10 s"), (10, "3–10 s")])
def test_moments_at_the_edge_of_a_group(length, label):
    one = answer("1", [[0, 1]], [(0, length)])
    assert by_length(judged_of(one), seed=0)[0].label == label


def test_queries_without_a_true_window_are_not_judged():
    assert judged_of(RIGHT, answer("2", [[0, 1]]), answer("3", [[0, 1]], [(5, 5)])).answers == [
        RIGHT
    ]


def test_the_worst_answers_are_wrong_and_from_all_recordings():
    again = answer("5", [[2, 4]], [(40, 55)])
    judged = judged_of(RIGHT, WRONG, SECOND, again, CUT)
    assert worst_answers(judged, count=2) == [WRONG, SECOND]
    assert worst_answers(judged, count=9) == [WRONG, SECOND, again]
    assert best_answers(judged, count=9) == [RIGHT, CUT]


def test_an_answer_without_windows_is_wrong():
    judged = judged_of(answer("1", [], [(1, 2)]))
    assert worst_answers(judged, count=1)
    assert "0 windows" in Reader(written(judged.answers, judged)).text


def test_the_page_says_what_was_found():
    answers = [RIGHT, SECOND, WRONG, CUT]
    judged = judged_of(*answers)
    rows = {"whole recording": dict.fromkeys(METRICS, 1.2), "found": judged.scores.means()}
    text = Reader(written(answers, judged, rows=rows, note="Synthetic.")).text
    text = " ".join(text.split())
    for part in (
        "4 queries about 2 recordings (0.0 hours), answered by likeness.",
        "Synthetic.",
        "whole recording 1.2 1.2",
        "found 50.0 50.0",
        "The first window of 2 of 4 queries is wrong",
        "true: 0:40.0–0:55.0",
        "first: 0:30.0–0:31.0, score 0.90, overlap 0.00",
        "Closest to the truth",
        "listed 2.: 0:01.0–0:07.0, score 0.10",
    ):
        assert part in text, part


def test_a_list_without_true_windows_has_answers_and_no_scores():
    answers = [answer(str(number), [[1, 2]]) for number in range(30)]
    page = written(answers, None)
    text = Reader(page).text
    assert "no true windows. So there are no scores and no worst answers" in text
    assert "mAP" not in text
    assert "overlap" not in text
    assert page.count("<article") == 10


def test_windows_are_drawn_where_they_are_and_never_too_thin():
    day = answer("1", [[43_200, 43_201]], [(86_390, 86_400)], duration=86_400.0)
    page = written([day], judged_of(day))
    assert '<rect x="500.0" y="84" width="4.0"' in page
    assert '<rect x="996.0" y="70" width="4.0"' in page
    assert "24:00:00" in page


def test_hours_are_drawn_with_few_points_that_keep_the_peaks():
    curve = np.zeros(20_001, np.float32)
    curve[[3, 20_000]] = 7
    few = outline(curve)
    assert len(few) == 400
    assert few[0] == few[-1] == 7
    assert few[1:-1].max() == 0
    assert outline(curve[:5]).tolist() == [0, 0, 0, 7, 0]


def test_times_are_as_a_player_shows_them():
    assert [clock(t) for t in (0, 9.96, 59.97, 3599.99)] == [
        "0:00.0",
        "0:10.0",
        "1:00.0",
        "1:00:00.0",
    ]


def test_hostile_texts_are_shown_and_never_run():
    answers = [
        answer(str(n), [[1, 2]], [(1, 3)], recording=f"{text}{n}", query=text)
        for n, text in enumerate(HOSTILE)
    ]
    texts = {"how": HOSTILE[0], "facts": {"model": HOSTILE[0]}, "note": HOSTILE[0]}
    page = written(answers, judged_of(*answers), **texts)
    seen = Reader(page)
    assert {"script", "img", "link", "iframe"}.isdisjoint(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", page)
    shown = HOSTILE[:4]  # those that are among the best four
    for text in shown:
        assert text in seen.text


def test_the_page_uses_the_colours_of_the_house():
    page = written([RIGHT, WRONG], judged_of(RIGHT, WRONG))
    for name in set(re.findall(r"var\(--([\w-]+)\)", page)):
        assert f"--{name}: #" in page
