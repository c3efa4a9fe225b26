"""Every reader of captions against the faults that such files have, and texts followed through."""

import csv
import json

import numpy as np
import pytest

from tests.support import load_script, options, settings_for
from utils.datasets import audiocaps, clotho, leakage, task6b
from utils.evaluation import relevance, result_tables
from utils.features.vector_file import read_vectors
from utils.runtime.errors import InputError

# For each reader: how to read, the header, a row with a caption, and the captions of what is read.
READERS = {
    "clotho": (
        clotho.read_captions_csv,
        "file_name,caption_1",
        lambda n, caption: f"{n}.wav,{caption}",
        lambda read: [caption for (caption,) in read.values()],
    ),
    "audiocaps": (
        audiocaps.read_captions_csv,
        "audiocap_id,youtube_id,start_time,caption",
        lambda n, caption: f"{n},abcdefghij{n},0,{caption}",
        lambda read: [caption for _, caption in read],
    ),
    "task6b": (task6b.read_queries_csv, "caption", lambda n, caption: caption, list),
    "task6b with tabs": (
        task6b.read_queries_csv,
        "file_name\tcaption_1",
        lambda n, caption: f"{n}.wav\t{caption}",
        list,
    ),
    "relevance": (
        lambda path: relevance.read_relevant_csv(path, ["1.wav", "2.wav"]),
        "query,audio_filenames",
        lambda n, caption: f"{caption},\"['{n}.wav']\"",
        lambda read: read.queries,
    ),
    "results": (
        result_tables.read_result_table,
        "caption,file_name_1",
        lambda n, caption: f"{caption},{n}.wav",
        lambda read: [cells[0] for _, cells in read],
    ),
    "metadata": (
        leakage.read_metadata_csv,
        "file_name,sound_id",
        lambda n, caption: f"{n}.wav,{caption}",
        lambda read: list(read.values()),
    ),
}
IN_UTF8 = [name for name in READERS if name != "metadata"]  # Clotho's metadata is in ISO-8859-1
DISTINCT = ["clotho", "audiocaps", "metadata"]
WITHOUT_EMPTY = [name for name in IN_UTF8 if name != "results"]


@pytest.fixture
def read(tmp_path):
    """Write a file for a reader and read it."""

    def write_and_read(name, content):
        path = tmp_path / "captions.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        reader, *_, captions = READERS[name]
        return captions(reader(path))

    return write_and_read


def table(name, *captions, end="\n"):
    _, header, row, _ = READERS[name]
    return end.join([header, *(row(n, text) for n, text in enumerate(captions, start=1)), ""])


def refused(read, name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read(name, content)
    assert "captions.csv" in str(caught.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_like_missing_values_are_texts(read, name, end):
    texts = ["NA", "None"], ["null", "nan"], ["N/A", "NULL"], ["-", "0"], [" edge ", "True"]
    for pair in texts:
        assert read(name, table(name, *pair, end=end)) == pair


@pytest.mark.parametrize("name", READERS)
def test_quotes_and_line_breaks_inside_are_kept(read, name):
    inside = ['say ""x"", y', "two\nlines", "two\r\nlines", "two\rlines", "a\tb", 'a""']
    for text in inside:
        wanted = [text.replace('""', '"'), "rain"]
        assert read(name, table(name, f'"{text}"', "rain")) == wanted


@pytest.mark.parametrize("name", IN_UTF8)
def test_a_byte_order_mark_is_dropped(read, name):
    assert read(name, "\ufeff" + table(name, "rain", "wind")) == ["rain", "wind"]


@pytest.mark.parametrize("name", IN_UTF8)
def test_latin_1_is_refused(read, name):
    refused(read, name, table(name, "a", "café").encode("latin-1"), "line 3: byte 0xe9 is not UTF")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused(read, name, encoding):
    refused(read, name, table(name, "a", "b").encode(encoding), "UTF-8")


@pytest.mark.parametrize("name", ["clotho", "audiocaps", "task6b", "task6b with tabs"])
def test_nul_is_refused_with_its_line(read, name):
    refused(read, name, table(name, "a", "b\0c"), r"line 3: .*'b\\x00c'")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("clotho", r"Clotho v2\.1 is at https://zenodo\.org/records/4783391"),
        ("audiocaps", "AudioCaps' CSVs are at https://github"),
        ("task6b", r"is at https://zenodo\.org/records/6590983"),
    ],
)
def test_a_missing_file_says_where_to_get_it(name, source, tmp_path):
    with pytest.raises(InputError, match=rf"no .*gone\.csv\. .*{source}"):
        READERS[name][0](tmp_path / "gone.csv")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(read, name, content):
    refused(read, name, content, r"is empty|line 1: the header is ")


