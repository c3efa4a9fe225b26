import subprocess

import pytest
import torch

from tests.checkpoints.test_model_folder import make_model, write
from tests.support import load_script
from utils.checkpoints import exporting
from utils.checkpoints.checkpoint import load_checkpoint
from utils.checkpoints.model_folder import load_exported
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.splits import load_captions
from utils.evaluation.ranking import rank_clips
from utils.features.vector_file import read_vectors
from utils.runtime.errors import InputError
from utils.settings.config import Model


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, make_model())  # an empty one will do
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"model is not empty.*--output"):
        write(folder, make_model())
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not empty"):
        write(tmp_path / "file", make_model())


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    real, written = exporting.atomic_write, []

    def full(path, *arguments):
        written.append(path)
        if len(written) == 3:
            raise InputError("cannot write: no space left")
        return real(path, *arguments)

    monkeypatch.setattr(exporting, "atomic_write", full)
    with pytest.raises(InputError, match="no space left"):
        write(tmp_path / "model", make_model())
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_another_is_not_written(tmp_path):
    with pytest.raises(
        InputError, match=r"does not fit its settings:\n  - text_projection\.weight"
    ):
        write(tmp_path / "model", make_model(), Model(text_projection=True))
    assert list(tmp_path.iterdir()) == []


def test_equal_models_give_equal_folders(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, make_model())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The folder of an exported model, and the run that it came from."""
    folder = tmp_path_factory.mktemp("export") / "model"
    main = load_script("main").main
    main(["export", "--checkpoint", str(trained), "--output", str(folder)])
    return folder, trained.parent


def test_an_exported_run_has_its_weights_and_scores_as_before(exported, small_demo):
    folder, run = exported
    kept = load_exported(folder)
    state = load_checkpoint(run / "checkpoint_best.safetensors").weights
    assert kept.state.keys() == state.keys()
    assert all(torch.equal(state[name], kept.state[name]) for name in state)
    model = kept.build()
    processed = small_demo / "processed"
    logits, texts = (
        read_vectors(processed / f"{name}.hdf5")
        for name in ("audio_logits_passt", "sentence_embeddings_mpnet")
    )
    used = TrainedWith.of(passt=logits.attributes, sentence_model=texts.attributes)
    assert kept.config.trained_with == used
    split = load_captions(processed, "evaluation")

    def rows(file, ids):
        return torch.from_numpy(file.vectors[[file.ids.index(i) for i in ids]])

    with torch.no_grad():
        features = rows(logits, split.audio_ids)
        audio = model.encode_audio(features, model.embed_tags(features))
        text = model.encode_text(rows(texts, split.caption_ids))
    ranks = rank_clips(audio, text, torch.from_numpy(split.clip_of_caption)).tolist()
    listed = [int(line.split(",")[1]) for line in (run / "test.ranks.csv").read_text().split()[1:]]
    assert ranks == listed


def test_the_sums_are_those_that_sha256sum_checks(exported):
    folder, _ = exported
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count(": OK") == 6


def test_the_card_is_filled_in(exported):
    folder, _ = exported
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in (
        "**Synthetic sounds.**",
        "50 captions of 10 clips",
        "| **this model** |",
        "`demo`",
    ):
        assert part in card


def test_the_command_refuses_before_it_reads(tmp_path, exported):
    folder, _ = exported
    arguments = ["export", "--checkpoint", str(tmp_path / "gone.pt"), "--output"]
    with pytest.raises(InputError, match="is not empty"):
        load_script("main").main([*arguments, str(folder)])
    with pytest.raises(InputError, match=r"no checkpoint .*gone\.pt"):
        load_script("main").main([*arguments, str(tmp_path / "new")])


def test_a_model_is_exported_as_it_was_trained(trained, tmp_path):
    arguments = ["export", "--checkpoint", str(trained), "--output", str(tmp_path / "new")]
    with pytest.raises(InputError, match=r"trained with other settings: model\.ratio_embed1: 0\.1"):
        load_script("main").main([*arguments, "--set", "model.ratio_embed1=0.1"])
    assert not (tmp_path / "new").exists()
