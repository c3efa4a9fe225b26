import csv
import json

import pytest

from tests.support import load_script, options, settings_for
from utils.datasets import splits
from utils.evaluation.relevance import read_relevant_csv
from utils.evaluation.result_tables import read_result_table
from utils.runtime.errors import InputError

NAMES = ["a.wav", "b, c.wav", "d.wav"]


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_lists_are_read_as_python_literals(tmp_path):
    rows = [["query", "audio_filenames"], ["rain", "['a.wav', \"b, c.wav\"]"], ["NA", "['d.wav']"]]
    relevant = read_relevant_csv(write(tmp_path / "r.csv", rows), NAMES)
    assert relevant == {"rain": {"a.wav", "b, c.wav"}, "NA": {"d.wav"}}


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


def test_what_occurs_twice_is_refused(tmp_path):
    twice = [["query", "audio_filenames"], *[["rain", "['a.wav']"]] * 2]
    with pytest.raises(InputError, match="line 3: the query 'rain' is already on line 2"):
        read_relevant_csv(write(tmp_path / "r.csv", twice), NAMES)
    table = [["caption", "file_name_1", "file_name_2"], ["rain", "a.wav", "a.wav"]]
    with pytest.raises(InputError, match="line 2: a file name occurs more than once"):
        read_result_table(write(tmp_path / "r.csv", table))


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

    # The user's own queries, with several relevant clips.
    split = splits.load_captions(small_demo / "processed", "evaluation")
    first = [split.captions[list(split.clip_of_caption).index(clip)] for clip in (0, 1)]
    rows = [["query", "audio_filenames"], *([q, str(split.clip_names)] for q in first)]
    relevant = write(tmp_path / "relevant.csv", rows)
    arguments = ["evaluate", "--checkpoint", str(trained), "--relevant", str(relevant)]
    main([*arguments, "--divide-ap-by", "all"])
    out = capsys.readouterr().out
    # All ten clips are relevant: in any order, the first result is a tenth of them.
    assert scores_in(out) == [0.1, 0.5, 1.0, 1.0]
    assert "AP@10 is divided by the number of relevant clips" in out
    rows = [["query", "audio_filenames"], [first[0], str([split.clip_names[0]])]]
    write(relevant, rows)
    main(arguments)
    with (run / "test.output.csv").open(newline="", encoding="utf-8") as file:
        found = next(row for row in csv.reader(file) if row[0] == first[0])
    rank = found.index(split.clip_names[0])
    assert scores_in(capsys.readouterr().out)[-1] == round(1 / rank, 3)
