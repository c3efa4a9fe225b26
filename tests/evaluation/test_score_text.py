import numpy as np

from utils.datasets.splits import CaptionSplit
from utils.evaluation.evaluate import Evaluation
from utils.evaluation.metrics import single_relevant
from utils.evaluation.score_text import examples, score_table

SPLIT = CaptionSplit(
    split="evaluation",
    cids=np.arange(4),
    captions=["rain falls", "it rains", "a dog barks", "a bell"],
    clip_of_caption=np.array([0, 0, 1, 2]),
    clip_names=["rain.wav", "dog.wav", "bell.wav"],
    clip_fids=np.array([1, 2, 3]),
)
RANKS = np.array([1, 2, 2, 1])
EVALUATION = Evaluation(
    ranks=RANKS,
    best=np.array([[0, 1, 2], [1, 0, 2], [0, 1, 2], [2, 1, 0]]),
    scores=np.full((4, 3), 0.5, np.float32),
    values=single_relevant(RANKS),
    audio_to_text=single_relevant(np.array([1, 2, 1])),
    clips=SPLIT.clip_of_caption,
)


def test_the_table_lines_up_and_ends_with_the_interval():
    row = {"R@1": 0.25, "R@5": 0.5, "R@10": 1.0, "mAP@10": 0.125}
    table = score_table({"chance": row, "trained": row}, dict.fromkeys(row, (0.1, 0.2)))
    lines = table.splitlines()
    assert lines[0].split() == list(row)
    assert lines[1].split() == ["chance", "0.250", "0.500", "1.000", "0.125"]
    assert lines[3].split()[-1] == "0.100-0.200"
    assert len({len(line) for line in lines}) == 1


def test_examples_mark_the_clip_that_the_query_describes():
    text = examples(SPLIT, EVALUATION, count=3, top=2)
    assert text.count("own clip at rank") == 3
    dog = text.split("“a dog barks”")[1].splitlines()
    assert dog[0].strip() == "(own clip at rank 2)"
    assert dog[1].startswith("  1.  0.500  rain.wav")
    assert dog[2].startswith("  2.* 0.500  dog.wav")
    assert dog[2].endswith("a dog barks")
