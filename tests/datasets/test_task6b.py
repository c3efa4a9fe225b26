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

ODD = ["NA", ' "Rain", they say', "None of it.", "a tin, a roof", "Rain"]


def write(path, text):
    path.write_bytes(text.encode())
    return path


def as_csv(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("header", ["captions", "file_name,caption_1,caption_2"])
def test_other_headers_are_refused(tmp_path, header):
    with pytest.raises(InputError, match=f"line 1: the header is '{header}'"):
        task6b.read_queries_csv(write(tmp_path / "q.csv", f"{header}\na,b,c"))


def test_missing_wavs_say_where_to_get_them(tmp_path):
    queries = write(tmp_path / "q.csv", "caption\nrain\n")
    with pytest.raises(InputError, match=r"no wavs in .*6590983"):
        task6b.preprocess_task6b(tmp_path / "gone", queries)


def settings_of(folder):
    return [
        f"eval_data.audio_path={folder / 'test'}",
        f"eval_data.captions_file={folder / 'q.csv'}",
        f"eval_data.input_path={folder / 'processed'}",
    ]


@pytest.fixture
def folder(tmp_path):
    """Three clips and five queries, preprocessed in `processed`."""
    (tmp_path / "test").mkdir()
    for name in ("b.wav", " a &amp;.wav", "c .wav"):
        soundfile.write(tmp_path / "test" / name, np.zeros(800), 8000)
    write(tmp_path / "q.csv", as_csv([["caption"], *([c] for c in ODD)]))
    load_script("02_preprocess_evaluation_set_task6b").main(options(settings_of(tmp_path)))
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
        (lambda t, i: t["cid"].update({"0": True}), "is not a table of queries"),
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


def test_what_is_wrong_with_a_submission_is_said_by_line(tmp_path):
    names = ["b.wav", " a &amp;.wav", "c .wav"]
    rows = [[c, *names] for c in ODD]

    def check(rows):
        header = ["caption", "file_name_1", "file_name_2", "file_name_3"]
        path = write(tmp_path / "s.csv", as_csv([header, *rows]))
        return result_tables.check_submission(path, ODD, names)

    assert check(rows) == []
    assert check(rows[:4]) == ["4 rows for 5 queries"]
    rows[0][1] = "z.wav"
    rows[1][2] = "b.wav"
    rows[2][0] = "None of it"
    rows[3] = rows[3][:3]
    assert check(rows) == [
        "line 2: 'z.wav' is not one of the 3 files",
        "line 3: 'b.wav' occurs more than once",
        "line 4: the caption is 'None of it', the query 'None of it.'",
        "line 5: 3 columns, not 4",
    ]
    path = write(tmp_path / "h.csv", "caption,file_name_1\nRain,b.wav\n")
    (problem,) = result_tables.check_submission(path, ODD, ["b.wav"] * 12)
    assert problem.startswith("line 1: the header is 'caption,file_name_1'")


def test_the_whole_path_to_a_submission(small_demo, trained, tmp_path, capsys):
    """The clips of a demo split as the official subset: the trained model ranks them rightly."""
    with (small_demo / "clotho/clotho_captions_evaluation.csv").open(newline="") as file:
        clips = list(csv.reader(file))[1:]
    queries = [row[1] for row in clips]
    order = np.random.default_rng(0).permutation(len(queries))
    write(tmp_path / "q.csv", as_csv([["caption"], *([queries[i]] for i in order)]))
    shutil.copytree(small_demo / "clotho/evaluation", tmp_path / "test")
    settings = options([*settings_for(small_demo), *settings_of(tmp_path)])
    main = load_script("main").main
    out = tmp_path / "out"
    arguments = ["submit", "--checkpoint", str(trained), "--output", str(out), *settings]
    with pytest.raises(InputError, match=r"03_audio_features\.py --subset task6b"):
        main(arguments)
    load_script("02_preprocess_evaluation_set_task6b").main(settings)
    load_script("03_audio_features").main([*settings, "--subset", "task6b"])
    load_script("05_sentence_embeddings_evaluation_set_task6b").main(settings)
    main(arguments)
    submission = out / "task6b.output.csv"
    main(["check-submission", str(submission), *settings])
    assert "is a valid submission of 10 queries" in capsys.readouterr().out

    with submission.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["caption", *(f"file_name_{i}" for i in range(1, 11))]
    assert [row[0] for row in rows] == [queries[i] for i in order]
    own = [clips[i][0] for i in order]
    first = [row[1] == name for row, name in zip(rows, own, strict=True)]
    assert np.mean(first) >= 0.5  # by chance 0.1
    with h5py.File(out / "task6b.scores.hdf5") as file:
        scores = file["scores"][:]
        names = list(file["file_names"].asstr()[:])
        assert list(file["queries"].asstr()[:]) == [queries[i] for i in order]
    assert scores.shape == (10, 10)
    for row, of_row in zip(rows, scores, strict=True):
        assert row[1:] == [names[c] for c in sorted(range(10), key=lambda c: -of_row[c])]

    submission.write_text("caption\n")
    with pytest.raises(InputError, match=r"1 problem in .*\n  - line 1: the header"):
        main(["check-submission", str(submission), *settings])
