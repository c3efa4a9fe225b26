import ast
import re
import socket

import pytest
from huggingface_hub import ModelCard

from utils.checkpoints.checkpoint import Checkpoint, save_checkpoint
from utils.checkpoints.model_folder import ExportedConfig
from utils.checkpoints.provenance import TrainedWith
from utils.runs.model_card import Source, model_card, sources_of
from utils.settings.config import Model
from utils.settings.loading import load_config

SCORES = {"R@1": 0.1, "R@5": 0.25, "R@10": 0.5, "mAP@10": 0.2}
METRICS = {
    "split": "evaluation",
    "captions": 5225,
    "clips": 1045,
    "scores": SCORES,
    "intervals_95": dict.fromkeys(SCORES, (0.15, 0.3)),
    "compared_with": {"chance": dict.fromkeys(SCORES, 0.01)},
    "note": None,
}


DEFAULT = Model()


def config_of(model: Model = DEFAULT, passt=None):
    used = TrainedWith.of(passt=passt)
    return ExportedConfig(
        audio_size=527,
        text_size=768,
        model=model,
        passt=used.passt,
        sentence_model=used.sentence_model,
        trained_on="clotho",
    )


def test_scores_have_intervals_and_chance_beside_them():
    card = model_card(config_of(), METRICS, [Source("clotho")])
    assert "| chance | 0.010 | 0.010 | 0.010 | 0.010 |" in card
    assert "| **this model** | 0.100 | 0.250 | 0.500 | 0.200 |" in card
    assert "0.150–0.300" in card
    assert "5225 captions of 1045 clips" in card
    assert "Synthetic" not in card


def test_the_hub_can_read_the_head_and_is_not_asked(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a card needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    written = model_card(config_of(), METRICS, [Source("clotho")])
    head = ModelCard(written).data
    assert (head.license, head.pipeline_tag, head.language) == ("other", "feature-extraction", "en")
    assert (head.datasets, head.metrics) == (["clotho"], list(SCORES))
    assert "text-to-audio-retrieval" in head.tags
    read = {result.metric_type: result.metric_value for result in head.eval_results}
    assert read == SCORES
    assert {result.dataset_split for result in head.eval_results} == {"evaluation"}
    unscored = ModelCard(model_card(config_of(), None, [Source("clotho", synthetic=True)])).data
    assert (unscored.datasets, unscored.eval_results) == (None, None)
    assert "synthetic" in unscored.tags


@pytest.mark.parametrize("metrics", [None, {"trained_on": "clotho"}])
def test_a_model_without_scores_says_so(metrics):
    assert "Not scored." in model_card(config_of(), metrics, [Source("clotho")])


def test_terms_are_those_of_the_data():
    clotho = model_card(config_of(), METRICS, [Source("clotho")])
    assert "forbids commercial use" in clotho
    assert "CC BY 4.0, Google" in clotho
    assert "K. Drossos" in clotho
    both = model_card(
        config_of(Model(audioset_info="sent_notags")), None, [Source("audiocaps"), Source("clotho")]
    )
    assert both.index("AudioCaps, train split") < both.index("Clotho v2.1")
    assert "CC BY-SA 4.0" in both
    assert "tag names (https" not in both
    plain = model_card(config_of(Model(audioset_info="none")), None, [Source(None)])
    assert "is unknown" in plain
    assert "Google" not in plain


def test_synthetic_data_is_named_as_such_and_nothing_else():
    card = model_card(config_of(), METRICS, [Source("clotho", synthetic=True)])
    assert "**Synthetic sounds.**" in card
    assert "Synthetic sounds with captions, in the layout of Clotho" in card
    assert "zenodo" not in card
    assert "K. Drossos" not in card


def test_the_networks_are_named_or_unknown():
    passt = {
        **{"model": "passt_20sec", "weights_sha256": "a" * 64, "precision": "bf16"},
        **{"sample_rate": 32000, "window_seconds": 20, "hop_seconds": 2.5},
    }
    card = model_card(config_of(passt=passt), None, [Source("clotho")])
    assert f"`passt_20sec`, weights with SHA-256 `{'a' * 64}`, mono at 32000 Hz" in card
    assert "windows of 20 s every 2.5 s" in card
    assert "of a model that was not recorded" in card
    assert "original system's layout" in model_card(config_of(), None, [Source("clotho")])


@pytest.mark.parametrize("info", ["tags", "none"])
def test_the_code_in_the_card_is_python(info):
    card = model_card(config_of(Model(audioset_info=info)), None, [Source("clotho")])
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    ast.parse(code)
    assert ("embed_tags" in code) == (info == "tags")


def test_what_came_before_is_a_source_too(tmp_path):
    start = tmp_path / "checkpoint_best.pt"
    settings = [f"training.init_checkpoint={start}", f"train_data.dataset_path={tmp_path}"]
    config = load_config(overrides=[*settings, f"audiocaps.dataset_path={tmp_path / 'synthetic'}"])
    assert sources_of(config, "clotho") == [Source(None), Source("clotho")]
    save_checkpoint(start, Checkpoint(load_config(), trained_on="audiocaps"))
    assert sources_of(config, "clotho") == [Source("audiocaps"), Source("clotho")]
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic/demo_set.json").touch()
    assert sources_of(config, "clotho")[0] == Source("audiocaps", synthetic=True)
    assert len(sources_of(load_config(), "clotho")) == 1
