from pathlib import Path

import pytest

from utils.checkpoints.provenance import TrainedWith
from utils.runtime.errors import InputError

PASST = {
    "model": "demo",
    "weights_sha256": "a" * 64,
    "precision": "bf16",
    "sample_rate": 32000,
    "window_seconds": 10.0,
    "hop_seconds": 2.5,
}
SENTENCES = {"model": "mpnet", "weights_sha256": "b" * 64, "precision": "fp32", "what": "texts"}
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
def test_the_same_networks_and_what_is_not_told_are_accepted(given):
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


def test_plain_values_are_read_back():
    assert TrainedWith.from_plain(USED.to_plain(), MODEL) == USED
    assert TrainedWith.from_plain({}, MODEL) == TrainedWith.of()


@pytest.mark.parametrize(
    "values", [[], {"passt": 3}, {"passt": {"weights": "a"}}, {"passt": {"sample_rate": "fast"}}]
)
def test_other_values_are_refused(values):
    with pytest.raises(InputError, match=r"best\.pt does not say which networks"):
        TrainedWith.from_plain(values, MODEL)
