"""A project that is moved or copied, with its trained runs."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.support import load_script, options, runs_in, scores, settings_for, train
from utils.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from utils.checkpoints.trained_model import open_model
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings.loading import load_config

MPNET = PROJECT_ROOT / "data/all-mpnet-base-v2"


def with_model(project):
    """Settings whose sentence model is a folder of the project too."""
    return [*settings_for(project), f"sentence_model.path={project / 'mpnet'}"]


@pytest.fixture(scope="module")
def moved(small_demo, tmp_path_factory):
    """A project with a finished run that was moved after it was trained: its new place."""
    old = tmp_path_factory.mktemp("moved") / "old"
    for folder in ("clotho", "processed"):
        shutil.copytree(small_demo / folder, old / folder)
    (old / "mpnet").symlink_to(MPNET)
    train(with_model(old))
    return old.rename(old.with_name("new"))


@pytest.fixture
def project(moved, tmp_path):
    """A copy of that project, to change."""
    return shutil.copytree(moved, tmp_path / "copy", symlinks=True)


def run_of(project):
    (run,) = (project / "outputs/demo").iterdir()
    return run


def test_a_search_after_a_move_keeps_everything_in_the_new_place(moved, capsys):
    arguments = ["rain", "--json", "--audio", str(moved / "clotho/evaluation")]
    load_script("07_search").main([*options(with_model(moved)), *arguments])
    assert len(json.loads(capsys.readouterr().out)["hits"]) == 10
    assert (moved / "outputs/indexes").is_dir()
    assert [path.name for path in moved.parent.iterdir()] == ["new"]


def test_a_copy_is_searched_without_touching_the_original(project, trained):
    here = load_config(overrides=[f"output_path={project / 'outputs'}", "training.device=cpu"])
    stored = load_checkpoint(trained)
    gone = replace(stored.settings.training, device="cuda:7")
    other = replace(stored, settings=replace(stored.settings, training=gone, precision="bf16"))
    path = project / "checkpoint.safetensors"
    save_checkpoint(path, other)
    config = open_model(path, here=here).config
    assert config == replace(here, model=stored.settings.model)
    assert config.output_path != stored.settings.output_path


def test_weights_and_sentence_model_of_the_training_are_used_where_they_are_not_set(
    project, trained
):
    stored = load_checkpoint(trained)
    weights = project / "mine.safetensors"
    weights.touch()
    mine = replace(stored.settings.passt, weights=weights)
    text = replace(stored.settings.sentence_model, path=project, sha256="f" * 64, batch_size=7)
    path = project / "checkpoint.safetensors"
    settings = replace(stored.settings, passt=mine, sentence_model=text)
    save_checkpoint(path, replace(stored, settings=settings))
    here = load_config(overrides=["passt.batch_size=3"])
    config = open_model(path, here=here).config
    assert config.passt == replace(mine, batch_size=3)
    assert config.sentence_model == replace(text, batch_size=here.sentence_model.batch_size)
    elsewhere = load_config(overrides=[f"passt.weights={project / 'other.safetensors'}"])
    assert open_model(path, here=elsewhere).config.passt.weights == weights
    weights.unlink()
    assert open_model(path, here=elsewhere).config.passt.weights == elsewhere.passt.weights
    assert open_model(path, here=here).config.passt.weights is None


def test_a_search_does_not_take_the_model_for_another(trained):
    for setting in ("passt.arch=passt_20sec", "model.ratio_embed1=0.1"):
        here = load_config(overrides=[setting])
        with pytest.raises(InputError, match=rf"other settings: {setting.split('=')[0]}"):
            open_model(trained, here=here, overrides=[setting])


def test_a_moved_run_is_evaluated_reported_and_exported(project, capsys):
    run, main = run_of(project), load_script("main").main
    metrics = json.loads((run / "metrics.json").read_text())
    checkpoint = ["--checkpoint", str(run / "checkpoint_best.safetensors")]
    main(["evaluate", *checkpoint])
    assert f"{metrics['scores']['mAP@10']:.3f}" in capsys.readouterr().out
    main(["report", str(run)])
    assert str(project) in capsys.readouterr().out
    main(["export", *checkpoint, "--output", str(project / "model")])
    card = (project / "model/README.md").read_text(encoding="utf-8")
    assert "**Synthetic sounds.**" in card


def test_an_interrupted_run_is_resumed_after_a_move(project, capsys):
    run = run_of(project)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").unlink()
    resumed, again = train(with_model(project))
    assert resumed == run
    assert "interrupted after epoch 2" in capsys.readouterr().out
    assert runs_in(with_model(project)) == [run]
    assert scores(again) == scores(metrics)


def test_a_moved_run_is_resumed_by_its_folder(project):
    run = run_of(project)
    arguments = ["--resume", str(run), "--set", "training.epochs=3"]
    load_script("main").main(["train", *arguments])
    assert len((run / "history.csv").read_text().splitlines()) == 4
    assert load_config(run / "conf.yaml").train_data.input_path == project / "processed"


def test_a_moved_sweep_is_resumed(project):
    main = load_script("main").main
    vary = ["--vary", "training.margin=0.2,0.4", "--seeds", "1"]
    main(["sweep", *options(with_model(project)), *vary])
    new = project.rename(project.with_name("elsewhere"))
    (folder,) = (new / "outputs/demo").glob("*_sweep")
    runs = sorted((folder / "runs").iterdir())
    (runs[0] / "metrics.json").unlink()
    weights = runs[1] / "checkpoint_best.safetensors"
    before = weights.stat().st_mtime_ns
    main(["sweep", "--resume", str(folder)])
    assert sorted((folder / "runs").iterdir()) == runs
    assert (runs[0] / "metrics.json").is_file()
    assert weights.stat().st_mtime_ns == before
    assert not project.exists()
