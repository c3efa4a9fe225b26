import dataclasses
import hashlib
import json

import pytest
import safetensors.torch
import torch

from models.dual_encoder import DualEncoder
from utils.checkpoints.exporting import export_model
from utils.checkpoints.model_folder import load_exported
from utils.checkpoints.provenance import TrainedWith
from utils.checkpoints.trained_model import TrainedModel
from utils.datasets.audioset import read_labels
from utils.runtime.errors import InputError
from utils.settings.config import Model
from utils.settings.loading import load_config

PASST = {
    "what": "AudioSet logits of clips, mean over windows",
    "model": "demo",
    "weights_sha256": "a" * 64,
    "precision": "bf16",
    "sample_rate": 32000,
    "window_seconds": 10,
    "hop_seconds": 2.5,
}
SENTENCES = {"model": "mpnet", "weights_sha256": "b" * 64, "precision": "fp32"}


DEFAULT = Model()


def make_model(settings: Model = DEFAULT, *, audio_size: int = 12, text_size: int = 8):
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(527, text_size, generator=generator)
    return DualEncoder(
        audio_size=audio_size,
        text_size=text_size,
        tag_table=None if settings.audioset_info == "none" else table,
        ratio=settings.ratio_embed1,
        text_projection=settings.text_projection,
        generator=generator,
    )


def write(folder, model, settings: Model = DEFAULT):
    config = dataclasses.replace(load_config(), model=settings)
    used = TrainedWith.of(passt=PASST, sentence_model=SENTENCES)
    export_model(folder, TrainedModel(model, config, folder, used, "clotho"), card="# card\n")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "model", make_model())
    return tmp_path / "model"


def renew_sums(folder):
    """Write SHA256SUMS as someone would who changed a file on purpose."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def change_config(folder, **changes):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))
    renew_sums(folder)


@pytest.mark.parametrize(
    "settings",
    [
        Model(),
        Model(audioset_info="none"),
        Model(ratio_embed1=0.35, text_projection=True, audio_features="both"),
    ],
)
def test_a_model_comes_back_exactly(tmp_path, settings):
    model = make_model(settings).eval()
    write(tmp_path / "model", model, settings)
    exported = load_exported(tmp_path / "model")
    again = exported.build()
    assert not again.training
    assert exported.config.model == settings
    assert exported.tags == read_labels()
    generator = torch.Generator().manual_seed(2)
    features, logits = (torch.randn(5, n, generator=generator) for n in (12, 527))
    sentences = torch.randn(7, 8, generator=generator)
    with torch.no_grad():
        tags = model.embed_tags(logits), again.embed_tags(logits)
        audio = model.encode_audio(features, tags[0]), again.encode_audio(features, tags[1])
        text = model.encode_text(sentences), again.encode_text(sentences)
    assert torch.equal(*audio)
    assert torch.equal(*text)


def test_how_it_was_trained_comes_back_too(folder):
    config = load_exported(folder).config
    assert config.passt.weights_sha256 == "a" * 64
    assert (config.passt.window_seconds, config.passt.hop_seconds) == (10, 2.5)
    assert config.sentence_model.precision == "fp32"
    assert config.trained_on == "clotho"


def test_every_changed_byte_and_every_missing_file_is_found(folder):
    files = set(folder.iterdir()) - {folder / "SHA256SUMS"}
    assert len(files) == 6
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        changed = rf"not as it was exported:\n  - {path.name} was changed"
        with pytest.raises(InputError, match=changed):
            load_exported(folder)
        path.unlink()
        with pytest.raises(InputError, match=rf"  - {path.name} is missing"):
            load_exported(folder)
        path.write_bytes(content)


def test_an_added_file_is_refused_but_not_what_systems_leave(folder):
    (folder / ".DS_Store").touch()
    (folder / ".git").mkdir()
    load_exported(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is not listed in SHA256SUMS"):
        load_exported(folder)
    (folder / ".DS_Store").unlink()
    (folder / ".git").rmdir()
    renew_sums(folder)
    with pytest.raises(InputError, match=r"does not hold the files of a model \(pytorch_model"):
        load_exported(folder)


def test_another_folder_is_not_a_model(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError, match=r"is not a model folder: it has no SHA256SUMS"):
            load_exported(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".hidden", ""])
def test_sums_can_name_nothing_outside_the_folder(folder, name):
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(InputError, match=r"SHA256SUMS, line 7: .* is not a sum and a file name"):
        load_exported(folder)


@pytest.mark.parametrize("found", [3, 0, "1", None, True])
def test_another_version_is_refused(folder, found):
    change_config(folder, format=found)
    with pytest.raises(InputError, match=rf"of format {found!r}, and this"):
        load_exported(folder)


def test_a_folder_that_should_have_networks_is_refused_without_them(folder):
    change_config(folder, format=2)
    with pytest.raises(
        InputError, match=r"the files of a model \(passt.safetensors, sentence_model"
    ):
        load_exported(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_size": "many"}, "audio_size: 'many' should be a valid integer"),
        ({"audio_size": 0}, "audio_size: 0 should be greater than or equal to 1"),
        ({"extra": 1, "passt": {"x": 1}}, r"(?s)passt\.x: unknown key.*extra: unknown key"),
        ({"model": {"audio_features": "logits"}}, "a setting is missing"),
        ({"audio_size": 13}, r"audio_norm\.weight is .* of shape \(12,\), not .*\(13,\)"),
        ({"text_size": 9}, r"tag_table is torch\.float32 of shape \(527, 8\)"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, changes, message):
    change_config(folder, **changes)
    with pytest.raises(InputError, match=message):
        load_exported(folder)


def test_weights_that_do_not_fit_are_refused(folder):
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    for changed, message in (
        ({"audio_norm.bias": state["audio_norm.bias"].double()}, r"audio_norm\.bias is .*float64"),
        ({"audio_norm.bias": torch.full((12,), torch.nan)}, r"audio_norm\.bias holds NaN"),
        ({"tag_bias": torch.ones(2)}, "tag_bias is unknown"),
    ):
        safetensors.torch.save_file(state | changed, path)
        renew_sums(folder)
        with pytest.raises(InputError, match=message):
            load_exported(folder)
    state.pop("audio_norm.bias")
    safetensors.torch.save_file(state, path)
    renew_sums(folder)
    with pytest.raises(InputError, match=r"audio_norm\.bias is missing"):
        load_exported(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x80\x04junk", r"model\.safetensors is not a safetensors file"),
        ("config.json", b"{", r"config\.json is not valid JSON"),
        ("audioset_tags.json", b'["Speech"]', r"is not a list of 527 names"),
        ("audioset_tags.json", b"3", r"is not a list of 527 names"),
    ],
)
def test_files_of_another_kind_are_refused(folder, name, content, message):
    (folder / name).write_bytes(content)
    renew_sums(folder)
    with pytest.raises(InputError, match=message):
        load_exported(folder)
