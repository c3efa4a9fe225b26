import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from tests.audio.forms import by_ffmpeg
from tests.support import load_script, options, settings_for
from utils.checkpoints.checkpoint import load_checkpoint
from utils.datasets import audiocaps, splits
from utils.demo import scenes
from utils.runs.run_folder import Run
from utils.runtime import terminal
from utils.runtime.errors import InputError

HEADER = "audiocap_id,youtube_id,start_time,caption\n"
CSVS = {
    "train": '1,-b_cdefghij,30,"A dog, barking"\n2,abcdefghijk,0,Rain falls\n',
    "val": "3,_alabcdefgh,10,A bell\n5,valabcdefgh,20,NA\n4,_alabcdefgh,10,Bells ring\n",
    "test": "6,tstabcdefgh,50,Nobody knows\n",
}


def sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(800, 0.1), 8000)


@pytest.fixture
def data_set(tmp_path):
    folder = tmp_path / "audiocaps"
    (folder / "audio/test").mkdir(parents=True)
    for split, rows in CSVS.items():
        (folder / f"{split}.csv").write_text(HEADER + rows)
    sound(folder / "audio/train/-b_cdefghij_30.flac")
    sound(folder / "audio/val/_alabcdefgh_10.wav")
    sound(folder / "audio/val/valabcdefgh_20.wav")
    sound(folder / "audio/val/unheard.wav")
    (folder / "audio/test/tstabcdefgh_50.wav").write_bytes(b"broken")
    return folder


def test_missing_and_broken_clips_are_left_out_with_their_captions(data_set):
    result = audiocaps.preprocess_audiocaps(data_set)
    # fids by name and cids by row count what is missing, too.
    assert result.audio_info["audio_fids"] == {
        "train": {"-b_cdefghij_30.flac": 1},
        "val": {"_alabcdefgh_10.wav": 3, "valabcdefgh_20.wav": 4},
        "test": {},
    }
    val = result.captions["val"]
    assert val["original"].tolist() == ["A bell", "NA", "Bells ring"]
    assert val["cid"].tolist() == [3, 4, 5]
    assert val["fid"].tolist() == [3, 4, 3]
    assert len(result.captions["test"]) == 0
    assert result.missing == ["train/abcdefghijk_0.wav"]
    assert result.failed.keys() == {"test/tstabcdefgh_50.wav"}
    assert result.extra == ["val/unheard.wav"]


@pytest.mark.parametrize(
    ("ending", "kind", "codec"),
    [
        ("m4a", "mp4", "aac"),
        ("webm", "webm", "libopus"),
        ("opus", "ogg", "libopus"),
        ("ogg", "ogg", "flac"),
        ("mp3", "mp3", "libmp3lame"),
    ],
)
def test_clips_are_taken_as_they_were_downloaded(data_set, ending, kind, codec):
    name = f"abcdefghijk_0.{ending}"
    (data_set / "audio/train" / name).write_bytes(by_ffmpeg(kind, codec, rate=48_000))
    for other in ("abcdefghijk_0.info.json", "abcdefghijk_0.webm.part", "abcdefghijk_0.txt"):
        (data_set / "audio/train" / other).write_text("no sound")
    result = audiocaps.preprocess_audiocaps(data_set)
    assert result.audio_info["audio_fids"]["train"] == {"-b_cdefghij_30.flac": 1, name: 2}
    assert result.missing == []
    assert result.extra == ["val/unheard.wav"]
    assert audiocaps.require_audio(data_set / "audio/train", [name])
    sound(data_set / "audio/train/abcdefghijk_0.wav")
    assert audiocaps.find_audio(data_set / "audio/train")["abcdefghijk_0"].endswith(".wav")