@pytest.mark.parametrize("name", IN_UTF8)
def test_a_header_alone_is_refused(read, name):
    refused(read, name, table(name), "has a header and no ")


@pytest.mark.parametrize("name", ["clotho", "audiocaps", "relevance", "results", "metadata"])
@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_delimiter_is_named(read, name, mark):
    refused(read, name, table(name, "a", "b").replace(",", mark), r"look separated by .*commas")


@pytest.mark.parametrize("name", READERS)
def test_a_missing_column_is_refused(read, name):
    content = table(name, "a", "b").replace(READERS[name][1], "file_name", 1)
    refused(read, name, content, "line 1: the header is 'file_name', and must be ")


@pytest.mark.parametrize("name", DISTINCT)
def test_a_row_twice_is_refused(read, name):
    row = READERS[name][2](1, "a")
    refused(read, name, table(name, "a") + row, r"line 3: .*(already|on line 2)")


@pytest.mark.parametrize("name", WITHOUT_EMPTY)
@pytest.mark.parametrize("text", ["", "  ", '" "', '""'])
def test_an_empty_caption_is_refused(read, name, text):
    refused(read, name, table(name, text, "rain"), r"line 2: .*(empty|must be a text)")


@pytest.mark.parametrize("name", READERS)
def test_an_open_quote_and_a_row_too_long_are_refused(read, name):
    refused(read, name, table(name, "rain", '"open'), "line 3: .*not valid CSV")
    mark = "\t" if "tabs" in name else ","
    refused(read, name, table(name, "rain", f"a{mark}b"), r"line 3: .*columns")


ODD = ["NA", "None", "null", 'say "x", y', "two\nlines", "two\r\nlines", "two\rlines", " edge "]


@pytest.mark.slow
def test_texts_stay_verbatim_from_the_csv_to_the_results(own_demo):
    """CSV ─► captions JSON ─► vector file ─► result CSV."""
    path = own_demo / "clotho/clotho_captions_evaluation.csv"
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    for row, odd in zip(rows, [*ODD, "nan", "Rain"], strict=True):
        row[1] = odd
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    captions = [caption for _, *of_clip in rows for caption in of_clip]
    settings = options([*settings_for(own_demo), "training.epochs=1"])
    load_script("01_preprocess").main(settings)
    load_script("04_sentence_embeddings").main(settings)
    load_script("main").main(settings)

    table = json.loads((own_demo / "processed/evaluation_captions.json").read_text())
    assert list(table["original"].values()) == captions
    file = read_vectors(own_demo / "processed/sentence_embeddings_mpnet.hdf5")
    texts = dict(zip(file.ids, file.columns["texts"], strict=True))
    assert [texts[f"evaluation/{cid}"] for cid in table["cid"].values()] == captions
    assert np.isfinite(file.vectors).all()
    (results,) = own_demo.rglob("test.output.csv")
    with results.open(newline="", encoding="utf-8") as opened:
        assert [row[0] for row in csv.reader(opened)][1:] == captions
    assert [cells[0] for _, cells in result_tables.read_result_table(results)] == captions
