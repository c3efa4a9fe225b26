import json

import numpy as np
import pandas as pd
import pytest

from utils.datasets import splits
from utils.datasets.corpus import CLOTHO, corpus
from utils.demo.scenes import write_demo_set
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

COLUMNS = ["cid", "fid", "fname", "original", "caption", "tokens"]


def write_split(folder, rows):
    """Write captions as the original system does: a pandas table, to_json."""
    data = [(*row, row[3].strip("."), row[3].lower().split()) for row in rows]
    path = folder / "development_captions.json"
    pd.DataFrame(data=data, columns=COLUMNS).to_json(path)
    return path


ROWS = [
    (1, 7, "b.wav", "Rain."),
    (2, 7, "b.wav", ' wind / "storm" '),
    (3, 2, " a, b &amp; c.wav", "Rain."),
    (4, 9, "2012-01-01.wav", "2012"),
    (5, 2, " a, b &amp; c.wav", "NA"),
]


def test_load_captions_of_the_original_layout(tmp_path):
    write_split(tmp_path, ROWS)
    split = splits.load_captions(tmp_path, "development")
    assert split.cids.tolist() == [1, 2, 3, 4, 5]
    assert split.captions == ["Rain.", ' wind / "storm" ', "Rain.", "2012", "NA"]
    assert split.clip_fids.tolist() == [2, 7, 9]
    assert split.clip_names == [" a, b &amp; c.wav", "b.wav", "2012-01-01.wav"]
    assert split.clip_of_caption.tolist() == [1, 1, 0, 2, 0]
    assert split.clip_of_caption.dtype.kind == split.cids.dtype.kind == "i"
    assert split.audio_ids == [
        "development/ a, b &amp; c.wav",
        "development/b.wav",
        "development/2012-01-01.wav",
    ]
    assert split.caption_ids == [f"development/{cid}" for cid in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    "texts",
    [["2012", "1999"], ["1", "0.5"], ["2012-01-01", "2013-01-01"], ["NA", "null"], ["true", "é☂"]],
)
def test_texts_that_look_like_something_else_stay_texts(tmp_path, texts):
    write_split(tmp_path, [(i, i, f"{text}.wav", text) for i, text in enumerate(texts, start=1)])
    split = splits.load_captions(tmp_path, "development")
    assert split.captions == texts
    assert split.clip_names == [f"{text}.wav" for text in texts]


def test_split_without_captions_is_empty(tmp_path):
    write_split(tmp_path, [])
    split = splits.load_captions(tmp_path, "development")
    assert split.captions == split.clip_names == split.audio_ids == split.caption_ids == []
    assert split.clip_of_caption.shape == split.cids.shape == (0,)


def load(folder, split):
    return corpus(load_config(overrides=[f"train_data.input_path={folder}"]), CLOTHO).load(split)


def test_missing_captions_name_the_script(tmp_path):
    with pytest.raises(InputError, match=r"no .*evaluation_captions\.json: .* Run scripts/01_prep"):
        load(tmp_path, "evaluation")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("tokens"), "is not a table with the columns cid, fid"),
        (lambda t: t.update(fid=[1, 2]), "is not a table with the columns"),
        (lambda t: t["fid"].pop("1"), "column fid does not have the same rows as cid"),
        (lambda t: t["cid"].update({"1": 2.0}), r"row 1: cid is 2\.0, and must be a whole number"),
        (lambda t: t["cid"].update({"1": True}), "row 1: cid is True"),
        (lambda t: t["fid"].update({"1": 0}), "row 1: fid is 0"),
        (lambda t: t["fid"].update({"1": 2**63}), "row 1: fid is 9223372036854775808"),
        (lambda t: t["original"].update({"3": None}), "row 3: original is None, and must be a t"),
        (lambda t: t["fname"].update({"0": 5}), "row 0: fname is 5, and must be the name of a f"),
        (lambda t: t["original"].update({"3": "a\0b"}), r"original is 'a\\x00b', and must be a t"),
        (lambda t: t["original"].update({"3": "\ud800"}), r"original is '\\ud800', and must be a"),
        *(
            (lambda t, name=name: t["fname"].update({"3": name}), "must be the name of a file")
            for name in ("../../etc/x.wav", "/x.wav", "a\\b.wav", "..", "", "x\0.wav")
        ),
        (lambda t: t["cid"].update({"1": 1}), "two captions have the cid 1"),
        (lambda t: t["fname"].update({"0": "c.wav"}), "two clips have the fid 7"),
        (lambda t: t["fid"].update({"0": 8}), r"two clips have the fname 'b\.wav'"),
    ],
)
def test_malformed_captions_are_refused(tmp_path, change, message):
    path = write_split(tmp_path, ROWS)
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, "development")
    assert "development_captions.json" in str(error.value)
    assert "Run scripts/01_preprocess.py" in str(error.value)


@pytest.mark.parametrize("content", ["[]", "3", '"x"', "null"])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / "development_captions.json").write_text(content)
    with pytest.raises(InputError, match="is not a table"):
        splits.load_captions(tmp_path, "development")


def test_what_the_demo_set_generator_writes_is_said_to_be_synthetic(tmp_path):
    assert splits.synthetic_note(tmp_path) is None
    write_demo_set(tmp_path, clips=(1, 1, 1), seed=1)
    assert "synthetic" in splits.synthetic_note(tmp_path)


def test_clips_are_left_out_with_their_captions():
    split = splits.CaptionSplit(
        split="development",
        cids=np.array([1, 2, 3, 4]),
        captions=["a", "b", "c", "d"],
        clip_names=[" x.wav", "y.wav", "z.wav"],
        clip_fids=np.array([5, 6, 7]),
        clip_of_caption=np.array([0, 2, 1, 2]),
    )
    rest = splits.without_clips(split, {"development/ x.wav", "validation/y.wav", ""})
    assert rest.clip_names == ["y.wav", "z.wav"]
    assert rest.clip_fids.tolist() == [6, 7]
    assert rest.captions == ["b", "c", "d"]
    assert rest.cids.tolist() == [2, 3, 4]
    assert rest.clip_of_caption.tolist() == [1, 0, 1]
