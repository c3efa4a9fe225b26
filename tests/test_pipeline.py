"""The whole path, as its users run it: wavs and captions in, scores out."""

import csv
import json
import random
import shutil

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import load_script, run_pipeline, settings_for

from models import passt
from utils import datasets
from utils.config import PROJECT_ROOT
from utils.errors import InputError
from utils.vectors import read_vectors

SPLITS = datasets.SPLITS


def train(settings: list[str], *arguments: str):
    """Run main.py in this process; returns the run folder and its metrics."""
    options = [part for setting in settings for part in ("--set", setting)]
    load_script("main").main([*arguments, *options])
    (output,) = (s.partition("=")[2] for s in settings if s.startswith("output_path="))
    run = max((PROJECT_ROOT / output / "demo").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    return run, json.loads((run / "metrics.json").read_text())


def scores(metrics: dict) -> dict:
    return {key: metrics[key] for key in ("scores", "intervals_95", "median_rank", "best_epoch")}


@pytest.fixture
def own_outputs(small_demo, tmp_path):
    """Settings for the small demo set that write their runs into a folder of the test's own."""
    return settings_for(small_demo, outputs=tmp_path / "outputs")


def test_a_run_leaves_everything_it_should(small_demo, own_outputs, capsys):
    run, metrics = train(own_outputs)
    assert sorted(p.name for p in run.iterdir()) == [
        "checkpoint_best.pt",
        "checkpoint_last.pt",
        "conf.yaml",
        "history.csv",
        "log.txt",
        "metrics.json",
        "test.output.csv",
    ]
    assert metrics["split"] == "evaluation"
    assert (metrics["captions"], metrics["clips"]) == (50, 10)
    assert metrics["compared_with"]["chance"]["R@10"] == 1.0
    assert set(metrics["compared_with"]) == {"chance", "tag embeddings alone, untrained"}
    assert "synthetic" in metrics["note"].lower()
    with (run / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert [row["epoch"] for row in history] == ["1", "2"]
    best = max(history, key=lambda row: float(row["mAP@10"]))
    assert metrics["best_epoch"] == int(best["epoch"])
    with (run / "test.output.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    evaluation = datasets.load_captions(small_demo / "processed", "evaluation")
    assert [row[0] for row in rows[1:]] == evaluation.captions
    assert all(sorted(row[1:]) == sorted(evaluation.clip_names) for row in rows[1:])
    ranks = [
        row.index(evaluation.clip_names[clip])
        for row, clip in zip(rows[1:], evaluation.clip_of_caption, strict=True)
    ]
    assert metrics["scores"]["mAP@10"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    printed = capsys.readouterr().out
    for part in ("chance", "tag embeddings alone", "trained", "Example queries", "ynthetic"):
        assert part in printed
    assert printed.splitlines()[-1].startswith("trained 2 epochs")
    assert (run / "log.txt").read_text() in printed


def test_the_best_checkpoint_gives_the_same_scores_again(own_outputs, capsys):
    run, metrics = train(own_outputs)
    options = [part for setting in own_outputs for part in ("--set", setting)]
    capsys.readouterr()
    load_script("main").main(
        ["evaluate", "--checkpoint", str(run / "checkpoint_best.pt"), *options]
    )
    table = capsys.readouterr().out
    assert f"{metrics['scores']['mAP@10']:.3f}" in table
    assert f"{metrics['intervals_95']['mAP@10'][0]:.3f}" in table


def test_same_seed_same_numbers(own_outputs):
    first = scores(train(own_outputs)[1])
    assert scores(train(own_outputs)[1]) == first
    assert scores(train([*own_outputs, "seed=2"])[1]) != first


def test_an_interrupted_run_is_resumed_to_the_same_end(own_outputs):
    _, whole = train([*own_outputs, "training.epochs=4", "seed=3"])
    stopped, _ = train([*own_outputs, "training.epochs=2", "seed=3"])
    # All other settings are those of the run, not those of the project's conf.yaml.
    load_script("main").main(["train", "--resume", str(stopped), "--set", "training.epochs=4"])
    resumed = json.loads((stopped / "metrics.json").read_text())
    assert scores(resumed) == scores(whole)


def test_a_checkpoint_of_another_shape_is_refused(own_outputs):
    run, _ = train(own_outputs)
    options = [part for setting in own_outputs for part in ("--set", setting)]
    main = load_script("main").main
    with pytest.raises(InputError, match=r"checkpoint_last\.pt does not fit"):
        main(["evaluate", "--checkpoint", str(run / "checkpoint_last.pt"), *options])
    with pytest.raises(InputError, match=r"checkpoint_last\.pt does not fit"):
        main(["train", "--resume", str(run), "--set", "model.audio_features=scene"])


@pytest.mark.parametrize("features", ["logits", "scene", "both"])
@pytest.mark.parametrize("info", ["tags", "none"])
def test_every_branch_trains(own_outputs, features, info):
    settings = [*own_outputs, f"model.audio_features={features}", f"model.audioset_info={info}"]
    run, metrics = train(settings)
    state = torch.load(run / "checkpoint_best.pt", weights_only=True)["model"]
    embedding = passt.ARCHITECTURES["demo"].embedding_size
    width = {"logits": 527, "scene": embedding, "both": 527 + embedding}[features]
    assert state["audio_projection.weight"].shape == (768, width)
    assert ("tag_table" in state) == (info == "tags")
    assert ("tag embeddings alone, untrained" in metrics["compared_with"]) == (info == "tags")


def test_running_again_computes_nothing(small_demo, capsys):
    files = [p for p in (small_demo / "processed").iterdir() if p.is_file()]
    before = {p: p.stat().st_mtime_ns for p in files}
    run_pipeline(settings_for(small_demo))
    assert {p: p.stat().st_mtime_ns for p in files} == before
    printed = capsys.readouterr().out
    assert "tagged 0 clips" in printed
    assert "embedded 0 captions" in printed
    assert "embedded 0 tags" in printed


def test_the_order_of_files_on_disk_changes_nothing(small_demo, tmp_path):
    other = tmp_path / "other"
    files = [p for p in (small_demo / "clotho").rglob("*") if p.is_file()]
    random.Random(1).shuffle(files)
    for path in files:
        if "processed" not in path.parts:
            target = other / path.relative_to(small_demo)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    run_pipeline(settings_for(other))
    for path in (small_demo / "processed").glob("*.hdf5"):
        ours, theirs = (
            read_vectors(p, made_by="") for p in (path, other / "processed" / path.name)
        )
        assert ours.ids == theirs.ids
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
    for name in ("audio_info.pkl", "vocab_info.pkl", *(f"{s}_captions.json" for s in SPLITS)):
        assert (small_demo / "processed" / name).read_bytes() == (
            other / "processed" / name
        ).read_bytes()


def test_vectors_belong_to_their_clips(small_demo):
    """Each clip tagged by itself, straight from its file, gives the row under its id."""
    from utils.audio import cut_windows, read_audio
    from utils.weights import load_weights

    model = passt.Passt(arch="demo")
    load_weights(model, PROJECT_ROOT / "data/demo/tagger.safetensors")
    model.eval()
    file = read_vectors(small_demo / "processed/audio_logits_passt.hdf5", made_by="")
    for i in range(0, len(file.ids), 7):
        samples = read_audio(small_demo / "clotho" / file.ids[i], sample_rate=passt.SAMPLE_RATE)
        windows = cut_windows(samples, window=model.window, hop=model.hop, shortest=5000)
        with torch.inference_mode():
            logits = torch.cat([model(torch.from_numpy(w[None].copy()))[0] for w in windows])
        np.testing.assert_allclose(file.vectors[i], logits.mean(dim=0), atol=1e-4)


def as_original(small_demo, folder, *, shuffled: bool):
    """Write the small demo set's processed files the way the original system does."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    fids = {}
    for split in SPLITS:
        table = json.loads((small_demo / f"processed/{split}_captions.json").read_text())
        names = sorted(set(table["fname"].values()))
        # The original numbers clips in the order in which the file system lists them.
        for number in rng.permutation(len(names)) if shuffled else range(len(names)):
            fids[split, names[number]] = len(fids) + 1
        table["fid"] = {row: fids[split, name] for row, name in table["fname"].items()}
        (folder / f"{split}_captions.json").write_text(json.dumps(table))
    for name in ("audio_logits_passt", "audio_scene_passt"):
        ours = read_vectors(small_demo / f"processed/{name}.hdf5", made_by="")
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for i, vector in zip(ours.ids, ours.vectors, strict=True):
                file[str(fids[tuple(i.split("/", 1))])] = vector
    for name in ("sentence_embeddings_mpnet", "audioset_527_tags_embeddings_mpnet"):
        ours = read_vectors(small_demo / f"processed/{name}.hdf5", made_by="")
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for i, vector in zip(ours.ids, ours.vectors, strict=True):
                file[i.rsplit("/", 1)[-1]] = vector


@pytest.mark.parametrize("shuffled", [False, True])
def test_files_in_the_originals_layout_train_as_they_are(
    small_demo, own_outputs, tmp_path, shuffled
):
    as_original(small_demo, tmp_path / "original", shuffled=shuffled)
    settings = [s for s in own_outputs if "input_path" not in s]
    _, metrics = train([*settings, f"train_data.input_path={tmp_path / 'original'}"])
    _, ours = train(own_outputs)
    untrained = "tag embeddings alone, untrained"
    assert metrics["compared_with"][untrained] == pytest.approx(ours["compared_with"][untrained])
    if not shuffled:
        # In another order batches hold other impostors, so only here the numbers are the same.
        assert scores(metrics) == scores(ours)


def test_captions_that_changed_are_refused_naming_the_script(small_demo, own_outputs, tmp_path):
    processed = tmp_path / "processed"
    shutil.copytree(small_demo / "processed", processed)
    path = processed / "validation_captions.json"
    table = json.loads(path.read_text())
    table["original"]["3"] += " Indeed."
    path.write_text(json.dumps(table))
    settings = [s for s in own_outputs if "input_path" not in s]
    with pytest.raises(InputError, match=r"other texts for 1 of 50.*04_sentence_embeddings\.py"):
        train([*settings, f"train_data.input_path={processed}"])


def test_vectors_of_another_network_are_refused_naming_the_script(own_outputs):
    with pytest.raises(InputError, match=r"model is 'demo'.*03_audio_features\.py"):
        train([*own_outputs, "passt.arch=passt_20sec"])


def test_missing_vectors_are_refused_naming_the_script(own_outputs, tmp_path):
    for key, script in (
        ("audio_logits", "03_audio_features"),
        ("caption_embeddings", "04_sentence_embeddings"),
        ("tag_embeddings", "06_audioset_tag_embeddings"),
    ):
        with pytest.raises(InputError, match=rf"no vector file .*gone.*{script}\.py"):
            train([*own_outputs, f"train_data.{key}={tmp_path / 'gone.hdf5'}"])


def test_a_missing_clip_is_refused_by_script_03(small_demo, tmp_path):
    shutil.copytree(small_demo / "clotho", tmp_path / "clotho")
    shutil.copytree(small_demo / "processed", tmp_path / "processed")
    gone = sorted((tmp_path / "clotho/validation").glob("*.wav"))[0]
    gone.unlink()
    options = [part for s in settings_for(tmp_path) for part in ("--set", s)]
    with pytest.raises(InputError) as caught:
        load_script("03_audio_features").main(options)
    assert gone.name in str(caught.value)


def test_the_bundled_tagger_is_small_described_and_good():
    weights = PROJECT_ROOT / "data/demo/tagger.safetensors"
    card = json.loads((PROJECT_ROOT / "data/demo/tagger.json").read_text())
    assert weights.stat().st_size <= 4_000_000
    assert card["held_out"]["mean_average_precision"] >= 0.7
    assert safetensors.torch.load_file(weights)["head.1.weight"].shape[0] == 527


@pytest.mark.slow
def test_learning_is_real_on_the_demo_set(tmp_path):
    """On the set that `make demo` leaves: far better than chance and than the tags alone."""
    processed = PROJECT_ROOT / "data/demo_set/processed"
    if not (processed / "audioset_527_tags_embeddings_mpnet.hdf5").is_file():
        pytest.skip("no demo set with its vectors: run `make demo` first")
    _, metrics = train([f"output_path={tmp_path}"])
    ours = metrics["scores"]["mAP@10"]
    compared = {name: scores["mAP@10"] for name, scores in metrics["compared_with"].items()}
    assert ours >= 0.5
    assert ours > 5 * compared["chance"]
    assert ours > compared["tag embeddings alone, untrained"]


@pytest.mark.slow
def test_the_whole_path_on_real_clotho_wavs(shared_data, sentence_model, tmp_path):
    """Real wavs, real captions, the real MPNet, and a full-size PaSST with random weights."""
    audio = shared_data / "clotho-audio"
    validation = sorted(p.name for p in (audio / "validation").glob("*.wav"))
    evaluation = sorted(p.name for p in (audio / "evaluation").glob("*.wav"))
    assert len({*validation, *evaluation}) == 22
    # There is no development wav: half of the validation clips stand in.
    parts = {
        "development": ("validation", validation[::2]),
        "validation": ("validation", validation[1::2]),
        "evaluation": ("evaluation", evaluation),
    }
    for split, (source, names) in parts.items():
        (tmp_path / "clotho" / split).mkdir(parents=True)
        for name in names:
            shutil.copy(audio / source / name, tmp_path / "clotho" / split / name)
        with (shared_data / f"clotho/clotho_captions_{source}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        table = tmp_path / f"clotho/clotho_captions_{split}.csv"
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row[0] in names)])
    torch.manual_seed(0)
    arch = "passt_s_swa_p16_128_ap476"
    torch.save(passt.Passt(arch=arch).net.state_dict(), tmp_path / "random.pt")
    settings = [
        *(s for s in settings_for(tmp_path) if not s.startswith("precision=")),
        f"passt.arch={arch}",
        f"passt.weights={tmp_path / 'random.pt'}",
    ]
    run_pipeline(settings)
    logits = read_vectors(tmp_path / "processed/audio_logits_passt.hdf5", made_by="")
    scene = read_vectors(tmp_path / "processed/audio_scene_passt.hdf5", made_by="")
    assert logits.vectors.shape == (23, 527)
    assert scene.vectors.shape == (23, 768)
    assert logits.ids == scene.ids
    assert set(logits.ids) == {f"{s}/{name}" for s, (_, names) in parts.items() for name in names}
    # One clip is in two splits, with the same sound: the same vector under both ids.
    twin = "01 A pug struggles to breathe 1_14_2008.wav"
    rows = [i for i, name in enumerate(logits.ids) if name.endswith(twin)]
    assert len(rows) == 2
    np.testing.assert_array_equal(logits.vectors[rows[0]], logits.vectors[rows[1]])
    run, metrics = train(settings)
    assert metrics["captions"] == 35
    assert (run / "test.output.csv").is_file()
