import csv

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.dual_encoder import tag_embedding
from models.tag_retrieval import TagRetrieval, tag_space, tag_weights, whitening_of
from tests.support import DEMO_CONFIG
from utils.datasets import audioset
from utils.datasets.clotho import read_captions_csv
from utils.evaluation.metrics import single_relevant
from utils.evaluation.ranking import rank_clips
from utils.features.sentences import TextEncoder
from utils.settings.loading import load_config

K, D = 7, 5


def unit_vectors(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, D, generator=generator) + 0.5, dim=-1)


@pytest.fixture
def model():
    return TagRetrieval(unit_vectors(K))


def logits_of(count, seed=1):
    return 3 * torch.randn(count, K, generator=torch.Generator().manual_seed(seed))


def test_weights_are_roots_of_shares_however_small_the_probabilities():
    logits = logits_of(4)
    shares = logits.sigmoid() / logits.sigmoid().sum(dim=-1, keepdim=True)
    torch.testing.assert_close(tag_weights(logits).square(), shares)
    tiny = tag_weights(torch.tensor([[-300.0, -300.0, -400.0]]))
    torch.testing.assert_close(tiny, torch.tensor([[0.5**0.5, 0.5**0.5, 0.0]]))


def test_embeddings_are_unit_vectors_of_the_same_space(model):
    sentences = unit_vectors(6, seed=2)
    audio, text = model.encode_audio(logits_of(4)), model.encode_text(sentences)
    assert audio.shape == (4, D + K)
    assert text.shape == (6, D + K)
    for vectors in (audio, text):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))


def test_the_score_is_the_mean_of_a_cosine_and_of_a_bhattacharyya_coefficient(model):
    """Computed here slowly, in double precision, from the definitions."""
    table, logits = unit_vectors(K).numpy().astype(float), logits_of(1).numpy()[0].astype(float)
    query = unit_vectors(1, seed=2).numpy()[0].astype(float)
    mean = table.mean(axis=0)
    covariance = sum(np.outer(row, row) for row in table - mean) / K
    variances, axes = np.linalg.eigh(covariance + np.trace(covariance) / D * np.eye(D))
    root = axes @ np.diag(variances**-0.25) @ axes.T

    def whiten(vector):
        vector = (vector - mean) @ root
        return vector / np.linalg.norm(vector)

    probabilities = 1 / (1 + np.exp(-logits))
    shares = probabilities / probabilities.sum()
    meaning = sum(np.sqrt(s) * whiten(row) for s, row in zip(shares, table, strict=True))
    cosine = whiten(query) @ meaning / np.linalg.norm(meaning)
    likeness = np.exp([20 * (whiten(query) @ whiten(row)) for row in table])
    coefficient = np.sqrt(shares * likeness / likeness.sum()).sum()
    score = model.encode_audio(logits_of(1)) @ model.encode_text(unit_vectors(1, seed=2)).T
    assert score.item() == pytest.approx((cosine + coefficient) / 2, abs=1e-5)


def test_a_tag_finds_the_clip_that_has_it_alone(model):
    alone = torch.full((K, K), -9.0).fill_diagonal_(3.0)
    scores = model.encode_text(unit_vectors(K)) @ model.encode_audio(alone).T
    assert scores.argmax(dim=-1).tolist() == list(range(K))


@pytest.mark.parametrize("like", [False, True], ids=["a text", "a clip"])
def test_what_the_tags_add_is_the_score(model, like):
    logits, features = logits_of(4), torch.empty(4, 0)
    queries = model.encode_audio(logits_of(4, 2)) if like else model.encode_text(unit_vectors(4, 3))
    projection, tags = model.explain_scores(features, logits, queries)
    scores = (model.encode_audio(logits) * queries).sum(dim=-1)
    torch.testing.assert_close(projection + tags.sum(dim=-1), scores)
    assert not projection.any()
    assert tags.shape == (4, K)


def test_tag_vectors_are_kept_centred_or_whitened():
    table = unit_vectors(K)
    assert tag_space(table, "plain") is table
    torch.testing.assert_close(tag_space(table, "centred").mean(dim=0), torch.zeros(D))
    mean, matrix = whitening_of(table)
    query = unit_vectors(1, seed=2)[0]
    products = ((table - mean) @ matrix) @ (matrix @ query)
    torch.testing.assert_close(tag_space(table, "whitened") @ query, products)
    # Before, the largest variance is the larger part of the sum.
    spread = torch.linalg.eigvalsh((table @ matrix).T.cov())
    before = torch.linalg.eigvalsh(table.T.cov())
    assert spread.max() / spread.sum() < before.max() / before.sum()


def category_scores(scores, categories, names):
    """Average precision of each category over all its clips."""
    found = []
    for row, name in zip(scores, names, strict=True):
        order = np.argsort(-row, kind="stable")
        right = categories[order] == name
        found.append((right.cumsum() / np.arange(1, len(right) + 1))[right].mean())
    return np.array(found)


@pytest.fixture(scope="module")
def real(shared_data, sentence_model):
    """A tagger's logits of real sounds, and the sentence vectors of tags, categories, captions."""
    folder = shared_data / "real-logits"
    with (folder / "esc.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logits = torch.from_numpy(np.load(folder / "esc.npz")["logits"].astype(np.float32))
    places = [(row["clotho_split"], row["clotho_file"]) for row in rows]
    recordings = sorted({place for place in places if place[1]})
    captions = {
        split: read_captions_csv(shared_data / f"clotho/clotho_captions_{split}.csv")
        for split in {split for split, _ in recordings}
    }
    names = sorted({row["category"] for row in rows})
    labels = audioset.read_labels()
    encoder = TextEncoder(load_config(DEMO_CONFIG, ["precision=fp32", "training.device=cpu"]))
    texts = [text for split, name in recordings for text in captions[split][name]]
    vectors = [
        encoder(part) for part in (labels, audioset.tag_texts("sounds", labels), names, texts)
    ]
    of_recordings = [logits[[at == place for at in places]].mean(dim=0) for place in recordings]
    return {
        "logits": logits,
        "recordings": torch.stack(of_recordings),
        "own": torch.arange(len(recordings)).repeat_interleave(5),
        "categories": np.array([row["category"] for row in rows]),
        "names": names,
        **dict(
            zip(
                ("tags", "sounds", "queries", "captions"),
                map(torch.from_numpy, vectors),
                strict=True,
            )
        ),
    }


def scores_on(real, embed, ask):
    ranks = rank_clips(embed(real["recordings"]), ask(real["captions"]), real["own"])
    scores = (ask(real["queries"]) @ embed(real["logits"]).T).numpy()
    return (
        single_relevant(ranks)["mAP@10"].mean(),
        category_scores(scores, real["categories"], real["names"]).mean(),
    )


@pytest.mark.slow
def test_real_sounds_are_found_better_than_by_the_plain_tag_embedding(real):
    plain = scores_on(real, lambda logits: tag_embedding(logits, real["tags"]), lambda text: text)
    assert plain == pytest.approx((0.596, 0.739), abs=2e-3)
    model = TagRetrieval(real["sounds"])
    ours = scores_on(real, model.encode_audio, model.encode_text)
    assert ours == pytest.approx((0.664, 0.771), abs=2e-3)
    assert ours[0] >= 0.65
    assert ours[1] >= 0.76
    again = TagRetrieval(real["sounds"])
    assert torch.equal(again.encode_audio(real["logits"]), model.encode_audio(real["logits"]))
