import json

import pytest
import torch
from conftest import load_script, options
from test_losses import places


def test_every_measured_stage_is_written_down(tmp_path, capsys):
    """Small sizes: that it runs, on real components; the times themselves mean nothing here."""
    script = load_script("benchmark")
    script.main(
        ["--small", "--stages", "ranking", "training", *options([f"output_path={tmp_path}"])]
    )
    rows = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["stage"] for row in rows] == ["ranks", "training pass", "pass, losses, validation"]
    for row in rows:
        assert row["ours"] > 0
        assert row["ratio"] == pytest.approx(row["reference"] / row["ours"])
    assert "measured 3 rows" in capsys.readouterr().out


def test_the_references_compute_what_ours_does(tmp_path):
    script = load_script("benchmark")
    generator = torch.Generator().manual_seed(3)
    audio, queries = torch.randn(9, 4, generator=generator), torch.randn(20, 4, generator=generator)
    own = torch.arange(20) % 9
    ours = script.rank_clips(audio, queries, own)
    assert script.plain_ranks(audio, queries, own) == ours.tolist()
    table = torch.nn.functional.normalize(torch.randn(527, 768, generator=generator), dim=-1)
    pairs = script.random_pairs(6, table, generator, torch.device("cpu"))
    plain = script.PlainTraining(tmp_path, pairs, table)
    batch = [0, 7, 29]
    impostors = iter([1, 2, 2, 0, 0, 1])  # query and audio impostor of each pair in turn
    plain.impostor = lambda clips, i: next(impostors)
    clips = pairs.clips[batch]
    found = plain.loss(batch, pairs.logits[clips], pairs.sentences[batch])
    expected = script.TripletRankingLoss(margin=script.MARGIN)(
        plain.model.encode_audio(pairs.features[clips], pairs.tags[clips]),
        plain.model.encode_text(pairs.sentences[batch]),
        clips,
        places([2, 0, 1], [1, 2, 0]),
    )
    torch.testing.assert_close(found, expected)
