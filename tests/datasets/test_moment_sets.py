import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import load_script, options
from utils.datasets import moment_sets, splits
from utils.datasets.corpus import corpus
from utils.datasets.moment_lists import MomentQuery, read_moment_list, write_moment_list
from utils.datasets.moment_sets import CASTELLA, CLOTHO_MOMENT, preprocess_moments
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

QUERIES = {
    "train": [
        MomentQuery("b_1", "A dog", "b", 1, ((0.5, 2), (0, 0.1))),
        MomentQuery("-a_1", "Rain", "-a", 60, ((3, 9),)),
        MomentQuery("gone_1", "Wind", "gone", 60, ((3, 9),)),
        MomentQuery("b_2", "A dog", "b", 1, ((0, 1),)),
    ],
    "val": [MomentQuery("7", "A bell", "Wildlife_0.0_60.0", 1, ((0, 1),))],
    "test": [MomentQuery("t_1", "A cat", "t", 1)],
}


def sound(path: Path, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(int(8000 * seconds), 0.1), 8000)


@pytest.fixture
def data_set(tmp_path):
    """A set with lists under their published names, and recordings in `audio` or below."""
    folder = tmp_path / "castella"
    for split, queries in QUERIES.items():
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        write_moment_list(folder / f"castella_{split}_release.jsonl", queries)
    sound(folder / "audio/b.wav")
    sound(folder / "audio/-a.OGG")
    sound(folder / "audio/Wildlife_0.0_60.0.flac")
    sound(folder / "audio/unheard.mp3")
    sound(folder / "audio/test/t.aiff")
    (folder / "audio/read me.txt").touch()
    return folder


def settings(folder):
    return [f"castella.dataset_path={folder}", f"castella.input_path={folder.parent / 'processed'}"]


def preprocess(folder, *arguments):
    return load_script("01_preprocess").main(
        ["--subset", "castella", *arguments, *options(settings(folder))]
    )


def test_recordings_are_clips_and_queries_are_captions(data_set):
    result = preprocess_moments(data_set, CASTELLA)
    assert result.audio_info["audio_fids"] == {
        "train": {"-a.OGG": 1, "b.wav": 2},
        "val": {"Wildlife_0.0_60.0.flac": 4},
        "test": {"t.aiff": 5},
    }
    train = result.captions["train"]
    assert train["original"].tolist() == ["A dog", "Rain", "A dog"]
    assert train["cid"].tolist() == [1, 2, 4]  # the third is about a recording that is not there
    assert train["fid"].tolist() == [2, 1, 2]
    assert result.missing == ["train/gone"]
    assert result.extra == ["unheard.mp3"]
    assert result.notes == [
        "castella_train_release.jsonl: 1 window reaching beyond the end of the recording; cut there"
        " for training",
        "1 recording shorter than listed, by more than 2 s",
    ]


def test_the_query_of_each_caption_is_read_back_with_the_seconds_of_the_list(data_set, capsys):
    assert preprocess(data_set) == 0
    printed = capsys.readouterr().out
    assert "1 missing" in printed
    assert "missing, and left out:\n  - train/gone" in printed
    assert "reaching beyond the end" in printed
    of = corpus(load_config(overrides=settings(data_set)), CASTELLA)
    loaded = of.load("train")
    train = QUERIES["train"]
    assert of.load_moments(loaded) == [train[0], train[1], train[3]]
    assert of.load_moments(of.load("test")) == QUERIES["test"]
    found = of.require_audio("train", loaded.clip_names)
    assert found == [data_set / "audio/-a.OGG", data_set / "audio/b.wav"]
    assert of.require_audio("test", ["t.aiff"]) == [data_set / "audio/test/t.aiff"]


def test_moments_of_other_captions_are_refused(data_set):
    preprocess(data_set)
    processed = data_set.parent / "processed"
    of = corpus(load_config(overrides=settings(data_set)), CASTELLA)
    train, path = of.load("train"), processed / "train_moments.json"
    table = json.loads(path.read_text())
    for change, problem in (
        ({**table, "1": {**table["1"], "query": "A cat"}}, "does not belong to the captions"),
        ({"1": table["1"]}, "cid 2: qid is None"),
        ([], "is not a table of moments"),
        ({"1": 3}, "is not a table of moments"),
    ):
        path.write_text(json.dumps(change))
        with pytest.raises(
            InputError, match=rf"(?s){problem}.*01_preprocess\.py --subset castella"
        ):
            of.load_moments(train)
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*train_moments\.json"):
        of.load_moments(train)


