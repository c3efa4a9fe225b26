import csv
import io
import json
import pickle
import shutil

import h5py
import numpy as np
import pytest
import soundfile

from tests.support import load_script, options, settings_for
from utils.datasets import task6b
from utils.evaluation import result_tables
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

ODD = ["NA", ' "Rain", they say', "None of it.", "a tin, a roof", "Rain"]


def write(path, text):
    path.write_bytes(text.encode())
    return path


def as_csv(rows, *, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def test_the_official_form_is_read_verbatim(tmp_path):
    path = write(tmp_path / "q.csv", as_csv([["caption"], *([c] for c in ODD)]))
    assert task6b.read_queries_csv(path) == ODD


def test_the_form_with_tabs_is_read_and_its_file_names_are_not(tmp_path):
    rows = [["file_name", "caption_1"], *([f"{i}.wav", c] for i, c in enumerate(ODD))]
    path = write(tmp_path / "q.csv", as_csv(rows, delimiter="\t"))
    assert task6b.read_queries_csv(path) == ODD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("captions\nrain", "line 1: the header is 'captions'"),
        ("file_name,caption_1,caption_2\na,b,c", "line 1: the header"),
        ("caption\nrain\n\nwind\n", "line 3: the caption is empty"),
    ],
)
def test_other_forms_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        task6b.read_queries_csv(write(tmp_path / "q.csv", text))
    assert message in str(caught.value)


def test_missing_files_say_where_to_get_them(tmp_path):
    with pytest.raises(InputError, match=r"zenodo\.org/records/6590983"):
        task6b.read_queries_csv(tmp_path / "gone.csv")
    queries = write(tmp_path / "q.csv", "caption\nrain\n")
    with pytest.raises(InputError, match=r"no wavs in .*6590983"):
        task6b.preprocess_task6b(tmp_path / "gone", queries)


@pytest.fixture
def folder(tmp_path):
    """Three clips and five queries, preprocessed in `processed`."""
    (tmp_path / "test").mkdir()
    for name in ("b.wav", " a &amp;.wav", "c .wav"):
        soundfile.write(tmp_path / "test" / name, np.zeros(800), 8000)
    write(tmp_path / "q.csv", as_csv([["caption"], *([c] for c in ODD)]))
    settings = [
        f"eval_data.audio_path={tmp_path / 'test'}",
        f"eval_data.captions_file={tmp_path / 'q.csv'}",
        f"eval_data.input_path={tmp_path / 'processed'}",
    ]
    load_script("02_preprocess_evaluation_set_task6b").main(options(settings))
    return tmp_path


def test_clips_and_queries_are_numbered_separately(folder):
    loaded = task6b.load_queries(folder / "processed")
    assert loaded.captions == ODD
    assert loaded.cids.tolist() == [1, 2, 3, 4, 5]
    assert loaded.clip_names == [" a &amp;.wav", "b.wav", "c .wav"]
    assert loaded.clip_fids.tolist() == [1, 2, 3]
    assert not hasattr(loaded, "clip_of_caption")
    table = json.loads((folder / "processed/test_captions.json").read_text())
    assert set(table) == {"cid", "original", "caption", "tokens"}  # no clip beside a caption


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, i: t.clear(), r"test_captions\.json is not a table of queries"),
        (lambda t, i: t["cid"].update({"0": 2}), "is not a table of queries"),
        (
            lambda t, i: t["cid"].update({"0": True}),
            "is not a table of queries",
        ),
        (lambda t, i: t["cid"].pop("0"), "is not a table of queries"),
        (lambda t, i: t["original"].update({"0": None}), "is not a table of queries"),
        (lambda t, i: t["original"].update({"0": "a\0"}), "is not a table of queries"),
        (lambda t, i: i.clear(), r"audio_info\.json is not a list of clips"),
        (lambda t, i: i["audio_fids"].update(test=[]), r"audio_info\.json is not a list of clips"),
        (lambda t, i: i["audio_fids"]["test"].update({"x.wav": 10**30}), "is not a list of clips"),
        (lambda t, i: i["audio_fids"]["test"].update({"x.wav": 1}), "is not a list of clips"),
        (lambda t, i: i["audio_fids"]["test"].update({"../../x.wav": 9}), "is not a list of clips"),
    ],
)
def test_other_tables_are_refused(folder, change, message):
    captions, info = folder / "processed/test_captions.json", folder / "processed/audio_info.json"
    table, clips = json.loads(captions.read_text()), json.loads(info.read_text())
    change(table, clips)
    captions.write_text(json.dumps(table))
    info.write_text(json.dumps(clips))
    with pytest.raises(InputError, match=message):
        task6b.load_queries(folder / "processed")


def test_folders_of_earlier_versions_have_the_clips_in_a_pickle_alone(folder):
    pickled, as_json = (folder / f"processed/audio_info.{kind}" for kind in ("pkl", "json"))
    assert pickle.loads(pickled.read_bytes()) == json.loads(as_json.read_text())
    expected = task6b.load_queries(folder / "processed")
    as_json.unlink()
    loaded = task6b.load_queries(folder / "processed")
    assert loaded.clip_names == expected.clip_names
    assert loaded.clip_fids.tolist() == expected.clip_fids.tolist()
    pickled.write_bytes(pickle.dumps({"audio_fids": {"test": {5: 9}}}))
    with pytest.raises(InputError, match=r"audio_info\.pkl is not a list of clips"):
        task6b.load_queries(folder / "processed")
    pickled.unlink()
    with pytest.raises(InputError, match=r"no .*audio_info\.pkl\. Run scripts/02_preproc"):
        task6b.load_queries(folder / "processed")


