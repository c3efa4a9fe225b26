import json

import pytest
import torch
from torch.nn import functional as F

from tests.support import load_script, options
from utils.benchmark import network_stages, reference, search_stages, training_stages
from utils.benchmark.timing import once
from utils.evaluation.evaluate import evaluate


def measure(folder, *stages):
    """Run the real components at small sizes; the times mean nothing here."""
    arguments = ["--small", "--stages", *stages, *options([f"output_path={folder}"])]
    with pytest.MonkeyPatch.context() as patch:
        for module in (network_stages, search_stages, training_stages):
            patch.setattr(module, "seconds", once)
        load_script("benchmark").main(arguments)
    return json.loads((folder / "benchmark.json").read_text())


def test_every_measured_stage_is_written(tmp_path, capsys, monkeypatch):
    fewer = {name: count // 4 for name, count in training_stages.CLOTHO.items()}
    monkeypatch.setattr(training_stages, "CLOTHO", fewer)
    rows = measure(tmp_path, "ranking", "training", "agreement")
    assert [row["stage"] for row in rows] == [
        "ranks and metrics",
        "training pass",
        "pass and validation",
        "the original's epoch",
        "main.py, to the test scores",
        "scores after 3 epochs",
    ]
    for row in rows:
        assert row["ours"] > 0
        assert row["ratio"] == pytest.approx(row["reference"] / row["ours"])
    run = next(row for row in rows if row["stage"].startswith("main.py"))
    assert run["ours_mb"] is None or 100 < run["ours_mb"] < 5000
    assert f"measured {len(rows)} rows" in capsys.readouterr().out


@pytest.mark.slow
def test_the_networks_are_measured(tmp_path, sentence_model):
    rows = measure(tmp_path, "mpnet", "passt", "cells", "extraction", "million")
    names = {row["stage"].split(",")[0] for row in rows}
    assert names == {
        "MPNet",
        "PaSST",
        "PaSST with cells",
        "wavs to logits",
        "exact",
        "approximate",
    }


def test_search_is_measured_on_any_vectors(tmp_path):
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(3000, 16, generator=generator), dim=-1).numpy()
    rows = search_stages.search_rows(vectors, vectors[:20], vectors[20:60], folder=tmp_path)
    assert [row.stage for row in rows] == [
        "exact, one query",
        "exact, 20 at once",
        "approximate, one query",
        "approximate, 20 at once",
    ]
    assert all(row.unit == "query of 3e+03" and row.ours > 0 < row.reference for row in rows)
    size = (tmp_path / "index").stat().st_size
    assert f"{size / 1e6:.0f} MB" in rows[2].note
    assert "% of the ten best" in rows[2].note


@pytest.fixture
def split():
    """Clips with five captions each, and an untrained model for them."""
    splits, table = training_stages.learnable_splits(torch.device("cpu"), small=True)
    trainer = training_stages.new_trainer(table, torch.device("cpu"), seed=3)
    return splits["validation"], trainer


def test_the_references_embed_and_rank_as_ours_do(split, tmp_path):
    pairs, trainer = split
    model = reference.PlainModel(trainer.model)
    audio, text, clips = reference.embed_pairs(
        model, reference.PlainPairs(tmp_path, pairs.features, pairs.sentences, pairs.clips)
    )
    assert clips == pairs.clips.tolist()
    with torch.no_grad():
        torch.testing.assert_close(audio, trainer.model.encode_audio(pairs.features, pairs.tags))
        torch.testing.assert_close(text, trainer.model.encode_text(pairs.sentences))
    ranks, scores = reference.rank_and_score(audio, text, clips)
    found = evaluate(trainer.model, pairs)
    assert ranks == found.ranks.tolist()
    assert scores == pytest.approx(found.means())


def test_the_references_loss_is_ours(split):
    pairs, trainer = split
    training = reference.PlainTraining(
        reference.PlainModel(trainer.model), margin=0.4, batch_size=3, seed=1
    )
    rows = torch.tensor([0, 7, 29])
    impostors = iter([1, 2, 2, 0, 0, 1])  # query and audio impostor of each pair in turn
    training.impostor = lambda clips, i: next(impostors)
    clips = pairs.clips[rows]
    embedded = training.model(pairs.features[clips], pairs.sentences[rows])
    found = training.loss(*embedded, [str(clip) for clip in clips.tolist()])
    drawn = torch.tensor([[2, 1], [0, 2], [1, 0]])  # audio and query impostor
    expected = trainer.loss(*embedded, clips, drawn)
    assert found > 0
    torch.testing.assert_close(found, expected)
