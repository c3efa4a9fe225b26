import pytest

from utils.evaluation.result_tables import read_result_table, results_for
from utils.runtime.errors import InputError

NAMES = ["a.wav", "b.wav"]
HEADER = "caption,file_name_1,file_name_2"


def read(tmp_path, queries, *rows, header=HEADER, **options):
    path = tmp_path / "results.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return results_for(queries, read_result_table(path), NAMES, path=path, **options)


def test_rows_in_any_order_become_those_of_the_queries(tmp_path):
    found = read(tmp_path, ["rain", "a dog"], "a dog,b.wav,a.wav", "rain,a.wav,b.wav")
    assert found == [["a.wav", "b.wav"], ["b.wav", "a.wav"]]


def test_of_queries_with_the_same_text_the_first_gets_the_first_row(tmp_path):
    rows = ["rain,a.wav,b.wav", "a dog,b.wav,a.wav", "rain,b.wav,a.wav"]
    found = read(tmp_path, ["rain", "rain", "a dog"], *rows)
    assert found == [["a.wav", "b.wav"], ["b.wav", "a.wav"], ["b.wav", "a.wav"]]


def test_missing_repeated_and_foreign_rows_and_clips_are_one_error(tmp_path):
    rows = ["rain,a.wav,b.wav", "rain,b.wav,a.wav", "a cat,a.wav,c.wav"]
    with pytest.raises(InputError) as caught:
        read(tmp_path, ["rain", "a dog", "a bell"], *rows)
    assert str(caught.value).splitlines() == [
        f"5 problems in {tmp_path}/results.csv:",
        "  - line 3: 'rain' is already on line 2",
        "  - line 4: 'c.wav' is not one of the 2 clips",
        "  - line 4: 'a cat' is not one of the 3 queries",
        "  - no row for 'a dog'",
        "  - no row for 'a bell'",
        "Every one of the 3 queries needs one row. 2 have none; --partial counts them as not "
        "found.",
    ]


def test_a_partial_table_lacks_queries_and_results_and_nothing_else(tmp_path):
    short = {"header": "caption,file_name_1"}
    with pytest.raises(InputError, match=r"has 1 result per query, and the scores need 2\. .*ial"):
        read(tmp_path, ["rain"], "rain,a.wav", **short)
    assert read(tmp_path, ["a dog", "rain"], "rain,a.wav", partial=True, **short) == [[], ["a.wav"]]
    with pytest.raises(InputError, match="line 3: 'rain' is already on line 2"):
        read(tmp_path, ["rain"], *["rain,a.wav,b.wav"] * 2, partial=True)


def test_a_clip_twice_for_a_query_is_refused(tmp_path):
    with pytest.raises(InputError, match="line 2: a file name occurs more than once"):
        read(tmp_path, ["rain"], "rain,a.wav,a.wav")
