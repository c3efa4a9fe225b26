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
from utils.runs.report.page import Drawing, SplitFindings, page
from utils.runs.report.space import space_map
from utils.runs.run_folder import Run
from utils.runtime.errors import InputError

_SHOWN_WORST, _SHOWN_BEST = 6, 4  # queries
_SHOWN_TAGS = 8  # of the best, and of the worst
_TOLERANCE = 0.005  # of a score: processors round differently, which changes ranks
_MAP_HEIGHT = 4.0  # inches


def write_report(run: Run, model: nn.Module, test: LoadedSplit | None, inputs: Inputs) -> None:
    """Write report.html and plots/*.png into the folder of a finished run.

    Equal runs give equal pages: nothing in a page depends on when it was written.

    Parameters
    ----------
    run : Run
        With metrics.json, history.csv and conf.yaml; intervals and map depend on its seed.
    model : nn.Module
        With the weights of the best epoch.
    test : LoadedSplit or None
        The split that the run was scored on; None if there was none.
    inputs : Inputs
        The vector files that the model reads.

    Raises
    ------
    InputError
        If the model's scores differ from metrics.json, or a file cannot be read or written.

    """
    metrics, seed = read_json(run.metrics), run.config.seed
    drawings = _training_drawings(run.read_history(), metrics["best_epoch"])
    found = None
    if test is not None and "scores" in metrics:
        retrieval = findings.retrieve(model, test, logits=_tag_logits(run, test))
        _require_same_scores(run, retrieval, metrics["scores"])
        found = _test_findings(retrieval, seed=seed)
        drawings |= _score_drawings(retrieval, metrics, seed=seed)
    pictures = {name: drawing.figure for name, drawing in drawings.items()}
    if found is not None:  # the page draws a map of its own, to point at
        pictures["map"] = draw(plots.space, found.map, height=_MAP_HEIGHT)
    for name, figure in pictures.items():
        with atomic_write(run.plots / f"{name}.png") as file:
            file.write(png(figure))
    with atomic_write(run.report, "w") as file:
        file.write(
            page(
                run.folder.resolve(),
                drawings,
                checkpoint=run.checkpoint_best.resolve(),
                settings=read_text(run.settings),
                metrics=metrics,
                audio=inputs.projected[0].attributes,
                sentences=inputs.captions.attributes,
                test=found,
            )
        )


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
            "Loss. If training loss falls while validation loss rises, the model memorises its "
            "captions.",
        ),
        "validation": Drawing(
            draw(plots.validation, history, best),
            "Validation scores by epoch",
            "Validation scores. mAP@10 chooses the epoch; if the best epoch is at the right edge, "
            "more epochs may help.",
        ),
        "learning_rate": Drawing(
            draw(plots.learning_rate, history, best),
            "Learning rate by epoch",
            "Learning rate. It is lowered when the validation loss stops falling for some epochs.",
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
            "Training adds the distance from diamond to dot. The band is the 95 % interval; if it "
            "reaches the diamond, the gain may be chance.",
        ),
        "ranks": Drawing(
            draw(plots.rank_histogram, findings.rank_bins(ranks, clips=clips)),
            "Share of captions by the rank of their clip",
            "Rank of the right clip in the results of each caption. A user sees the bars up to "
            "rank 10; tall bars at the right end are captions that the model does not understand.",
        ),
        "recall": Drawing(
            draw(plots.recall, curve),
            "Recall at k, with interval and chance",
            "How many clips a user has to listen to. The steeper the start, the better; the band "
            "is the 95 % interval.",
        ),
    }


def _tag_logits(run: Run, test: LoadedSplit) -> torch.Tensor | None:
    """Find the AudioSet logits of the clips among what the model reads."""
    if test.pairs.logits is None and run.config.model.audio_features != "scene":
        return test.pairs.features[:, :NUM_TAGS]
    return test.pairs.logits


def _require_same_scores(run: Run, retrieval: Retrieval, expected: dict[str, float]) -> None:
    found = retrieval.evaluation.means()
    differing = [
        f"{name} {found[name]:.4f}, not {expected[name]:.4f}"
        for name in METRICS
        if abs(found[name] - expected[name]) > _TOLERANCE
    ]
    if differing:
        raise InputError(
            f"with the current vector files, {run.checkpoint_best} scores {', '.join(differing)} "
            f"as in {run.metrics}: the run was scored with other vector files. Restore those, or "
            "name their folder: --set train_data.input_path=DIR."
        )
