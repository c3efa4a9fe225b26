import pytest
import torch

from models.sentence_encoder import SentenceEncoder
from utils.features import weights
from utils.settings.loading import load_config


@pytest.fixture(scope="module")
def encoder(sentence_model):
    expected = load_config().sentence_model.sha256
    folder = weights.find_sentence_model(sentence_model, name="", sha256_expected=expected)
    return SentenceEncoder(folder).eval()


@torch.inference_mode()
def encode(encoder, texts):
    return encoder(encoder.tokenize(texts))


def test_the_published_example(encoder):
    vector = encode(encoder, ["This is an example sentence"])[0]
    assert vector[:3].tolist() == pytest.approx([0.0225026, -0.0782917, -0.0230307], abs=1e-6)


def test_vectors_are_unit_and_do_not_depend_on_their_batch(encoder, sentence_model):
    texts = ["rain", "A dog barks three times while rain falls on a tin roof far away.", "é?"]
    together = encode(encoder, texts)
    apart = torch.cat([encode(encoder, [text]) for text in texts])
    assert together.shape == (3, weights.sentence_dimension(sentence_model)) == (3, 768)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_meaning_is_near(encoder):
    rain, same, dog = encode(encoder, ["rain is falling", "it is raining", "a dog barks"])
    assert rain @ same > rain @ dog + 0.3


def test_a_long_text_is_truncated(encoder):
    assert len(encoder.tokenize(["word " * 5000])[0]) == 384


def test_loading_prints_nothing(sentence_model, capfd):
    SentenceEncoder(sentence_model)
    assert capfd.readouterr() == ("", "")
