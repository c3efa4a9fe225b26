from pathlib import Path

import pytest

from tests.checkpoints.test_model_folder import PASST, SENTENCES
from utils.checkpoints.provenance import TrainedWith
from utils.runtime.errors import InputError

USED = TrainedWith.of(passt=PASST, sentence_model=SENTENCES)
MODEL = Path("best.pt")


@pytest.mark.parametrize(
    "given",
    [
        USED,
        TrainedWith.of(),
        TrainedWith.of(
            passt=PASST | {"precision": "fp32"},
            sentence_model=SENTENCES | {"model": "another name", "precision": "bf16"},
        ),
    ],
)
def test_the_same_networks_and_what_is_not_recorded_are_accepted(given):
    USED.require(given, model=MODEL, source="here")
    TrainedWith.of().require(given, model=MODEL, source="here")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "passt_20sec"),
        ("weights_sha256", "c" * 64),
        ("sample_rate", 16000),
        ("window_seconds", 20.0),
        ("hop_seconds", 5.0),
    ],
)
def test_another_passt_is_refused(name, value):
    with pytest.raises(InputError) as caught:
        USED.require(TrainedWith.of(passt=PASST | {name: value}), model=MODEL, source="x.hdf5")
    assert "x.hdf5 does not go with the model best.pt" in str(caught.value)
    assert f"PaSST: {name} is {value!r}, the model needs {PASST[name]!r}" in str(caught.value)


def test_another_sentence_model_is_refused():
    other = TrainedWith.of(sentence_model=SENTENCES | {"weights_sha256": "d" * 64})
    with pytest.raises(InputError, match=r"sentence model: weights_sha256 is 'ddd.*needs 'bbb"):
        USED.require(other, model=MODEL, source="conf.yaml")
