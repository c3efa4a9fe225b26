"""The whole path, as its users run it: wavs and captions in, scores out."""

import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import soundfile
import torch

from models import architectures, passt
from tests.support import (
    DEMO_CONFIG,
    FILES,
    GOLDEN,
    age,
    load_script,
    options,
    read_audio,
    run_pipeline,
    scores,
    settings_for,
    train,
)
from utils.audio.windows import cut_windows
from utils.checkpoints.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from utils.checkpoints.trained_model import open_model
from utils.datasets import splits
from utils.datasets.audioset import read_labels
from utils.datasets.corpus import CLOTHO
from utils.demo.scenes import write_demo_set
from utils.demo.tagger_training import render_clip, score_tagger, targets
from utils.features.vector_file import read_vectors
from utils.features.weights import load_weights
from utils.files.reading import sha256
from utils.runs import training_run
from utils.runs.data import load_data
from utils.runs.plans import PLANS
from utils.runs.report import write_report
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.loading import load_config
from utils.training.trainer import Trainer

SPLITS = splits.SPLITS


def metrics_of(checkpoint) -> dict:
    return json.loads((checkpoint.parent / "metrics.json").read_text())


def test_a_run_leaves_everything_it_should(small_demo, trained):
    run, metrics = trained.parent, metrics_of(trained)
    visible = sorted(p.name for p in run.iterdir() if not p.name.startswith("."))
    assert visible == [
        "checkpoint_best.safetensors",
        "checkpoint_last.safetensors",
        "conf.yaml",
        "history.csv",
        "log.txt",
        "metrics.json",
        "plots",
        "report.html",
        "run.json",
        "test.output.csv",
        "test.ranks.csv",
    ]
    assert 'class="small tags"' in (run / "report.html").read_text(encoding="utf-8")
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
    evaluation = splits.load_captions(small_demo / "processed", "evaluation")
    assert [row[0] for row in rows[1:]] == evaluation.captions
    assert all(sorted(row[1:]) == sorted(evaluation.clip_names) for row in rows[1:])
    ranks = [
        row.index(evaluation.clip_names[clip])
        for row, clip in zip(rows[1:], evaluation.clip_of_caption, strict=True)
    ]
    assert metrics["scores"]["mAP@10"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    with (run / "test.ranks.csv").open(newline="") as file:
        listed = [(int(row["cid"]), int(row["rank"])) for row in csv.DictReader(file)]
    assert listed == list(zip(evaluation.cids.tolist(), ranks, strict=True))
    assert 0 < metrics["audio_to_text"]["R@1"] <= metrics["audio_to_text"]["R@5"] <= 1
    logged = (run / "log.txt").read_text()
    for part in ("chance", "audio to text", "tag embeddings alone", "trained", "ynthetic"):
        assert part in logged
    assert "Example queries" in logged


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("name", ["best", "last"])
def test_a_checkpoint_gives_the_same_scores_again_by_itself(
    trained, finished_run, capsys, name, older
):
    if older:
        age(finished_run, name)
    checkpoint = find_checkpoint(finished_run, name)
    load_script("main").main(["evaluate", "--checkpoint", str(checkpoint)])
    table, metrics = capsys.readouterr().out, metrics_of(trained)
    assert f"{metrics['scores']['mAP@10']:.3f}" in table
    assert f"{metrics['intervals_95']['mAP@10'][0]:.3f}" in table


def test_a_run_of_an_older_version_is_searched_reported_and_exported(
    trained, finished_run, tmp_path
):
    run = finished_run
    age(run, "best", "last")
    main = load_script("main").main
    main(["report", str(run)])
    assert "checkpoint_best.pt" in (run / "report.html").read_text(encoding="utf-8")
    older, new = (
        open_model(path, here=load_config()).network.state_dict() for path in (run, trained.parent)
    )
    assert older.keys() == new.keys()
    assert all(torch.equal(older[name], new[name]) for name in new)
    for name, checkpoint in (("a", run / "checkpoint_best.pt"), ("b", trained)):
        main(["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / name)])
        model = tmp_path / name / "model.safetensors"
        assert model.read_bytes() == (tmp_path / "a/model.safetensors").read_bytes()


def test_a_complete_run_is_not_scored_twice(trained):
    run = trained.parent
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(InputError, match=r"is complete: 2 epochs"):
        load_script("main").main(["train", "--resume", str(run)])
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


def test_a_run_is_resumed_with_its_own_settings_only(trained):
    changed = ["model.ratio_embed1=0.1", "training.learning_rate=5", "seed=9"]
    arguments = ["train", "--resume", str(trained.parent), "--set", "training.epochs=3"]
    with pytest.raises(InputError) as caught:
        load_script("main").main([*arguments, *(p for s in changed for p in ("--set", s))])
    for part in ("model.ratio_embed1: 0.1, not 0.8", "learning_rate: 5.0, not 0.001", "seed: 9"):
        assert part in str(caught.value)


def test_a_checkpoint_is_scored_as_the_model_it_was_trained_as(trained):
    for setting in ("model.audioset_info=none", "passt.arch=passt_20sec"):
        with pytest.raises(InputError, match="was trained with other settings"):
            load_script("main").main(["evaluate", "--checkpoint", str(trained), "--set", setting])


def test_weights_of_another_kind_are_refused(trained, tmp_path):
    odd = tmp_path / "odd.safetensors"
    save_checkpoint(odd, replace(load_checkpoint(trained), weights={"x": torch.ones(1)}))
    with pytest.raises(InputError, match=r"odd\.safetensors does not fit"):
        load_script("main").main(["evaluate", "--checkpoint", str(odd)])
    with pytest.raises(InputError, match=r"the weights in .*odd\.safetensors are not those of a"):
        open_model(odd, here=load_config())


MOMENTS = str(GOLDEN / "moments/castella_val.jsonl")


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        (["--help"], 0, "usage"),
        (["score", "gone.csv"], 2, "gone.csv"),
        (["check-submission", "gone.csv"], 2, ""),
        (["check-submission", "gone.jsonl", "--queries", MOMENTS], 2, "gone.jsonl"),
        (
            ["score-moments", MOMENTS.replace("castella_val", "pred_b"), "--truth", MOMENTS],
            0,
            "54.06",
        ),
    ],
)
def test_a_command_without_a_network_loads_no_heavy_library(small_demo, arguments, status, printed):
    code = (
        "import sys, main\n"
        "from utils.runtime import terminal\n"
        "try:\n"
        "    status = terminal.run(lambda: main.main(sys.argv[1:]))\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "heavy = {'torch', 'transformers', 'pandas', 'librosa', 'h5py', 'scipy'}\n"
        "assert not heavy & set(sys.modules)\n"
        "sys.exit(status)"
    )
    settings = [] if arguments == ["--help"] else options(settings_for(small_demo))
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, *settings],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stderr
    assert printed in result.stdout + result.stderr


