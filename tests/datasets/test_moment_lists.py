import json

import pytest

from utils.datasets.moment_lists import (
    MomentQuery,
    read_moment_list,
    read_with_notes,
    write_moment_list,
)
from utils.runtime.errors import InputError

ROW = {"qid": "a_1", "query": "A dog", "duration": 60, "vid": "a", "relevant_windows": [[1, 2]]}


def lines(path, *rows):
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.jsonl"


def test_windows_keep_their_seconds_and_order_and_are_cut_for_training(path):
    windows = [[50, 62], [3, 9.5], [60, 61], [61, 62], [299, 4800], [7, 7]]
    queries, notes = read_with_notes(lines(path, {**ROW, "relevant_windows": windows}))
    assert queries[0].windows == tuple(map(tuple, windows))
    assert queries[0].windows_within == ((3, 9.5), (50, 60))
    assert notes == [
        "1 window reaching beyond the end of the recording; cut there for training",
        "3 windows wholly beyond the end of the recording; left out of training",
        "1 window without a length; left out of training",
    ]


def test_a_window_that_ends_far_beyond_its_recording_is_cut_at_its_end(path):
    row = {**ROW, "duration": 300, "relevant_windows": [[299, 4800]]}
    (query,) = read_moment_list(lines(path, row))
    assert query.windows_within == ((299, 300),)


def test_a_query_whose_windows_are_all_outside_is_counted(path):
    queries, notes = read_with_notes(lines(path, {**ROW, "relevant_windows": [[60, 61]]}))
    assert queries[0].windows_within == ()
    assert "1 query has no window in its recording; left out of training" in notes


def test_qids_may_be_numbers_windows_may_be_missing_and_texts_may_repeat(path):
    rows = [
        {**ROW, "qid": 7, "fg_dB": -2.1, "relevant_windows": [[41.1, 48.1]]},
        {**ROW, "qid": "8"},
        {key: ROW[key] for key in ("qid", "query", "duration", "vid")},
    ]
    queries, notes = read_with_notes(lines(path, rows[0], "", *rows[1:]))
    assert [query.qid for query in queries] == ["7", "8", "a_1"]
    assert [query.windows for query in queries] == [((41.1, 48.1),), ((1, 2),), ()]
    assert {query.query for query in queries} == {"A dog"}
    assert notes == []


def test_line_separators_inside_a_text_and_a_byte_order_mark_are_read(path):
    row = json.dumps({**ROW, "query": "a\u2028b"}, ensure_ascii=False)
    path.write_bytes(f"\ufeff{row}\r\n".encode())
    assert read_moment_list(path)[0].query == "a\u2028b"


