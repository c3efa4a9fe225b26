import csv
import json

import pytest

from tests.support import FILES, load_script, options, settings_for
from utils.datasets import splits
from utils.evaluation.relevance import Relevance, read_relevant_csv
from utils.runtime.errors import InputError

NAMES = ["a.wav", "b, c.wav", "d.wav"]


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_lists_are_read_as_python_literals(tmp_path):
    rows = [["query", "audio_filenames"], ["rain", "['a.wav', \"b, c.wav\"]"], ["NA", "['d.wav']"]]
    relevant = read_relevant_csv(write(tmp_path / "r.csv", rows), NAMES)
    assert relevant == Relevance(["rain", "NA"], [{"a.wav", "b, c.wav"}, {"d.wav"}])


def test_rows_of_the_same_text_are_queries_of_their_own(tmp_path):
    rows = [["query", "audio_filenames"], ["rain", "['a.wav']"], ["rain", "['d.wav']"]]
    relevant = read_relevant_csv(write(tmp_path / "r.csv", rows), NAMES)
    assert relevant == Relevance(["rain", "rain"], [{"a.wav"}, {"d.wav"}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["rain", "__import__('os').system('true')"], "line 2: .* is not a list of file names"),
        (["rain", "[]"], "is not a list of file names"),
        (["rain", "a.wav"], "is not a list of file names"),
        (["rain", "[1]"], "is not a list of file names"),
        (["rain", "[" * 500], "is not a list of file names"),
        (["rain", "['x.wav']"], "'x.wav' is not one of the 3 clips"),
        ([" ", "['a.wav']"], "the query is empty"),
        (["rain"], "1 columns, not 2"),
    ],
)
def test_bad_rows_are_refused(tmp_path, row, message):
    path = write(tmp_path / "r.csv", [["query", "audio_filenames"], row])
    with pytest.raises(InputError, match=message):
        read_relevant_csv(path, NAMES)


def test_grades_are_read_one_clip_per_row(tmp_path):
    rows = [
        ["query", "audio_filename", "grade"],
        ["rain", "a.wav", "2"],
        ["wind", "d.wav", "0.5"],
        ["rain", "b, c.wav", "1"],
        ["rain", "d.wav", "0"],
    ]
    relevant = read_relevant_csv(write(tmp_path / "r.csv", rows), NAMES)
    grades = [{"a.wav": 2.0, "b, c.wav": 1.0}, {"d.wav": 0.5}]
    assert relevant == Relevance(["rain", "wind"], list(map(set, grades)), grades)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["rain", "x.wav", "1"], "line 2: 'x.wav' is not one of the 3 clips"),
        (["rain", "a.wav", "nan"], "line 2: 'nan' is not a grade"),
        (["rain", "a.wav", "-1"], "line 2: '-1' is not a grade"),
        (["rain", "a.wav", "0"], "'rain' has no relevant clip"),
        (["rain", "a.wav"], "line 2: 2 columns, not 3"),
    ],
)
def test_bad_grades_are_refused(tmp_path, row, message):
    path = write(tmp_path / "r.csv", [["query", "audio_filename", "grade"], row])
    with pytest.raises(InputError, match=message):
        read_relevant_csv(path, NAMES)


def scores_in(text):
    line = next(line for line in text.splitlines() if line.startswith("scores "))
    return [float(cell) for cell in line.split()[1:]]


def test_a_runs_own_results_are_scored_as_the_run_scored_them(
    small_demo, trained, tmp_path, capsys
):
    settings = options(settings_for(small_demo, outputs=tmp_path))
    main = load_script("main").main
    run = trained.parent
    wanted = json.loads((run / "metrics.json").read_text())["scores"]
    capsys.readouterr()
    main(["score", str(run / "test.output.csv"), *settings])
    out = capsys.readouterr().out
    assert scores_in(out) == [round(value, 3) for value in wanted.values()]
    assert "AP@10 is divided by min(number of relevant clips, 10)" in out

    # A row is missing, and another is there twice.
    with (run / "test.output.csv").open(newline="", encoding="utf-8") as file:
        header, *table = csv.reader(file)
    fewer = write(tmp_path / "fewer.csv", [header, *table[1:]])
    with pytest.raises(InputError, match=r"(?s)1 problem in .*no row for .* --partial counts"):
        main(["score", str(fewer), *settings])
    main(["score", str(fewer), "--partial", *settings])
    out = capsys.readouterr().out
    with (run / "test.ranks.csv").open(newline="") as file:
        ranks = [int(row["rank"]) for row in csv.DictReader(file)]
    assert scores_in(out)[-1] == round(sum(1 / rank for rank in ranks[1:]) / len(ranks), 3)
    assert f"counts 1 of {len(ranks)} queries, which have no row, as not found" in out
    twice = write(tmp_path / "twice.csv", [header, *table, table[0]])
    with pytest.raises(InputError, match=rf"line {len(table) + 2}: .* is already on line 2"):
        main(["score", str(twice), "--partial", *settings])


def test_the_users_own_queries_need_no_vectors_of_captions(own_demo, trained, tmp_path, capsys):
    (own_demo / "processed" / FILES["caption_embeddings"]).unlink()
    settings = [*settings_for(own_demo), "training.device=cpu"]
    sets = [part for setting in settings for part in ("--set", setting)]
    split = splits.load_captions(own_demo / "processed", "evaluation")
    first = [split.captions[list(split.clip_of_caption).index(clip)] for clip in (0, 1)]
    rows = [["query", "audio_filenames"], *([q, str(split.clip_names)] for q in first)]
    relevant = write(tmp_path / "relevant.csv", rows)
    main = load_script("main").main
    arguments = ["evaluate", "--checkpoint", str(trained), "--relevant", str(relevant), *sets]
    main([*arguments, "--divide-ap-by", "all"])
    out = capsys.readouterr().out
    # All ten clips are relevant: in any order, the first result is a tenth of them.
    assert scores_in(out) == [0.1, 0.5, 1.0, 1.0]
    assert "AP@10 is divided by the number of relevant clips" in out
    # Graded, and deeper: there are ten clips, so that all of them are found.
    grades = [["query", "audio_filename", "grade"]]
    grades += [[first[0], name, "1"] for name in split.clip_names]
    main([*arguments[:4], str(write(tmp_path / "grades.csv", grades)), *sets, "--cutoff", "16"])
    out = capsys.readouterr().out
    assert scores_in(out) == [0.1, 0.5, 1.0, 1.0, 1.0]
    assert "mAP@16" in out
    assert "nDCG@16" in out
    # The same text twice, each time with a clip of its own.
    write(relevant, [rows[0], *([first[0], str([name])] for name in split.clip_names[:2])])
    main(arguments)
    with (trained.parent / "test.output.csv").open(newline="", encoding="utf-8") as file:
        found = next(row for row in csv.reader(file) if row[0] == first[0])
    ranks = [found.index(name) for name in split.clip_names[:2]]
    wanted = round(sum(1 / rank for rank in ranks) / 2, 3)
    assert scores_in(capsys.readouterr().out)[-1] == pytest.approx(wanted, abs=0.001)
