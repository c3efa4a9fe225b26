"""Find moments in the recordings of a data set: its vectors and grid ─► curves ─► windows.

Shapes: Q queries about a recording, C cells of it, D dimension of the shared space, F curves, K
AudioSet classes, S numbers of a scene embedding, N windows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architectures import CELL_SECONDS
from models.moment_net import MomentNet, curves_of
from utils.datasets.corpus import AUDIO
from utils.datasets.moment_lists import MomentQuery
from utils.datasets.splits import CaptionSplit
from utils.evaluation.moments import score_moments
from utils.features.fine_grid import GridFolder
from utils.moments.ranking import likely_cells, rank_windows
from utils.moments.training import Example, Schedule, share_of_cells, train_moment_net
from utils.runs.scorer import Scorer
from utils.runtime.errors import InputError, shorten

_SELECTED_BY = ("R1@0.7", "mAP")
_OUTLINE = 400  # points, of a curve that is drawn
Ranked = dict[str, NDArray[np.float64]]  # by qid: windows (N, 3), best first


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording and what is asked about it.

    Attributes
    ----------
    name : str
        Of its file.
    duration : float
        In seconds, as its cells go.
    queries : list of Q MomentQuery
    cells : Tensor, shape (C, D)
        Unit embeddings.
    likeness : Tensor, shape (Q, C)
        The score of each cell for each query.
    rows : ndarray, shape (C, K + S)
        PaSST's output for the cells, memory-mapped.
    text : Tensor, shape (Q, D)
        Embeddings of the queries.

    """

    name: str
    duration: float
    queries: list[MomentQuery]
    cells: Tensor
    likeness: Tensor
    rows: NDArray[np.float16]
    text: Tensor

    def curves(self, number: int) -> Tensor:
        """Describe the recording for one of its queries: shape (F, C)."""
        rows = torch.from_numpy(self.rows.astype(np.float32))
        return curves_of(self.likeness[number], self.cells, rows)


@dataclass(frozen=True, eq=False)
class Answer:
    """What is found for a query.

    Attributes
    ----------
    query : MomentQuery
    recording : str
        Name of its file.
    duration : float
        Of the recording, in seconds, as its cells go.
    likeness, inside : ndarray, shape (P,)
        The score of the cells, and the probability that they belong to a moment: see `outline`.
    windows : ndarray, shape (N, 3)
        Start and end in seconds, and the score; best first.

    """

    query: MomentQuery
    recording: str
    duration: float
    likeness: NDArray[np.float32]
    inside: NDArray[np.float32]
    windows: NDArray[np.float64]


def read_recordings(
    scorer: Scorer, split: CaptionSplit, queries: Sequence[MomentQuery]
) -> Iterator[Recording]:
    """Embed the cells of the recordings of a split, one recording after the other.

    `queries` are those behind the captions of the split.

    Raises
    ------
    InputError
        If the grid is missing, or was made with another network than the vectors.

    """
    inputs = scorer.inputs
    vectors = inputs.projected[0].fixed_attributes
    origin = {name: value for name, value in vectors.items() if name != "what"}
    with inputs.of.advising(AUDIO):
        grid = GridFolder.existing(inputs.of.files.audio_grid, origin)
        sources = split.clip_sources or [""] * len(split.clip_names)
        lacking = [
            name
            for name, source in zip(split.clip_names, sources, strict=True)
            if not grid.count(source)
        ]
        if lacking:
            raise InputError(f"{grid.path} lacks recordings:\n{shorten(lacking)}\n")
    with torch.inference_mode():
        text = scorer.model.encode_text(inputs.sentences(split).to(scorer.device)).cpu()
    for clip, (name, source) in enumerate(zip(split.clip_names, sources, strict=True)):
        asked = np.flatnonzero(split.clip_of_caption == clip)
        rows = grid.read(source)
        cells = scorer.embed(torch.from_numpy(rows.astype(np.float32)))
        yield Recording(
            name,
            CELL_SECONDS * len(cells),
            [queries[number] for number in asked],
            cells,
            text[asked] @ cells.T,
            rows,
            text[asked],
        )


def answers_of(recording: Recording, net: MomentNet | None, *, count: int) -> dict[str, Answer]:
    """Rank windows by a trained network, or by likeness alone if there is none: by qid."""
    answers = {}
    for number, query in enumerate(recording.queries):
        likeness = recording.likeness[number].numpy()
        if net is None:
            inside = likely_cells(likeness)
        else:
            inside = net.likely_cells(recording.curves(number)).numpy()
        windows = rank_windows(inside, duration=recording.duration, count=count)
        answers[query.qid] = Answer(
            query,
            recording.name,
            recording.duration,
            outline(likeness),
            outline(inside),
            windows,
        )
    return answers


def outline(curve: NDArray[np.floating]) -> NDArray[np.float32]:
    """Shorten a curve of C cells to a few hundred equal parts at most, and take their peaks."""
    points = min(len(curve), _OUTLINE)
    return np.maximum.reduceat(curve, np.arange(points) * len(curve) // points)


def examples(recordings: Iterable[Recording]) -> Iterator[tuple[MomentQuery, Example]]:
    """Make what the network is trained on: queries with windows."""
    for recording in recordings:
        for number, query in enumerate(recording.queries):
            if windows := query.windows_within:
                curves = recording.curves(number)
                yield query, Example(curves, share_of_cells(windows, curves.shape[1]))


def train_on(
    scorer: Scorer, training: CaptionSplit, validation: CaptionSplit, *, say: Callable[[str], Any]
) -> tuple[MomentNet, dict[str, Any]]:
    """Train a network on a split; the epoch of the best R1@0.7 + mAP on another one is kept.

    Returns
    -------
    net : MomentNet
    story : dict
        What it was trained on, and its scores on the validation split.

    """
    config = scorer.config
    learnt, held = (
        list(examples(read_recordings(scorer, split, scorer.inputs.of.load_moments(split))))
        for split in (training, validation)
    )
    truth = [query for query, _ in held]
    if not learnt or not held:
        raise InputError("the train or the val split has no windows to learn from.")

    def scores_of(net: MomentNet) -> dict[str, float]:
        ranked = {
            query.qid: rank_windows(
                net.likely_cells(example.curves).numpy(),
                duration=len(example.wanted) * CELL_SECONDS,
                count=config.moments.windows,
            )
            for query, example in held
        }
        return score_moments(ranked, truth).means()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = MomentNet()
    settings = config.moments
    train_moment_net(
        net,
        [example for _, example in learnt],
        Schedule(
            settings.epochs, settings.batch_size, settings.learning_rate, settings.weight_decay
        ),
        seed=config.seed,
        validate=lambda net: sum(scores_of(net)[name] for name in _SELECTED_BY),
        after_epoch=lambda epoch, loss, score, improved: say(
            f"epoch {epoch:3}  loss {loss:.4f}  {' + '.join(_SELECTED_BY)} {score:.2f}"
            + ("  best so far" if improved else "")
        ),
    )
    story = {"queries": len(learnt), "validation": scores_of(net), "seed": config.seed}
    return net, story