def test_the_wav_is_used_if_a_clip_has_both(data_set):
    sound(data_set / "audio/train/-b_cdefghij_30.wav")
    names = audiocaps.preprocess_audiocaps(data_set).audio_info["audio_fnames"]["train"]
    assert names == ["-b_cdefghij_30.wav"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,short,30,A dog\n", r"line 2: youtube_id is 'short', and must be 11 letters"),
        ("1,../../../../,30,A dog\n", r"line 2: youtube_id is '\.\./"),
        ("1,abcdefghijk,-1,A dog\n", r"start_time is '-1', and must be whole seconds"),
        ("x,abcdefghijk,1,A dog\n", "audiocap_id is 'x'"),
    ],
)
def test_bad_rows_are_refused(data_set, rows, message):
    (data_set / "train.csv").write_text(HEADER + rows)
    with pytest.raises(InputError, match=message):
        audiocaps.preprocess_audiocaps(data_set)


def test_a_set_without_a_single_clip_is_refused(data_set):
    shutil.rmtree(data_set / "audio")
    with pytest.raises(InputError, match=r"all 5 clips of .* are missing:"):
        audiocaps.preprocess_audiocaps(data_set)


def test_a_file_that_is_missing_later_is_named(data_set):
    with pytest.raises(InputError, match=r"1 file of 2 not in .*\n.*gone\.wav\n.*--subset audio"):
        audiocaps.require_audio(data_set / "audio/val", ["_alabcdefgh_10.wav", "gone.wav"])


def test_the_script_lists_what_is_missing(data_set, tmp_path, capsys):
    processed = tmp_path / "processed"
    settings = [f"audiocaps.dataset_path={data_set}", f"audiocaps.input_path={processed}"]
    load_script("01_preprocess").main(["--subset", "audiocaps", *options(settings)])
    assert "1 missing; 1 cannot be used" in capsys.readouterr().out
    assert (processed / "missing_clips.txt").read_text() == "train/abcdefghijk_0.wav\n"
    assert splits.load_captions(processed, "train").clip_names == ["-b_cdefghij_30.flac"]


def test_the_real_csvs(shared_data, tmp_path):
    """All rows are read; of the clips, those with a file are kept."""
    folder = tmp_path / "audiocaps"
    folder.mkdir()
    expected = {"train": (49838, 1), "val": (495, 5), "test": (975, 5)}
    for split, (clips, captions) in expected.items():
        rows = audiocaps.read_captions_csv(
            shutil.copy(shared_data / f"audiocaps/{split}.csv", folder)
        )
        names = sorted({clip for clip, _ in rows})
        assert (len(names), len(rows)) == (clips, clips * captions)
        for clip in names[:3]:
            sound(folder / f"audio/{split}/{clip}.wav")
    result = audiocaps.preprocess_audiocaps(folder)
    infos = result.vocab_info.split_infos.values()
    assert [(i["num_clips"], i["num_captions"]) for i in infos] == [(3, 3), (3, 15), (3, 15)]
    assert len(result.missing) == 49838 + 495 + 975 - 9
    # Numbers count all rows and clips, as if none were missing.
    assert result.captions["test"]["fid"].tolist()[0] > 49838 + 495
    assert result.captions["test"]["cid"].min() > 49838 + 2475


@pytest.fixture(scope="module")
def pretrained(small_demo, tmp_path_factory):
    """A run of train-audiocaps on a small set, its settings and its folder."""
    folder = tmp_path_factory.mktemp("pretraining")
    scenes.write_demo_set(folder / "set", clips=(24, 3, 11), seed=5, layout=scenes.AUDIOCAPS)
    settings = [
        *settings_for(small_demo, outputs=folder / "outputs"),
        f"audiocaps.dataset_path={folder / 'set'}",
        f"audiocaps.input_path={folder / 'processed'}",
    ]
    for name in ("01_preprocess", "03_audio_features", "04_sentence_embeddings"):
        load_script(name).main(["--subset", "audiocaps", *options(settings)])
    load_script("main").main(["train-audiocaps", *options(settings)])
    (run,) = (folder / "outputs/demo").iterdir()
    return settings, run


