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


def test_names_of_special_tokens_are_text(encoder):
    for name in ("<mask>", "<s>", "</s>", "<pad>", "<unk>", "[UNK]"):
        (ids,) = encoder.tokenize([f"rain {name} wind"])
        assert set(ids[1:-1]).isdisjoint(encoder.tokenizer.all_special_ids), name
        assert encoder.read([name])[0].has_words


@pytest.mark.parametrize(
    ("text", "has_words", "unread"),
    [
        ("Rain, on a café's roof!", True, ()),
        ("雷雨声", False, ("雷雨声",)),
        ("狗叫 and thunder 🐕, dog🐕", True, ("狗叫", "🐕", "dog🐕")),
        ("🐕 🐈", False, ("🐕", "🐈")),
        (".", False, ()),
        ("…!?", False, ()),
        ("\u200b", False, ()),
        ("e\u0301cole \u200d", True, ()),
        ("a" * 101, False, ("a" * 101,)),
    ],
)
def test_what_is_not_read_of_a_text_is_named(encoder, text, has_words, unread):
    (reading,) = encoder.read([text])
    assert (reading.has_words, reading.unread) == (has_words, unread)


def test_a_text_is_read_up_to_the_last_piece_that_fits(encoder):
    fits, too_long, late = encoder.read(["word " * 382, "word " * 383, "." * 382 + " rain"])
    assert (fits.pieces, fits.most) == (382, 382)
    assert (too_long.pieces, too_long.most) == (383, 382)
    assert (late.has_words, late.pieces) == (False, 383)
    ids = encoder.tokenize(["word " * 382, "word " * 383])
    assert ids[0] == ids[1]


def test_captions_of_clotho_are_tokenized_as_ever(encoder, shared_data):
    from utils.datasets.clotho import read_captions_csv
    from utils.datasets.splits import SPLITS

    texts = [
        caption
        for split in SPLITS
        for captions in read_captions_csv(
            shared_data / f"clotho/clotho_captions_{split}.csv"
        ).values()
        for caption in captions
    ]
    assert len(texts) == 29_645
    usual = encoder.tokenizer(texts, truncation=True, max_length=384, split_special_tokens=False)
    assert encoder.tokenize(texts) == usual["input_ids"]
    for text, reading in zip(texts, encoder.read(texts), strict=True):
        assert reading.has_words, text
        assert reading.unread == (), text
        assert reading.pieces <= reading.most, text


def test_loading_prints_nothing(sentence_model, capfd):
    SentenceEncoder(sentence_model)
    assert capfd.readouterr() == ("", "")
