"""report.html: the numbers of a run, prepared for the templates.

N captions, C clips.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from utils.datasets.corpus import AUDIOCAPS, CLOTHO
from utils.evaluation.metrics import METRICS
from utils.runs.report.figures import HUES, svg
from utils.runs.report.findings import TOP_TAGS, Query, Retrieval, TagScores, fewest_clips
from utils.runs.report.rendering import network_facts, render
from utils.runs.report.space import SpaceMap

_DATA_SETS = {CLOTHO: "Clotho", AUDIOCAPS: "AudioCaps"}
_COMMANDS = {CLOTHO: "train", AUDIOCAPS: "train-audiocaps"}
_MAP_SIZE = 1000


@dataclass(frozen=True)
class Drawing:
    """A figure, what it shows in words, and what to look for in it."""

    figure: Figure
    label: str
    caption: str


@dataclass(frozen=True)
class SplitFindings:
    """What the page shows about the test split; `labels` are empty if the model reads no tags."""

    retrieval: Retrieval
    labels: Sequence[str]
    worst: Sequence[Query]
    best: Sequence[Query]
    tags: TagScores | None
    map: SpaceMap


def page(
    folder: Path,
    drawings: Mapping[str, Drawing],
    *,
    checkpoint: Path,
    settings: str,
    metrics: Mapping[str, Any],
    audio: Mapping[str, Any],
    sentences: Mapping[str, Any],
    test: SplitFindings | None,
) -> str:
    """Write the page.

    Parameters
    ----------
    drawings : mapping of str to Drawing
        'loss', 'validation' and 'learning_rate'; with `test` also 'scores', 'ranks' and 'recall'.
    settings, metrics
        Content of conf.yaml and of metrics.json.
    audio, sentences : mapping
        Attributes of the vector files.
    test : SplitFindings or None
        None if there was no test split.

    """
    notes = (part.get("note") for part in (*metrics.get("data", {}).values(), metrics))
    return render(
        "report.html",
        digits=3,
        title=f"Run {folder.name}",
        folder=folder,
        metrics=metrics,
        names=list(METRICS),
        scored="scores" in metrics,
        warning=next(filter(None, notes), None),
        data_sets=_DATA_SETS,
        drawings={
            name: {
                "svg": svg(drawing.figure, name=name, label=drawing.label),
                "caption": drawing.caption,
            }
            for name, drawing in drawings.items()
        },
        test=test and _shown(test),
        networks=network_facts(audio, sentences),
        command=_COMMANDS[metrics["trained_on"]],
        settings=settings,
        settings_file=shlex.quote(str(folder / "conf.yaml")),
        checkpoint=shlex.quote(str(checkpoint)),
    )


def _shown(test: SplitFindings) -> dict[str, Any]:
    clips = len(test.retrieval.audio)
    return {
        "clips": clips,
        "worst": [_query(test, query) for query in test.worst],
        "best": [_query(test, query) for query in test.best],
        "tags": test.tags,
        "top_tags": TOP_TAGS,
        "fewest_clips": fewest_clips(clips),
        "map": _map(test),
    }


def _query(test: SplitFindings, query: Query) -> dict[str, Any]:
    """Describe a query and its results; its own clip comes last if it is not among the first."""
    split, clip_of = test.retrieval.split, test.retrieval.evaluation.clips
    found = [(place, clip, score) for place, (clip, score) in enumerate(query.found, start=1)]
    if query.clip not in (clip for _, clip, _ in found):
        found.append((query.rank, query.clip, query.score))
    results = [
        {
            "place": place,
            "name": split.clip_names[clip],
            "score": score,
            "caption": next((split.captions[row] for row in np.flatnonzero(clip_of == clip)), None),
            "tags": _tags(test, clip),
            "own": clip == query.clip,
        }
        for place, clip, score in found
    ]
    return {"caption": split.captions[query.caption], "rank": query.rank, "results": results}


def _map(test: SplitFindings) -> dict[str, Any]:
    """Describe the map: a shape for each clip, with a thread to each of its captions."""
    places, split = test.map, test.retrieval.split
    size = 9 if len(places.clips) <= 200 else 5
    shapes = []
    for clip, group, (x, y), rows, ends in zip(
        places.clips.tolist(),
        places.group.tolist(),
        _MAP_SIZE * places.clip_places,
        places.captions,
        (_MAP_SIZE * of_clip for of_clip in places.caption_places),
        strict=True,
    ):
        lines = [split.clip_names[clip], _tags(test, clip), *(split.captions[row] for row in rows)]
        shapes.append(
            {
                "hue": HUES[group] if group >= 0 else "other",
                "title": "\n".join(filter(None, lines)),
                "x": f"{x:.0f}",
                "y": f"{y:.0f}",
                "threads": "".join(f"M{x:.0f} {y:.0f}L{a:.0f} {b:.0f}" for a, b in ends),
                "dots": "".join(f"M{a:.0f} {b:.0f}h0" for a, b in ends),
            }
        )
    legend = list(zip(HUES, places.group_names, strict=False))
    if legend and (places.group < 0).any():
        legend.append(("other", "other tags"))
    every = np.concatenate([places.clip_places, *places.caption_places])
    width, height = _MAP_SIZE * every.max(axis=0) + 4 * size
    view = f"{-2 * size} {-2 * size} {width:.0f} {height:.0f}"
    return {"shapes": shapes, "legend": legend, "size": size, "view": view}


def _tags(test: SplitFindings, clip: int) -> str:
    return " · ".join(test.retrieval.tags_of(clip, test.labels))