def test_the_test_split_is_used_once_and_only_after_training(own_outputs, small_demo, monkeypatch):
    """Only the training and validation splits reach the trainer; its best weights are scored."""
    fitted, evaluated = [], []
    real_fit, real_evaluate = Trainer.fit, training_run.evaluate

    def fit(trainer, training, validation, **options):
        fitted.append((len(training), len(validation), validation.sentences))
        real_fit(trainer, training, validation, **options)
        # As if the best epoch had been another than the last.
        trainer.best_state = {k: torch.zeros_like(v) + 0.5 for k, v in trainer.best_state.items()}

    def evaluate(model, pairs, **options):
        evaluated.append((len(pairs), pairs.sentences, model.audio_projection.weight.mean().item()))
        return real_evaluate(model, pairs, **options)

    monkeypatch.setattr(Trainer, "fit", fit)
    monkeypatch.setattr(training_run, "evaluate", evaluate)
    load_script("main").main(options(own_outputs))
    vectors = read_vectors(small_demo / "processed/sentence_embeddings_mpnet.hdf5")

    def of(split):
        rows = [i for i, name in enumerate(vectors.ids) if name.startswith(split)]
        return torch.from_numpy(vectors.vectors[rows])

    ((training, validation, sentences),) = fitted
    assert (training, validation) == (150, 50)
    assert torch.equal(sentences, of("validation"))
    trained, _tags_alone = evaluated
    assert torch.equal(trained[1], of("evaluation"))
    assert trained[2] == 0.5


