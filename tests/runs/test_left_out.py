import numpy as np
import pytest

from utils.datasets.corpus import CLOTHO, corpus
from utils.datasets.splits import CaptionSplit
from utils.features.vector_file import row_keys, write_vectors
from utils.runs.left_out import leave_out_as_runs_do
from utils.runtime.terminal import Summary
from utils.settings.loading import load_config

QUERIES = ["rain", "a dog", "rain", "a bell"]
SPLIT = CaptionSplit(
    split="evaluation",
    cids=np.arange(4),
    captions=QUERIES,
    clip_of_caption=np.array([0, 0, 1, 2]),
    clip_names=["a.wav", "b.wav", "c.wav"],
    clip_fids=np.arange(3),
)


@pytest.mark.parametrize(
    ("queries", "clips"),
    [
        (QUERIES, 3),  # of another system, which has found something for all
        (["a bell", "rain", "a dog"], 2),  # of a run
        (["a bell", "a dog"], 3),  # too few
        ([*QUERIES, "rain"], 3),
    ],
)
def test_clips_are_left_out_only_for_a_table_that_has_none_of_their_captions(
    tmp_path, capsys, queries, clips
):
    of = corpus(load_config(overrides=[f"train_data.input_path={tmp_path}"]), CLOTHO)
    sources = {"sources": ["s", "t"]}
    failed = row_keys(["evaluation/b.wav"], {"sources": ["bad"]})
    write_vectors(
        of.files.audio_logits,
        ["evaluation/a.wav", "evaluation/c.wav"],
        np.zeros((2, 3)),
        attributes={},
        columns=sources,
        failed=dict.fromkeys(failed, "is truncated"),
    )
    split = leave_out_as_runs_do(SPLIT, queries, of, Summary())
    assert len(split.clip_names) == clips
    assert ("leaves out 1 of 3 clips of evaluation" in capsys.readouterr().out) == (clips == 2)


def test_nothing_is_left_out_where_no_clip_has_failed(tmp_path):
    of = corpus(load_config(overrides=[f"train_data.input_path={tmp_path}"]), CLOTHO)
    assert leave_out_as_runs_do(SPLIT, QUERIES[:2], of, Summary()) == SPLIT