def test_recordings_with_moments_give_a_query_each_moment(tmp_path):
    moments = [
        {"local_caption": "A dog", "timestamps": [[7, 9], [1, 2]]},
        {"local_caption": "A bell", "timestamps": [[30, 31]]},
    ]
    recordings = [
        {"yid": "-a", "global_caption": "", "duration": 60, "num_moments": 3, "moments": moments},
        {"yid": "b", "global_caption": "", "duration": 70, "num_moments": 0, "moments": []},
        {"yid": "c", "global_caption": "", "duration": 80, "num_moments": 1, "moments": []},
    ]
    path = tmp_path / "test.json"
    path.write_text(json.dumps(recordings))
    queries, notes = read_with_notes(path)
    as_lines = [
        {"qid": "-a_1", "query": "A dog", "vid": "-a", "relevant_windows": [[7, 9], [1, 2]]},
        {"qid": "-a_2", "query": "A bell", "vid": "-a", "relevant_windows": [[30, 31]]},
    ]
    assert queries == read_moment_list(
        lines(tmp_path / "l.jsonl", *({**row, "duration": 60} for row in as_lines))
    )
    assert notes == [
        "num_moments is not the number of moments in 2 recordings; the moments count",
        "2 recordings without moments; no query asks about them",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"qid": None}, "qid is None, and must be a text or a whole number"),
        ({"qid": True}, "qid is True"),
        ({"query": " "}, "query is ' ', and must be a text"),
        ({"query": "\ud800"}, "query is "),
        ({"vid": "../a"}, "vid is '../a', and must be the name of a recording"),
        ({"duration": 0}, "duration is 0, and must be seconds above 0"),
        ({"duration": "60"}, "duration is '60'"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"duration": 10**400}, "duration is a whole number of"),
        ({"relevant_windows": None}, r"relevant_windows is None, and must be a list"),
        ({"relevant_windows": [[5, 4]]}, "window [5, 4] must be [start, end] in seconds"),
        ({"relevant_windows": [[-1, 4]]}, "window [-1, 4] must be"),
        ({"relevant_windows": [[1, 4, 0.5]]}, "window [1, 4, 0.5] must be"),
        ({"relevant_windows": [[1, "4"]]}, "window [1, '4'] must be"),
        ({"relevant_windows": [3]}, "window 3 must be"),
    ],
)
def test_a_wrong_value_is_named_by_line(path, change, problem):
    with pytest.raises(InputError) as caught:
        read_moment_list(lines(path, ROW, {**ROW, "qid": "b", **change}))
    assert f"\n  - line 2: {problem}" in str(caught.value)


def test_all_problems_are_one_error(path):
    rows = [{**ROW, "qid": f"x{i}", "vid": ""} for i in range(11)]
    with pytest.raises(InputError) as caught:
        read_moment_list(lines(path, "{", "[" * 100_000, "3", ROW, ROW, *rows))
    message = str(caught.value)
    assert message.startswith(f"15 problems in {path}:\n  - line 1: not valid JSON (")
    assert (
        "  - line 3: 3 is not a JSON object\n  - line 5: qid 'a_1' is already that of line 4"
        in (message)
    )
    assert "  ... and 5 more\nFix the list" in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no queries"),
        ("[]", "has no queries"),
        ("[1]", "recording 1: 1 has no list of moments"),
        ('[{"yid": "a"}]', "recording 1: .* has no list of moments"),
        ('[{"yid": "a", "duration": 6, "moments": [{}]}]', "recording 1, moment 1: query is None"),
        ("[", "is not valid JSON"),
    ],
)
def test_other_files_are_refused(path, text, problem):
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_moment_list(path)


def test_a_written_list_reads_the_same_and_has_whole_seconds_as_published(path):
    queries = [
        MomentQuery("a_1", "Ein Hund böllt", "a", 60.0, ((50.0, 62.0), (3.5, 9.0))),
        MomentQuery("a_2", "rain", "a", 59.75),
    ]
    write_moment_list(path, queries)
    assert read_moment_list(path) == queries
    assert '"duration": 60, "vid": "a", "relevant_windows": [[50, 62], [3.5, 9]]}' in (
        path.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("name", "counts", "beyond", "outside"),
    [
        ("castella_train", (2182, 876, 6157), 162, 11),
        ("castella_val", (352, 178, 973), 12, 1),
        ("castella_test", (1347, 566, 4175), 99, 4),
        ("clotho_moment_val", (4918, 4107, 4918), 0, 0),
        ("clotho_moment_test", (6649, 5472, 6649), 0, 0),
        ("dcase2026_evaluation", (177, 100, 0), 0, 0),
    ],
)
def test_the_published_lists(shared_data, name, counts, beyond, outside):
    queries, notes = read_with_notes(shared_data / f"moments/{name}.jsonl")
    windows = sum(len(query.windows) for query in queries)
    assert (len(queries), len({query.vid for query in queries}), windows) == counts
    later = [q for q in queries for _, end in q.windows if end > q.duration]
    assert len(later) == beyond
    kept = sum(len(query.windows_within) for query in queries)
    assert windows - kept == outside
    assert bool(notes) == bool(beyond)