def test_a_file_in_the_originals_layout_is_not_overwritten(small_demo, own_outputs, tmp_path):
    original = tmp_path / "original.hdf5"
    with h5py.File(original, "w") as file:
        file["1"] = np.ones(768, np.float32)
    before = original.read_bytes()
    for key, script in (
        ("audio_logits", "03_audio_features"),
        ("caption_embeddings", "04_sentence_embeddings"),
        ("tag_embeddings", "06_audioset_tag_embeddings"),
    ):
        with pytest.raises(InputError, match="original system's layout and would be overwritten"):
            load_script(script).main(options([*own_outputs, f"train_data.{key}={original}"]))
    assert original.read_bytes() == before


def test_excluded_clips_stay_out_of_training_and_in_the_test(small_demo, tmp_path):
    names = splits.load_captions(small_demo / "processed", "development").audio_ids
    listed = tmp_path / "excluded.txt"
    tested = splits.load_captions(small_demo / "processed", "evaluation").audio_ids[0]
    listed.write_text("".join(f"{name}\n" for name in [*names[:5], tested]))
    settings = [*settings_for(small_demo), f"train_data.excluded_clips={listed}"]
    config = load_config(DEMO_CONFIG, settings)
    data = load_data(config, PLANS[CLOTHO], device=torch.device("cpu"), summary=terminal.Summary())
    trained_on = data.training.split
    assert (len(trained_on.captions), len(trained_on.clip_names)) == (125, 25)
    assert len(data.test.split.clip_names) == 10


def test_an_empty_split_is_refused(small_demo, own_outputs, tmp_path):
    shutil.copytree(small_demo / "clotho", tmp_path / "clotho")
    shutil.rmtree(tmp_path / "clotho/development")
    settings = settings_for(tmp_path)
    load_script("01_preprocess").main([*options(settings), "--allow-missing"])
    vectors = [f"train_data.{key}={small_demo / 'processed' / name}" for key, name in FILES.items()]
    with pytest.raises(InputError, match=r"the development split .* has no captions"):
        train([*settings, *vectors])


@pytest.mark.parametrize("features", ["logits", "scene", "both"])
@pytest.mark.parametrize("info", ["tags", "none"])
def test_every_branch_trains(own_outputs, monkeypatch, features, info):
    if info == "none":  # the other report is that of `trained`
        monkeypatch.setattr(training_run, "write_report", write_report)
    settings = [f"model.audio_features={features}", f"model.audioset_info={info}"]
    mixup = "training.criterion=MixupTripletRankingLoss"  # mixes each branch's own inputs
    run, metrics = train([*own_outputs, *settings, mixup, "training.epochs=1"])
    assert metrics["scores"]["mAP@10"] > metrics["compared_with"]["chance"]["mAP@10"]
    state = load_checkpoint(run / "checkpoint_best.safetensors").weights
    embedding = architectures.ARCHITECTURES["demo"].embedding_size
    width = {"logits": 527, "scene": embedding, "both": 527 + embedding}[features]
    assert state["audio_projection.weight"].shape == (768, width)
    assert ("tag_table" in state) == (info == "tags")
    assert ("tag embeddings alone, untrained" in metrics["compared_with"]) == (info == "tags")
    if info == "none":
        report = (run / "report.html").read_text(encoding="utf-8")
        assert ('class="small tags"' in report) == (features != "scene")


@pytest.mark.parametrize(
    ("criterion", "learnable"),
    [("HardTripletRankingLoss", False), ("InfoNCE", False), ("InfoNCE", True)],
)
def test_every_criterion_trains(own_outputs, criterion, learnable):
    chosen = [f"training.criterion={criterion}", f"training.learnable_temperature={learnable}"]
    _, metrics = train([*own_outputs, *chosen, "training.epochs=1"])
    assert metrics["scores"]["mAP@10"] > metrics["compared_with"]["chance"]["mAP@10"]


