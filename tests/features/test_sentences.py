from collections import namedtuple

import numpy as np
import torch

from tests.support import DEMO_CONFIG
from utils.features import sentences
from utils.features.vector_file import read_vectors, write_vectors
from utils.runtime import terminal
from utils.settings.loading import load_config

Reading = namedtuple("Reading", "has_words unread pieces most")


class Encoder:
    """A stand-in whose vectors depend on the other texts of a batch, as real ones do slightly."""

    def tokenize(self, texts):
        return [[0] * len(text) for text in texts]

    def read(self, texts):
        return [Reading("a" in text, (), len(text), 6) for text in texts]

    def __call__(self, batch):
        company = sum(map(len, batch))
        return torch.tensor([[float(len(tokens)), float(company)] for tokens in batch])


def test_texts_are_batched_by_length_and_all_come():
    texts = ["x" * n for n in (5, 1, 9, 2, 7)]
    units, batches = sentences.text_work(Encoder(), texts, torch.device("cpu"), "fp32", 2)
    assert units == [[1, 3], [0, 4], [2]]
    found = {tuple(unit): rows.tolist() for unit, rows in batches([units[2], units[0]])}
    assert found == {(2,): [[9, 9]], (1, 3): [[1, 3], [2, 3]]}


def test_texts_that_are_not_read_in_full_are_reported(capsys):
    readings = [
        Reading(True, (), 5, 6),
        Reading(True, ("雨", "🐕"), 6, 6),
        Reading(False, (), 0, 6),
        Reading(True, (), 7, 6),
    ]
    summary = terminal.Summary()
    sentences.report_unread("abcd", readings, unit="captions", summary=summary)
    assert capsys.readouterr().out == (
        "longer than 6 word pieces, and cut there (captions):\n  - d (7)\n"
        "not read by the sentence model (captions):\n  - b '雨', '🐕'\n  - c no word of it\n"
    )
    sentences.report_unread("a", readings[:1], unit="captions", summary=summary)
    assert capsys.readouterr().out == ""


def test_a_vector_does_not_depend_on_what_else_is_missing(tmp_path, monkeypatch, capsys):
    texts = [letter * n for letter in "ab" for n in range(1, 8)]
    ids = [str(i) for i in range(len(texts))]
    monkeypatch.setattr(sentences.weights, "find_sentence_model", lambda *_, **__: tmp_path)
    monkeypatch.setattr(sentences.weights, "sentence_dimension", lambda folder: 2)
    monkeypatch.setattr(sentences.weights, "load_sentence_model", lambda folder: Encoder())
    monkeypatch.setattr(sentences, "for_inference", lambda encoder, *_: encoder)
    config = load_config(DEMO_CONFIG, ["sentence_model.batch_size=4", "training.device=cpu"])

    def embedded(path):
        summary = terminal.Summary()
        sentences.embed(path, ids, texts, what="x", unit="texts", config=config, summary=summary)
        return read_vectors(path)

    whole = embedded(tmp_path / "whole.hdf5")
    printed = capsys.readouterr().out
    assert "  - 6 (7)\n  - 13 (7)\n" in printed
    assert printed.count("no word of it") == 7
    assert len(set(whole.vectors[:, 1])) > 1
    np.testing.assert_array_equal(whole.vectors, sentences.TextEncoder(config)(texts))
    kept = [0, 3, 4, 9, 13]
    write_vectors(
        tmp_path / "part.hdf5",
        [ids[i] for i in kept],
        whole.vectors[kept],
        attributes=whole.fixed_attributes,
        columns={"texts": [texts[i] for i in kept]},
    )
    np.testing.assert_array_equal(embedded(tmp_path / "part.hdf5").vectors, whole.vectors)
