import csv

import numpy as np
import pytest
import torch

from utils.evaluation import ranking, result_tables


def plain_reference(audio, queries, clip_of_query):
    """Sort every list of scores, by score, then by position; and rank each query's own clip."""
    ranks, best = [], []
    for query, own in zip(queries, clip_of_query, strict=True):
        scores = [float(query @ clip) for clip in audio]
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
        ranks.append(order.index(own) + 1)
        best.append(order[:10])
    return ranks, best


@pytest.fixture(params=[10**9, 40, 1], ids=lambda chunk: f"chunks of {chunk}")
def embeddings(request, monkeypatch):
    """17 clips and 30 captions of few distinct numbers, so that ties abound."""
    monkeypatch.setattr(ranking, "_CHUNK_SCORES", request.param)
    monkeypatch.setattr(ranking, "_CHUNK_ROWS", 1)
    generator = torch.Generator().manual_seed(0)
    audio = torch.randint(-1, 2, (17, 4), generator=generator).float()
    queries = torch.randint(-1, 2, (30, 4), generator=generator).float()
    return audio, queries, torch.randint(17, (30,), generator=generator)


def test_ranks_equal_sorting_every_list(embeddings):
    audio, queries, clips = embeddings
    ranks, best, scores = ranking.rank_and_retrieve(audio, queries, clips)
    expected_ranks, expected_best = plain_reference(audio, queries, clips.tolist())
    assert ranks.tolist() == expected_ranks
    assert ranking.rank_clips(audio, queries, clips).tolist() == expected_ranks
    assert best.tolist() == expected_best
    assert ranking.best_clips(ranking.score_matrix(audio, queries)).tolist() == expected_best
    np.testing.assert_array_equal(scores, np.take_along_axis((queries @ audio.T).numpy(), best, 1))


def test_own_captions_equal_sorting_every_list(embeddings):
    audio, queries, clips = embeddings
    hits = ranking.caption_hits(audio, queries, clips)
    _, best = plain_reference(queries, audio, range(17))
    assert hits.tolist() == [[int(clips[n]) == c for n in row] for c, row in enumerate(best)]


def test_there_may_be_fewer_clips_than_places():
    audio = torch.eye(3)
    _, best, _ = ranking.rank_and_retrieve(audio, audio, torch.arange(3))
    assert best.shape == (3, 3)


def test_scores_of_a_diverged_model_are_refused():
    audio = torch.eye(3)
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.rank_and_retrieve(audio * torch.nan, audio, torch.arange(3))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.score_matrix(audio, audio / 0)


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