def test_running_again_computes_nothing(small_demo, capsys):
    files = [p for p in (small_demo / "processed").iterdir() if p.is_file()]
    before = {p: p.stat().st_mtime_ns for p in files}
    run_pipeline(settings_for(small_demo))
    assert {p: p.stat().st_mtime_ns for p in files} == before
    printed = capsys.readouterr().out
    assert "tagged 0 clips" in printed
    assert "embedded 0 captions" in printed
    assert "embedded 0 tags" in printed


class Entries(contextlib.nullcontext):
    """What os.scandir returns: iterable, and a context manager."""

    def __iter__(self):
        return iter(self.enter_result)


def test_the_order_of_files_on_disk_changes_nothing(quick_sentence_model, tmp_path, monkeypatch):
    plain, other = tmp_path / "plain", tmp_path / "other"
    write_demo_set(plain / "clotho", clips=(6, 2, 2), seed=5, jobs=1)
    shutil.copytree(plain / "clotho", other / "clotho")
    shuffler, real_scandir, real_listdir = random.Random(1), os.scandir, os.listdir

    def shuffled_listdir(path="."):
        names = real_listdir(path)
        shuffler.shuffle(names)
        return names

    def shuffled_scandir(path="."):
        with real_scandir(path) as found:
            entries = list(found)
        shuffler.shuffle(entries)
        return Entries(entries)

    def run(folder):
        for script in ("01_preprocess", "03_audio_features", "04_sentence_embeddings"):
            load_script(script).main(options([*settings_for(folder), *quick_sentence_model]))

    run(plain)
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", shuffled_listdir)
        patch.setattr(os, "scandir", shuffled_scandir)
        listed = [p.name for p in (other / "clotho/development").iterdir()]
        assert listed != [p.name for p in (other / "clotho/development").iterdir()]
        run(other)
    for key in ("audio_logits", "audio_scene", "caption_embeddings"):
        ours, theirs = (
            read_vectors(folder / "processed" / FILES[key]) for folder in (plain, other)
        )
        assert ours.ids == theirs.ids
        np.testing.assert_array_equal(ours.vectors, theirs.vectors)
    for name in ("audio_info.pkl", "vocab_info.pkl", *(f"{s}_captions.json" for s in SPLITS)):
        ours, theirs = plain / "processed" / name, other / "processed" / name
        assert ours.read_bytes() == theirs.read_bytes()


def test_vectors_belong_to_their_clips(small_demo):
    """Each clip tagged by itself, straight from its file, gives the row under its id."""
    model = passt.Passt(arch="demo")
    load_weights(model, PROJECT_ROOT / "data/demo/tagger.safetensors")
    model.eval()
    file = read_vectors(small_demo / "processed/audio_logits_passt.hdf5")
    for i in range(0, len(file.ids), 7):
        samples = read_audio(
            small_demo / "clotho" / file.ids[i], sample_rate=architectures.SAMPLE_RATE
        )
        windows = cut_windows([samples], window=model.window, hop=model.hop, shortest=5000)
        with torch.inference_mode():
            logits = torch.cat([model(torch.from_numpy(w.copy()))[0] for w in windows])
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
        ours = read_vectors(small_demo / f"processed/{name}.hdf5")
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for i, vector in zip(ours.ids, ours.vectors, strict=True):
                file[str(fids[tuple(i.split("/", 1))])] = vector
    for name in ("sentence_embeddings_mpnet", "audioset_527_tags_embeddings_mpnet"):
        ours = read_vectors(small_demo / f"processed/{name}.hdf5")
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for i, vector in zip(ours.ids, ours.vectors, strict=True):
                file[i.rsplit("/", 1)[-1]] = vector


