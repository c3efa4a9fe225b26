import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.dual_encoder import DualEncoder
from tests.support import load_script, options, settings_for
from utils.datasets.corpus import CLOTHO, corpus
from utils.datasets.splits import QuerySplit
from utils.evaluation.relevance import Relevance
from utils.evaluation.score_text import score_queries
from utils.features.vector_file import VectorFile
from utils.runs.model_inputs import Inputs
from utils.runs.plans import load_split_to_score
from utils.runs.scorer import Scorer
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.loading import load_config

RELEVANT = [{"a.wav", "b.wav"}, {"c.wav"}]  # "rain", "a dog"
FOUND = [["a.wav", "c.wav", "b.wav"], ["a.wav", "c.wav", "b.wav"]]


@pytest.mark.parametrize(
    ("divide_by", "convention"),
    [("cutoff", "min(number of relevant clips, 10)"), ("all", "the number of relevant clips")],
)
def test_queries_with_several_relevant_clips_by_hand(divide_by, convention):
    text = score_queries(
        FOUND, Relevance([""] * len(RELEVANT), RELEVANT), divide_by=divide_by, seed=1
    )
    header, scores, interval, note = text.splitlines()
    assert header.split() == ["R@1", "R@5", "R@10", "mAP@10"]
    # R@1: half of the clips of "rain", none of "a dog"; AP: (1 + 2/3) / 2, and 1/2.
    assert scores.split() == ["scores", "0.250", "1.000", "1.000", "0.667"]
    assert interval.split()[3:] == ["0.000-0.500", "1.000-1.000", "1.000-1.000", "0.500-0.833"]
    assert note.endswith(f"AP@10 is divided by {convention}")


def test_clips_are_found_by_their_score():
    """Each audio feature is a direction of the text space."""
    clips = QuerySplit(
        split="test",
        cids=np.empty(0, int),
        captions=[],
        clip_names=["low.wav", "high.wav", "middle.wav"],
        clip_fids=np.array([1, 2, 3]),
    )
    features = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32)
    ids = [f"test/{name}" for name in clips.clip_names]
    model = DualEncoder(audio_size=3, text_size=3, ratio=1.0).eval()
    with torch.no_grad():
        model.audio_projection.weight.copy_(torch.eye(3))
    inputs = Inputs(
        captions=VectorFile(Path("text.hdf5"), [], np.empty((0, 3), np.float32)),
        projected=(VectorFile(Path("audio.hdf5"), ids, features),),
        of=corpus(load_config(), CLOTHO),
    )
    scorer = Scorer(model, inputs, load_config())
    queries = np.array([[-1, 0, 1], [1, 0, -1]], np.float32)
    assert scorer.scores(clips, torch.from_numpy(queries)).shape == (2, 3)
    assert scorer.find(clips, queries) == [
        ["high.wav", "middle.wav", "low.wav"],
        ["low.wav", "middle.wav", "high.wav"],
    ]


def test_a_split_that_is_not_there_or_empty_is_refused(tmp_path):
    config = load_config(overrides=[f"train_data.input_path={tmp_path}"])
    with pytest.raises(InputError, match=r"--split x: clotho has the splits development, .*Name"):
        load_split_to_score(config, "clotho", "x", terminal.Summary())
    columns = ("cid", "fid", "fname", "original", "caption", "tokens")
    (tmp_path / "evaluation_captions.json").write_text(json.dumps({name: {} for name in columns}))
    with pytest.raises(
        InputError, match=r"the evaluation split in .* has no captions: nothing can"
    ):
        load_split_to_score(config, "clotho", "evaluation", terminal.Summary())


def test_the_untrained_model_is_scored_on_a_split(small_demo, capsys):
    settings = options(settings_for(small_demo))
    load_script("main").main(["evaluate", "--model", "tags", *settings])
    header, scores = (
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.split()[:1] in (["R@1"], ["tags"])
    )
    assert header == ["R@1", "R@5", "R@10", "mAP@10"]
    assert float(scores[-1]) > 0.8
    with pytest.raises(SystemExit):
        load_script("main").main(["evaluate", "--model", "tags", "--checkpoint", "x", *settings])
