"""Several trained models that score together.

Shapes: N queries, C clips.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.datasets.splits import QuerySplit, Split
from utils.runs.data import leave_out_failed
from utils.runs.scorer import Scorer, load_scorer
from utils.runtime import terminal
from utils.settings.config import Config


def load_scorers(
    paths: Sequence[Path],
    *,
    changed: Callable[[Config], Config],
    subset: str,
    split: str,
    summary: terminal.Summary,
) -> list[Scorer]:
    """Read the models of checkpoints, and the vectors of a data set that each needs."""
    return [
        load_scorer(path, changed=changed, subset=subset, split=split, summary=summary)
        for path in paths
    ]


def usable_by_all(split: Split, scorers: Sequence[Scorer], summary: terminal.Summary) -> Split:
    """Leave out the clips for which a model has no vectors, and their captions."""
    for scorer in scorers:
        split = leave_out_failed(split, scorer.inputs, summary)
    return split


def mean_scores(scorers: Sequence[Scorer], split: QuerySplit) -> NDArray[np.float32]:
    """Average the models' scores of all clips for each query of a split: shape (N, C).

    Models spread their scores differently. So those of a query are normalised first: less their
    mean over the clips, and divided by their standard deviation.
    """
    total = np.zeros((len(split.captions), len(split.clip_names)), np.float32)
    for scorer in scorers:
        total += normalised(scorer.scores(split, scorer.inputs.sentences(split)))
    return total / len(scorers)


def normalised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift and scale the rows of a matrix to a mean of 0 and a standard deviation of 1.

    Examples
    --------
    >>> normalised(np.float32([[1, 3], [5, 5]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]

    """
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
