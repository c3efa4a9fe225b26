"""report.html of a run, with its plots: read back from the run folder, drawn, and written."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from utils.datasets.audioset import NUM_TAGS, read_labels
from utils.evaluation.evaluate import LoadedSplit
from utils.evaluation.metrics import METRICS
from utils.files.reading import read_json, read_text
from utils.files.writing import atomic_write
from utils.runs.model_inputs import Inputs
from utils.runs.report import findings, plots
from utils.runs.report.figures import HUES, draw, png
from utils.runs.report.findings import Retrieval
from utils.runs.report.page import Drawing, Numbers, page
from utils.runs.report.retrieval_page import SplitFindings
from utils.runs.report.space import space_map
from utils.runs.run_folder import Run
from utils.runtime.errors import InputError

_SHOWN_WORST, _SHOWN_BEST = 6, 4  # queries
_SHOWN_TAGS = 8  # of the best, and of the worst
_TOLERANCE = 0.005  # of a score: processors round differently, and ranks follow
_MAP_HEIGHT = 4.0  # inches


def write_report(
    run: Run,
    model: nn.Module,
    test: LoadedSplit | None,
    *,
    inputs: Inputs,
    audio_features: str,
    seed: int,
) -> None:
    """Write report.html and plots/*.png into the folder of a finished run.

    Equal runs give equal pages: nothing in them depends on when they are written.

    Parameters
    ----------
    run : Run
        With metrics.json, history.csv and conf.yaml.
    model : nn.Module
        With the weights of the best epoch.
    test : Part or None
        The split that the run was scored on; None where there was none.
    inputs : Inputs
        The vector files that the model reads.
    audio_features : {'logits', 'scene', 'both'}
        What of them the audio branch projects.
    seed : int
        Of the run; intervals and map follow it.

    Raises
    ------
    InputError
        If the model does not score what metrics.json says, or a file cannot be read or written.

    """
    metrics = read_json(run.metrics)
    drawings = _training_drawings(run.read_history(), metrics["best_epoch"])
    found = None
    if test is not None and "scores" in metrics:
        retrieval = findings.retrieve(model, test, logits=_tag_logits(test, audio_features))
        _require_same_scores(run, retrieval, metrics["scores"])
        found = _test_findings(retrieval, seed=seed)
        drawings |= _score_drawings(retrieval, metrics, seed=seed)
        # The page has a map of its own, to point at.
        drawings["map"] = Drawing(draw(plots.space, found.map, height=_MAP_HEIGHT), "", "")
    numbers = Numbers(
        folder=run.folder.resolve(),
        settings=read_text(run.settings),
        metrics=metrics,
        audio=inputs.projected[0].attributes,
        sentences=inputs.captions.attributes,
        test=found,
    )
    for name, drawing in drawings.items():
        with atomic_write(run.plots / f"{name}.png") as file:
            file.write(png(drawing.figure))
    with atomic_write(run.report, "w") as file:
        file.write(page(numbers, drawings))


def _test_findings(retrieval: Retrieval, *, seed: int) -> SplitFindings:
    labels = [] if retrieval.logits is None else read_labels()
    return SplitFindings(
        retrieval,
        labels,
        findings.worst_queries(retrieval, count=_SHOWN_WORST),
        findings.best_queries(retrieval, count=_SHOWN_BEST),
        findings.tag_scores(retrieval, labels, count=_SHOWN_TAGS, seed=seed) if labels else None,
        space_map(retrieval, labels, groups=len(HUES), seed=seed),
    )


def _training_drawings(history: Sequence[dict[str, float]], best: int) -> dict[str, Drawing]:
    return {
        "loss": Drawing(
            draw(plots.losses, history, best),
            "Training and validation loss by epoch",
            "Loss. Where training keeps falling and validation rises, the model learns its "
            "captions by heart.",
        ),
        "validation": Drawing(
            draw(plots.validation, history, best),
            "Validation scores by epoch",
            "Validation scores. mAP@10 chooses the epoch; a best epoch at the right edge says that "
            "more epochs may help.",
        ),
        "learning_rate": Drawing(
            draw(plots.learning_rate, history, best),
            "Learning rate by epoch",
            "Learning rate. It falls when the validation loss has stood still for some epochs.",
        ),
    }


def _score_drawings(
    retrieval: Retrieval, metrics: dict[str, Any], *, seed: int
) -> dict[str, Drawing]:
    ranks, clips = retrieval.evaluation.ranks, len(retrieval.audio)
    curve = findings.recall_curve(ranks, retrieval.evaluation.clips, clips=clips, seed=seed)
    rows = {**metrics["compared_with"], "trained": metrics["scores"]}
    short = {name: "tags alone" if name.startswith("tag ") else name for name in rows}
    return {
        "scores": Drawing(
            draw(
                plots.score_dots,
                {short[name]: scores for name, scores in rows.items()},
                metrics["intervals_95"],
            ),
            "Scores beside chance and the tag embeddings alone",
            "What training adds: the distance from diamond to dot. The band is the 95 % interval; "
            "where it reaches the diamond, the gain may be luck.",
        ),
        "ranks": Drawing(
            draw(plots.rank_histogram, findings.rank_bins(ranks, clips=clips)),
            "Share of captions by the rank of their clip",
            "Where the right clip stands in the list of each caption. Bars up to rank 10 are what "
            "a user sees; a heap at the right end means captions that are not understood at all.",
        ),
        "recall": Drawing(
            draw(plots.recall, curve),
            "Recall at k, with interval and chance",
            "How many clips one has to listen to. The steeper the start, the better; the band is "
            "the 95 % interval.",
        ),
    }


def _tag_logits(test: LoadedSplit, audio_features: str) -> torch.Tensor | None:
    """Find the AudioSet logits of the clips among what the model reads."""
    if test.pairs.logits is not None:
        return test.pairs.logits
    return None if audio_features == "scene" else test.pairs.features[:, :NUM_TAGS]


def _require_same_scores(run: Run, retrieval: Retrieval, expected: dict[str, float]) -> None:
    found = retrieval.evaluation.means()
    differing = [
        f"{name} {found[name]:.4f}, not {expected[name]:.4f}"
        for name in METRICS
        if abs(found[name] - expected[name]) > _TOLERANCE
    ]
    if differing:
        raise InputError(
            f"with the vector files as they are now, {run.checkpoint_best} scores "
            f"{', '.join(differing)} as in {run.metrics}: they are not those that the run was "
            "scored with. Bring these back, or name their folder: --set train_data.input_path=DIR."
        )