def test_a_broken_clip_is_left_out_by_reason(folder):
    (folder / "test/A.wav").write_bytes(b"no sound")
    contents, failed = task6b.preprocess_task6b(folder / "test", folder / "q.csv")
    assert failed.keys() == {"test/A.wav"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    queries = task6b.load_queries(folder)
    assert "A.wav" not in queries.clip_names
    assert len(queries.clip_sources) == len(queries.clip_names) > 0
    for path in (folder / "test").iterdir():
        path.write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"none of the \d sound files .* can be used:\n  - test/"):
        task6b.preprocess_task6b(folder / "test", folder / "q.csv")


def submission(path, rows):
    names = ["caption", "file_name_1", "file_name_2", "file_name_3"]
    return write(path, as_csv([names, *rows]))


def good_rows():
    return [[c, "b.wav", " a &amp;.wav", "c .wav"] for c in ODD]


def check(tmp_path, rows):
    path = submission(tmp_path / "s.csv", rows)
    return result_tables.check_submission(path, ODD, ["b.wav", " a &amp;.wav", "c .wav"])


def test_a_valid_submission_has_no_problems(tmp_path):
    assert check(tmp_path, good_rows()) == []


def test_what_is_wrong_with_a_submission_is_said_by_line(tmp_path):
    rows = good_rows()
    rows[0][1] = "z.wav"
    rows[1][2] = "b.wav"
    rows[2][0] = "None of it"
    rows[3] = rows[3][:3]
    assert check(tmp_path, rows) == [
        "line 2: 'z.wav' is not one of the 3 files",
        "line 3: 'b.wav' occurs more than once",
        "line 4: the caption is 'None of it', the query 'None of it.'",
        "line 5: 3 columns, not 4",
    ]
    assert check(tmp_path, good_rows()[:4]) == ["4 rows for 5 queries"]
    path = write(tmp_path / "h.csv", "caption,file_name_1\nRain,b.wav\n")
    (problem,) = result_tables.check_submission(path, ODD, ["b.wav"] * 12)
    assert problem.startswith("line 1: the header is 'caption,file_name_1'")


def test_the_whole_path_to_a_submission(small_demo, tmp_path, capsys):
    """The clips of a demo split as the official subset: the trained model ranks them rightly."""
    with (small_demo / "clotho/clotho_captions_evaluation.csv").open(newline="") as file:
        clips = list(csv.reader(file))[1:]
    queries = [row[1] for row in clips]
    order = np.random.default_rng(0).permutation(len(queries))
    write(tmp_path / "q.csv", as_csv([["caption"], *([queries[i]] for i in order)]))
    shutil.copytree(small_demo / "clotho/evaluation", tmp_path / "test")
    settings = [
        *settings_for(small_demo, outputs=tmp_path / "outputs"),
        f"eval_data.audio_path={tmp_path / 'test'}",
        f"eval_data.captions_file={tmp_path / 'q.csv'}",
        f"eval_data.input_path={tmp_path / 'processed'}",
    ]
    main = load_script("main").main
    main(options(settings))
    (run,) = (tmp_path / "outputs/demo").iterdir()
    arguments = ["submit", "--checkpoint", str(run / "checkpoint_best.safetensors")]
    with pytest.raises(InputError, match=r"03_audio_features\.py --subset task6b"):
        main(arguments)
    load_script("02_preprocess_evaluation_set_task6b").main(options(settings))
    load_script("03_audio_features").main([*options(settings), "--subset", "task6b"])
    load_script("05_sentence_embeddings_evaluation_set_task6b").main(options(settings))
    main(arguments)
    main(["check-submission", str(run / "task6b.output.csv"), *options(settings)])
    assert "is a valid submission of 10 queries" in capsys.readouterr().out

    with (run / "task6b.output.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["caption", *(f"file_name_{i}" for i in range(1, 11))]
    assert [row[0] for row in rows] == [queries[i] for i in order]
    own = [clips[i][0] for i in order]
    first = [row[1] == name for row, name in zip(rows, own, strict=True)]
    assert np.mean(first) >= 0.5  # by chance 0.1
    with h5py.File(run / "task6b.scores.hdf5") as file:
        scores = file["scores"][:]
        names = list(file["file_names"].asstr()[:])
        assert list(file["queries"].asstr()[:]) == [queries[i] for i in order]
    assert scores.shape == (10, 10)
    for row, of_row in zip(rows, scores, strict=True):
        assert row[1:] == [names[c] for c in sorted(range(10), key=lambda c: -of_row[c])]
    assert load_config(run / "conf.yaml").eval_data.input_path == tmp_path / "processed"

    (run / "task6b.output.csv").write_text("caption\n")
    with pytest.raises(InputError, match=r"1 problem in .*\n  - line 1: the header"):
        main(["check-submission", str(run / "task6b.output.csv"), *options(settings)])
