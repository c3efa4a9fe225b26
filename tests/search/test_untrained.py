import numpy as np
import pytest

from tests.support import DEMO_CONFIG, unit
from utils.search import embedder, untrained
from utils.settings.config import DEFAULT_CONFIG
from utils.settings.loading import load_config

OFFICIAL = "passt_s_swa_p16_128_ap476"


@pytest.fixture(autouse=True)
def no_sentence_model(monkeypatch):
    """Sentence vectors that are drawn instead of computed."""

    def text_encoder(config):
        return lambda texts: unit(np.random.default_rng(0), len(texts), 12)

    monkeypatch.setattr(untrained, "text_encoder", text_encoder)


@pytest.mark.parametrize(
    ("settings", "overrides", "arch"),
    [
        (None, [], OFFICIAL),
        (None, ["passt.arch=passt_20sec"], "passt_20sec"),
        (None, ["passt.arch=demo"], "demo"),
        (None, ["passt.weights=mine.pt"], "demo"),
        (DEMO_CONFIG, [], "demo"),
        (DEMO_CONFIG, [f"passt.arch={OFFICIAL}"], OFFICIAL),
    ],
)
def test_real_sounds_are_not_tagged_by_the_demos_tagger_unless_it_is_asked_for(
    settings, overrides, arch
):
    model, here = embedder.read_model("tags", settings, overrides)
    assert model.config.passt.arch == arch
    assert here == load_config(settings or DEFAULT_CONFIG, overrides)
    note = untrained.note_on_demo(model)
    assert note.endswith(f"--set passt.arch={OFFICIAL}.") if arch == "demo" else not note
    assert model.network.encode_text(model.network.tag_table).shape == (527, 12 + 527)