def test_a_recording_that_is_missing_later_is_named(data_set):
    preprocess(data_set)
    (data_set / "audio/b.wav").unlink()
    with pytest.raises(InputError, match=r"1 file of 2 not in .*\n.*b\.wav\n.*--subset castella"):
        load_script("03_audio_features").main(
            ["--subset", "castella", *options(settings(data_set))]
        )


def test_other_files_are_counted_once_where_splits_share_a_folder(data_set, capsys):
    preprocess(data_set, "--list-skipped")
    assert capsys.readouterr().out.count("audio/read me.txt") == 1


def test_a_broken_recording_is_left_out_with_its_queries(data_set):
    (data_set / "audio/b.wav").write_bytes(b"broken")
    (data_set / "audio/-a.OGG").rename(data_set / "audio/-a.mp4")
    (data_set / "audio/-a.mp4").write_bytes(b"a film without sound")
    assert preprocess(data_set) == 3
    failed = (data_set.parent / "processed/failed_files.csv").read_text()
    assert "train/b.wav" in failed and "train/-a.mp4" in failed
    assert json.loads((data_set.parent / "processed/train_moments.json").read_text()) == {}


def test_a_split_without_a_list_is_empty_and_said_to_be(data_set):
    (data_set / "castella_train_release.jsonl").unlink()
    (data_set / "castella_val_release.jsonl").rename(data_set / "castella_val.jsonl")
    result = preprocess_moments(data_set, CASTELLA)
    assert result.notes[0] == "no list of train; the split is empty"
    assert [len(table) for table in result.captions.values()] == [0, 1, 1]


def test_a_set_without_a_list_or_without_a_recording_is_refused(data_set):
    for path in (data_set / "audio").rglob("*.*"):
        path.unlink()
    with pytest.raises(InputError, match=r"all 5 recordings of .* are missing:\n  - train/-a\n"):
        preprocess_moments(data_set, CASTELLA)
    with pytest.raises(InputError, match=r"no clotho_moment_\{train,val,test\}_release\.jsonl in"):
        preprocess_moments(data_set, CLOTHO_MOMENT)


def test_lists_of_recordings_are_read_too(data_set):
    (data_set / "castella_test_release.jsonl").unlink()
    moment = {"local_caption": "A cat", "timestamps": [[0, 1]]}
    (data_set / "test.json").write_text(
        json.dumps([{"yid": "t", "duration": 1, "num_moments": 1, "moments": [moment]}])
    )
    result = preprocess_moments(data_set, CASTELLA)
    table = json.loads(result.files["test_moments.json"])
    assert table == {
        "6": {
            "qid": "t_1",
            "query": "A cat",
            "duration": 1,
            "vid": "t",
            "relevant_windows": [[0, 1]],
        }
    }


def test_the_published_lists_with_three_recordings(shared_data, tmp_path):
    for split in moment_sets.SPLITS:
        path = tmp_path / f"castella_{split}_release.jsonl"
        path.write_bytes((shared_data / f"moments/castella_{split}.jsonl").read_bytes())
        queries = read_moment_list(path)
        sound(tmp_path / f"audio/{queries[0].vid}.wav")
    result = preprocess_moments(tmp_path, CASTELLA)
    assert len(result.missing) == 876 + 178 + 566 - 3
    infos = result.vocab_info.split_infos.values()
    assert [info["num_clips"] for info in infos] == [1, 1, 1]
    assert len(json.loads(result.files["test_moments.json"])) == 3
    # Numbers count all queries and recordings, as if none were missing.
    assert result.captions["test"]["cid"].tolist() == [2182 + 352 + n for n in (1, 2, 3)]
    assert splits.captions_file("", "test").name == "test_captions.json"