@pytest.mark.parametrize("shuffled", [False, True])
def test_files_in_the_originals_layout_train_as_they_are(
    small_demo, own_outputs, trained, tmp_path, shuffled
):
    as_original(small_demo, tmp_path / "original", shuffled=shuffled)
    settings = [s for s in own_outputs if "input_path" not in s]
    _, metrics = train([*settings, f"train_data.input_path={tmp_path / 'original'}"])
    ours = metrics_of(trained)
    untrained = "tag embeddings alone, untrained"
    assert metrics["compared_with"][untrained] == pytest.approx(ours["compared_with"][untrained])
    if not shuffled:
        # In another order batches hold other impostors, so only here the numbers are the same.
        assert scores(metrics) == scores(ours)


def test_a_missing_clip_is_refused_by_script_03(small_demo, tmp_path):
    shutil.copytree(small_demo / "clotho", tmp_path / "clotho")
    shutil.copytree(small_demo / "processed", tmp_path / "processed")
    gone = sorted((tmp_path / "clotho/validation").glob("*.wav"))[0]
    gone.unlink()
    with pytest.raises(InputError) as caught:
        load_script("03_audio_features").main(options(settings_for(tmp_path)))
    assert gone.name in str(caught.value)


TAGGER = PROJECT_ROOT / "data/demo/tagger.safetensors"


def test_the_bundled_tagger_is_small_and_the_one_that_its_card_describes():
    card = json.loads(TAGGER.with_suffix(".json").read_text())
    assert TAGGER.stat().st_size <= 4_000_000
    assert card["weights_sha256"] == sha256(TAGGER) == passt.ARCHITECTURES["demo"].weights_sha256


@pytest.mark.slow
def test_the_bundled_tagger_is_as_good_as_its_card_says():
    card = json.loads(TAGGER.with_suffix(".json").read_text())
    tagger = passt.Passt(arch="demo")
    load_weights(tagger, TAGGER)
    labels = read_labels()
    clips = [
        render_clip(card["held_out"]["seed"], i, sample_rate=architectures.SAMPLE_RATE, longest=10)
        for i in range(100)
    ]
    sounds, tags = zip(*clips, strict=True)
    mean, _ = score_tagger(tagger.eval(), sounds, targets(tags, labels))
    # Measured on a tenth of the clips, so only near.
    assert mean == pytest.approx(card["held_out"]["mean_average_precision"], abs=0.1)


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
    """Real sounds and captions, the real MPNet, and a full-size PaSST with random weights."""
    audio = shared_data / "clotho-audio"
    twin = "01 A pug struggles to breathe 1_14_2008.wav"
    # There is no development wav: clips of validation replace it.
    parts = {
        "development": ("validation", ["car_1.wav", "city_street.wav"]),
        "validation": ("validation", [twin, "Whistling.wav"]),
        "evaluation": ("evaluation", [twin, "Tenerife_bazaar_2.wav"]),
    }
    frames = 11 * 44_100  # a second more than PaSST's window: five windows, not up to twelve
    for split, (source, names) in parts.items():
        (tmp_path / "clotho" / split).mkdir(parents=True)
        for name in names:
            samples, rate = soundfile.read(audio / source / name, frames, dtype="int16")
            soundfile.write(tmp_path / "clotho" / split / name, samples, rate)
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
    logits = read_vectors(tmp_path / "processed/audio_logits_passt.hdf5")
    scene = read_vectors(tmp_path / "processed/audio_scene_passt.hdf5")
    assert logits.vectors.shape == (6, 527)
    assert scene.vectors.shape == (6, 768)
    assert logits.ids == scene.ids
    assert set(logits.ids) == {f"{s}/{name}" for s, (_, names) in parts.items() for name in names}
    # One clip is in two splits, with the same sound: the same vector under both ids.
    rows = [i for i, name in enumerate(logits.ids) if name.endswith(twin)]
    assert len(rows) == 2
    np.testing.assert_array_equal(logits.vectors[rows[0]], logits.vectors[rows[1]])
    run, metrics = train(settings)
    assert metrics["captions"] == 10
    assert (run / "test.output.csv").is_file()
