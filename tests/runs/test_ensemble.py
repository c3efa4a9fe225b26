"""Several models that score together."""

import numpy as np
import pytest
import torch

from tests.support import load_script, options, settings_for, unit
from utils.evaluation.evaluate import evaluate_scores
from utils.evaluation.ranking import rank_and_retrieve
from utils.runs.ensemble import normalised
from utils.runtime.errors import InputError


def test_scores_that_are_there_are_ranked_as_embeddings_are():
    rng = np.random.default_rng(0)
    audio, text = (torch.from_numpy(unit(rng, count, 8)) for count in (30, 70))
    clips = torch.from_numpy(rng.integers(0, 30, 70))
    ranks, best, scores = rank_and_retrieve(audio, text, clips, top=16)
    found = evaluate_scores(text @ audio.T, clips, top=16)
    np.testing.assert_array_equal(found.ranks, ranks)
    np.testing.assert_array_equal(found.best, best)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_normalising_keeps_the_order_and_makes_spreads_alike():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 9)).astype(np.float32) * np.float32([[1], [10], [0.1], [0]])
    found = normalised(scores)
    np.testing.assert_array_equal(found[:3].argsort(axis=1), scores[:3].argsort(axis=1))
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(found[:3].std(axis=1), 1, rtol=1e-5)
    assert not found[3].any()


def scored(out: str) -> dict[str, list[str]]:
    """The rows of the printed table, by their last word before the numbers."""
    lines = [line.split() for line in out.splitlines()]
    return {line[-5]: line[-4:] for line in lines if len(line) > 4 and line[-1][:1].isdigit()}


def test_a_model_twice_scores_as_once(small_demo, trained, tmp_path, capsys):
    settings = options(settings_for(small_demo, outputs=tmp_path))
    main = load_script("main").main
    main(["evaluate", "--checkpoint", str(trained), *settings])
    once = scored(capsys.readouterr().out)["checkpoint_best"]
    main(["evaluate", "--checkpoint", str(trained), str(trained), *settings])
    rows = scored(capsys.readouterr().out)
    assert rows["together"] == once


def test_queries_of_ones_own_need_one_model(small_demo, trained, tmp_path):
    settings = options(settings_for(small_demo, outputs=tmp_path))
    arguments = ["--checkpoint", str(trained), str(trained), "--relevant", "x.csv"]
    with pytest.raises(InputError, match="--relevant takes one --checkpoint"):
        load_script("main").main(["evaluate", *arguments, *settings])