def test_pretraining_trains_on_audiocaps_and_never_sees_clothos_test_split(
    pretrained, small_demo, tmp_path, monkeypatch, capsys
):
    settings, run = pretrained
    assert run.name.endswith("_seed1_audiocaps")
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["trained_on"], metrics["split"]) == ("audiocaps", "test")
    assert (metrics["captions"], metrics["clips"]) == (55, 11)
    module = load_script("main")
    parts = []
    monkeypatch.setattr(
        "utils.runs.training_run.fit_and_score", lambda _, data, *__: parts.append(data) or {}
    )
    monkeypatch.setattr(terminal.Summary, "finish", lambda *_: None)
    monkeypatch.setattr(Run, "new", lambda config, **_: Run(tmp_path, config))
    module.main(["train-audiocaps", *options(settings)])
    (data,) = parts
    assert len(data.training.split.captions) == 23
    clotho = splits.load_captions(small_demo / "processed", "validation")
    assert data.validation.split.captions == clotho.captions
    assert data.test.split.split == "test"
    assert "evaluation_captions" not in capsys.readouterr().out


def test_training_starts_from_the_pretrained_weights(pretrained, tmp_path, monkeypatch):
    settings, run = pretrained
    module = load_script("main")
    models = []
    monkeypatch.setattr(
        "utils.runs.training_run.fit_and_score", lambda r, d, t: models.append(t.model) or {}
    )
    monkeypatch.setattr(terminal.Summary, "finish", lambda *_: None)
    start = f"training.init_checkpoint={run / 'checkpoint_best.safetensors'}"
    changed = ["model.ratio_embed1=0.5", f"output_path={tmp_path}"]
    module.main(options([*settings, *changed, start]))
    best = load_checkpoint(run / "checkpoint_best.safetensors").weights
    for name, weights in models[0].named_parameters():
        assert (weights == best[name]).all()
    assert models[0].ratio == 0.5
    with pytest.raises(InputError, match=r"init_checkpoint.*text_projection: True, not False"):
        module.main(options([*settings, start, "model.text_projection=True"]))
    with pytest.raises(InputError, match=r"init_checkpoint: /nowhere\.pt: no such file"):
        module.main(options([*settings, "training.init_checkpoint=/nowhere.pt"]))


def test_pretraining_can_be_resumed_and_its_splits_scored(pretrained, tmp_path, capsys):
    _, run = pretrained
    copied = tmp_path / run.name
    shutil.copytree(run, copied)
    main = load_script("main").main
    main(["train", "--resume", str(copied), "--set", "training.epochs=3"])
    resumed = json.loads((copied / "metrics.json").read_text())
    assert resumed["trained_on"] == "audiocaps"
    assert resumed["validation"]["epoch"] == resumed["best_epoch"]
    assert len((copied / "history.csv").read_text().splitlines()) == 4
    capsys.readouterr()
    checkpoint = str(run / "checkpoint_best.safetensors")
    main(["evaluate", "--checkpoint", checkpoint, "--subset", "audiocaps", "--split", "val"])
    assert "scored 15 captions of 3 clips (val)" in capsys.readouterr().out
    main(["evaluate", "--checkpoint", checkpoint])
    assert "scored 50 captions of 10 clips (evaluation)" in capsys.readouterr().out
    with pytest.raises(InputError, match="audiocaps has the splits train, val, test"):
        main(["evaluate", "--checkpoint", checkpoint, "--subset", "audiocaps", "--split", "x"])


def test_vectors_of_another_passt_are_refused(pretrained, tmp_path):
    settings, run = pretrained
    logits = run.parents[2] / "processed/audio_logits_passt.hdf5"
    other = shutil.copy(logits, tmp_path / "other.hdf5")
    with h5py.File(other, "r+") as opened:
        opened.attrs["weights_sha256"] = "0" * 64
    with pytest.raises(InputError, match="different PaSST weights"):
        load_script("main").main(
            ["train-audiocaps", *options([*settings, f"audiocaps.audio_logits={other}"])]
        )
