import csv

import numpy as np
import pytest
import torch

from utils.evaluation import ranking, result_tables


def plain_reference(audio, queries, clip_of_query):
    """Sort every score list the slow way: by score, then by position."""
    ranks, best = [], []
    for query, own in zip(queries, clip_of_query, strict=True):
        scores = [float(query @ clip) for clip in audio]
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
        ranks.append(order.index(own) + 1)
        best.append(order[:10])
    return ranks, best


@pytest.mark.parametrize("chunk", [10**9, 40, 1])
def test_ranks_equal_sorting_every_list(monkeypatch, chunk):
    monkeypatch.setattr(ranking, "_CHUNK_SCORES", chunk)
    monkeypatch.setattr(ranking, "_CHUNK_ROWS", 1)
    generator = torch.Generator().manual_seed(0)
    # Few distinct numbers, so that ties abound.
    audio = torch.randint(-1, 2, (17, 4), generator=generator).float()
    queries = torch.randint(-1, 2, (30, 4), generator=generator).float()
    clips = torch.randint(17, (30,), generator=generator)
    ranks, best, scores = ranking.rank_and_retrieve(audio, queries, clips)
    expected_ranks, expected_best = plain_reference(audio, queries, clips.tolist())
    assert ranks.tolist() == expected_ranks
    assert ranking.rank_clips(audio, queries, clips).tolist() == expected_ranks
    assert best.tolist() == expected_best
    assert (np.diff(scores, axis=1) <= 0).all()


def test_fewer_clips_than_places():
    audio = torch.eye(3)
    _, best, _ = ranking.rank_and_retrieve(audio, audio, torch.arange(3))
    assert best.shape == (3, 3)


def test_the_result_table_keeps_captions_and_names_verbatim(tmp_path):
    captions = [' "Rain", they say; ', "two\nlines", "é—“"]
    names = [" a,b .wav", "&amp;#39;.wav", "c.wav"]
    best = np.array([[1, 0, 2], [0, 1, 2], [2, 1, 0]])
    path = tmp_path / "test.output.csv"
    result_tables.write_result_table(path, captions, names, best)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["caption", "file_name_1", "file_name_2", "file_name_3"]
    assert [row[0] for row in rows[1:]] == captions
    assert rows[1][1:] == [names[1], names[0], names[2]]


def test_a_diverged_model_is_not_perfect():
    audio = torch.eye(3)
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.rank_and_retrieve(audio * torch.nan, audio, torch.arange(3))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.rank_and_retrieve(audio, audio / 0, torch.arange(3))


@pytest.mark.parametrize("chunk", [10**9, 40, 1])
def test_own_captions_equal_sorting_every_list(monkeypatch, chunk):
    monkeypatch.setattr(ranking, "_CHUNK_SCORES", chunk)
    monkeypatch.setattr(ranking, "_CHUNK_ROWS", 1)
    generator = torch.Generator().manual_seed(0)
    audio = torch.randint(-1, 2, (7, 4), generator=generator).float()
    queries = torch.randint(-1, 2, (30, 4), generator=generator).float()
    clips = torch.randint(7, (30,), generator=generator)
    hits = ranking.caption_hits(audio, queries, clips)
    for c in range(7):
        scores = [float(audio[c] @ query) for query in queries]
        order = sorted(range(30), key=lambda n: (-scores[n], n))[:10]
        assert hits[c].tolist() == [int(clips[n]) == c for n in order]


def test_the_score_matrix_and_its_best(tmp_path):
    audio = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    queries = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    scores = ranking.score_matrix(audio, queries)
    assert scores.tolist() == [[2, 1, 2], [0, 1, 0]]
    assert ranking.best_clips(scores).tolist() == [[0, 2, 1], [1, 0, 2]]


def test_the_best_scores_are_in_order_of_position_where_they_are_equal():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(6, (200, 40), generator=generator).float()
    found = ranking.best_clips(scores.numpy())
    for row, order in zip(scores.tolist(), found.tolist(), strict=True):
        assert order == sorted(range(40), key=lambda c: (-row[c], c))[:10]
