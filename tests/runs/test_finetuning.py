"""Fine-tuning from the command line, and what can be done with the result."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support import load_script, options, run_pipeline, runs_in, settings_for, train
from utils.checkpoints.checkpoint import load_checkpoint
from utils.files.reading import sha256
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.search.searcher import Searcher

DEMO = PROJECT_ROOT / "data/demo/conf.yaml"

QUICK = [
    "finetuning.epochs=2",
    "finetuning.captions=one",
    "finetuning.batch_size=10",
    "finetuning.accumulate=2",
    "finetuning.windows=1",
    "finetuning.patchout_time=20",
    "finetuning.ema_decay=0.5",
    "finetuning.workers=0",
]


def finetune(settings: list[str], *arguments: object) -> Path:
    """Run main.py finetune in this process; returns the newest run folder."""
    load_script("main").main(["finetune", *map(str, arguments), *options(settings)])
    (output,) = {s.partition("=")[2] for s in settings if s.startswith("output_path=")}
    return max(Path(output).rglob("*_finetuned*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def start(small_demo, quick_sentence_model, tmp_path_factory) -> tuple[Path, list[str]]:
    """A run with a sentence model of one layer, and its settings."""
    folder = tmp_path_factory.mktemp("start")
    for name in ("clotho", "processed"):
        shutil.copytree(small_demo / name, folder / name)
    settings = [*settings_for(folder), *quick_sentence_model]
    run_pipeline(settings)
    run, _ = train(settings)
    return run / "checkpoint_best.safetensors", settings


@pytest.fixture(scope="module")
def finetuned(start) -> Path:
    checkpoint, settings = start
    return finetune([*settings, *QUICK], "--checkpoint", checkpoint)


def history(run: Path) -> list[list[str]]:
    """The rows of history.csv, without the seconds."""
    return [line.split(",")[:-1] for line in (run / "history.csv").read_text().splitlines()]


@pytest.mark.slow
def test_all_networks_are_changed_and_a_model_comes_out(start, finetuned):
    checkpoint = load_checkpoint(finetuned / "checkpoint_best.safetensors")
    config = checkpoint.settings
    assert config.passt.weights == finetuned / "passt.safetensors"
    assert config.sentence_model.path == finetuned / "sentence_model"
    assert config.sentence_model.sha256 == sha256(finetuned / "sentence_model/model.safetensors")
    assert checkpoint.trained_with.passt.weights_sha256 == sha256(config.passt.weights)
    before = load_checkpoint(start[0])
    assert before.trained_with.passt.weights_sha256 != sha256(config.passt.weights)
    for name in ("audio_projection.weight", "audio_norm.weight"):
        assert not torch.equal(checkpoint.weights[name], before.weights[name])
    torch.testing.assert_close(checkpoint.weights["tag_table"], before.weights["tag_table"])
    metrics = json.loads((finetuned / "metrics.json").read_text())
    assert len(history(finetuned)) == 3
    assert metrics["scores"]["mAP@10"] > 0.2
    assert (finetuned / "report.html").exists()


@pytest.mark.slow
def test_the_vectors_of_a_run_give_the_scores_of_its_training(finetuned):
    """Validation embeds windows beside each other, and the vectors of files overlap, if any."""
    metrics = json.loads((finetuned / "metrics.json").read_text())
    load_script("main").main(
        [
            "evaluate",
            "--checkpoint",
            str(finetuned / "checkpoint_best.safetensors"),
            "--split",
            "validation",
        ]
    )
    assert metrics["best_epoch"] in (1, 2)


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_weights(start, finetuned, monkeypatch):
    from utils.finetuning.system import FineTuning

    checkpoint, settings = start
    real, steps = FineTuning.training_step, []

    def stop_in_epoch_2(self, batch, batch_idx):
        steps.append(self.trainer.current_epoch)
        if self.trainer.current_epoch == 1:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    outputs = checkpoint.parents[3] / "resumed"
    changed = [*settings, *QUICK, f"output_path={outputs}"]
    changed = [s for s in changed if not s.startswith("output_path=") or str(outputs) in s]
    monkeypatch.setattr(FineTuning, "training_step", stop_in_epoch_2)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        finetune(changed, "--checkpoint", checkpoint)
    assert steps[-1] == 1
    monkeypatch.setattr(FineTuning, "training_step", real)
    run = finetune(changed, "--checkpoint", checkpoint)
    assert len(list(run.parent.glob("*_finetuned*"))) == 1
    assert history(run) == history(finetuned)
    for name in ("passt.safetensors", "sentence_model/model.safetensors"):
        one, other = load_file(run / name), load_file(finetuned / name)
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)


@pytest.mark.slow
def test_vectors_of_other_networks_are_refused(start, finetuned):
    _, settings = start
    data = [s for s in settings if s.startswith("train_data")]
    own = load_checkpoint(finetuned / "checkpoint_best.safetensors").settings.train_data
    others = [f"train_data.audio_logits={own.input_path / 'audio_logits_passt.hdf5'}"]
    with pytest.raises(InputError, match="weights_sha256"):
        load_script("main").main(
            [
                "evaluate",
                "--checkpoint",
                str(finetuned / "checkpoint_best.safetensors"),
                *(part for s in [*data, *others] for part in ("--set", s)),
            ]
        )


@pytest.mark.slow
def test_a_run_learns_from_others_with_the_sentence_model_as_it_is(start, finetuned):
    checkpoint, settings = start
    quick = [*QUICK, "finetuning.text_layers=0", "finetuning.epochs=1", "seed=2"]
    run = finetune(
        [*settings, *quick],
        "--checkpoint",
        checkpoint,
        "--distill-from",
        checkpoint,
        finetuned / "checkpoint_best.safetensors",
    )
    assert not (run / "sentence_model").exists()
    assert json.loads((run / "metrics.json").read_text())["scores"]["mAP@10"] > 0.2
    assert len(runs_in(settings)) >= 3


@pytest.mark.slow
def test_an_exported_folder_has_the_networks_and_works_alone(finetuned, small_demo, tmp_path):
    folder = tmp_path / "model"
    checkpoint = finetuned / "checkpoint_best.safetensors"
    main = load_script("main").main
    main(["export", "--checkpoint", str(checkpoint), "--output", str(folder)])
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"passt.safetensors", "sentence_model/model.safetensors"} < names
    assert (
        "PaSST and the sentence model were trained together" in (folder / "README.md").read_text()
    )
    for path in ("passt.safetensors", "sentence_model/model.safetensors"):
        assert sha256(folder / path) == sha256(finetuned / path)
    sounds = small_demo / "clotho/evaluation"
    found = []
    for model in (folder, finetuned):
        searcher = Searcher.open(model, sounds, config=DEMO, index=tmp_path / model.name)
        found.append([(h.paths, h.score) for h in searcher.search("a dog barks", moments=0)])
    assert found[0] == found[1]
    # With another sentence model it is refused, whatever the settings say.
    (folder / "sentence_model/vocab.txt").write_text("other")
    with pytest.raises(InputError, match=r"sentence_model/vocab.txt was changed"):
        Searcher.open(folder, sounds, config=DEMO, index=tmp_path / "other")
