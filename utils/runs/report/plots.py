"""The drawings of a report: each function fills the axes of one figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator, PercentFormatter

from utils.evaluation.metrics import METRICS
from utils.runs.report.figures import HUES, LIGHT
from utils.runs.report.findings import RankBin, RecallCurve
from utils.runs.report.space import SpaceMap

_LABEL_HEIGHT = 0.09  # of the height of the axes


def losses(axes: Axes, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draw training and validation loss by epoch."""
    epochs = [row["epoch"] for row in history]
    for key, label, colour in (
        ("train_loss", "training", "second"),
        ("validation_loss", "validation", "accent"),
    ):
        _curve(axes, epochs, [row[key] for row in history], label, LIGHT[colour])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("loss per pair")
    _mark_best(axes, best_epoch)
    axes.legend(loc="upper right")


def validation(axes: Axes, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draw the validation metrics by epoch; mAP@10 stands out, because it chooses the epoch."""
    epochs = [row["epoch"] for row in history]
    for name in METRICS:
        foremost = name == METRICS[-1]
        colour = LIGHT["accent" if foremost else "muted"]
        values = [row[name] for row in history]
        _curve(axes, epochs, values, None, colour, width=1.8 if foremost else 0.9)
    low, high = axes.get_ylim()
    ends = [(history[-1][name] - low) / (high - low) for name in METRICS]
    for name, place in zip(METRICS, _spread(ends), strict=True):
        axes.annotate(
            name,
            (1, place),
            (3, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=LIGHT["accent" if name == METRICS[-1] else "muted"],
            annotation_clip=False,
        )
    axes.margins(x=0.02)
    axes.set_ylabel("validation score")
    _mark_best(axes, best_epoch)


def learning_rate(axes: Axes, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draw the learning rate by epoch, on a logarithmic scale."""
    epochs = [row["epoch"] for row in history]
    rates = [row["learning_rate"] for row in history]
    axes.step(epochs, rates, where="mid", color=LIGHT["accent"])
    if len(epochs) == 1:
        axes.plot(epochs, rates, "o", color=LIGHT["accent"], markersize=4)
    axes.set_yscale("log")
    axes.set_ylim(min(rates) / 3, max(rates) * 3)
    axes.set_yticks(sorted(set(rates)), [f"{rate:.2g}" for rate in sorted(set(rates))])
    axes.minorticks_off()
    axes.set_ylabel("learning rate")
    _mark_best(axes, best_epoch)


def score_dots(
    axes: Axes,
    rows: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Sequence[float]],
) -> None:
    """Draw each metric as a line of dots: chance, tags alone, trained with its interval.

    Parameters
    ----------
    axes : Axes
    rows : mapping of label to metrics
        The last one is the trained model.
    intervals : mapping of metric to (low, high)
        Of the last row.

    """
    *others, trained = rows
    places = np.arange(len(METRICS))[::-1]
    for place, name in zip(places, METRICS, strict=True):
        axes.plot([0, 1], [place, place], color=LIGHT["line"], linewidth=0.8, zorder=0)
        low, high = intervals[name]
        axes.plot(
            [low, high], [place, place], color=LIGHT["accent"], linewidth=5, alpha=0.35, zorder=1
        )
    markers = dict(zip(others, ("|", "D"), strict=False))
    for label, marker in markers.items():
        axes.plot(
            [rows[label][name] for name in METRICS],
            places,
            marker,
            color=LIGHT["muted" if marker == "|" else "second"],
            markersize=9 if marker == "|" else 4.5,
            label=label,
        )
    values = [rows[trained][name] for name in METRICS]
    axes.plot(values, places, "o", color=LIGHT["accent"], markersize=6, label=trained)
    axes.set_yticks(places, METRICS)
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.6, len(METRICS) - 0.4)
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.42, 1.0),
        ncols=3,
        columnspacing=1.0,
        handletextpad=0.1,
    )


def rank_histogram(axes: Axes, bins: Sequence[RankBin]) -> None:
    """Draw the share of captions by the rank of their clip, and what chance would give."""
    places = np.arange(len(bins))
    inside = [one.last <= 10 for one in bins]
    colours = [LIGHT["accent" if near else "muted"] for near in inside]
    axes.bar(places, [one.share for one in bins], width=0.78, color=colours)
    axes.plot(
        places,
        [one.chance for one in bins],
        "_",
        color=LIGHT["second"],
        markersize=13,
        markeredgewidth=1.6,
        label="chance",
    )
    axes.set_xticks(places, [one.label for one in bins], rotation=45, ha="right")
    axes.set_xlabel("rank of the own clip")
    axes.set_ylabel("share of captions")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="upper right")


def recall(axes: Axes, curve: RecallCurve) -> None:
    """Draw R@k against k with its interval, and chance."""
    axes.fill_between(curve.k, curve.low, curve.high, color=LIGHT["accent"], alpha=0.2, linewidth=0)
    axes.plot(curve.k, curve.share, color=LIGHT["accent"], label="trained, 95 % interval")
    axes.plot(curve.k, curve.chance, "--", color=LIGHT["second"], linewidth=1.2, label="chance")
    axes.set_xlim(1, max(2, curve.k[-1]))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("k, number of clips listened to")
    axes.set_ylabel("R@k")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1.0)


def space(axes: Axes, places: SpaceMap) -> None:
    """Draw the map of the shared space."""
    group = places.group
    axes.invert_yaxis()  # as on the page
    colours = np.array([LIGHT[HUES[g]] if g >= 0 else LIGHT["other"] for g in group])
    every = np.concatenate(places.caption_places)
    counts = [len(of_clip) for of_clip in places.caption_places]
    repeated = np.repeat(colours, counts)
    threads = np.stack([np.repeat(places.clip_places, counts, axis=0), every], axis=1)
    axes.add_collection(LineCollection(threads, colors=repeated, linewidths=0.3, alpha=0.35))
    axes.scatter(*every.T, s=1, c=repeated, linewidths=0)
    size = 10 if len(group) <= 200 else 4
    for some in (group < 0, group >= 0):
        axes.scatter(*places.clip_places[some].T, s=size, c=colours[some], linewidths=0)
    for name, hue in zip(places.group_names, HUES, strict=False):
        axes.scatter([], [], s=12, color=LIGHT[hue], label=name)
    axes.set_aspect("equal")
    axes.axis("off")
    if places.group_names:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, fontsize=6)


def _curve(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    label: str | None,
    colour: str,
    *,
    width: float = 1.6,
) -> None:
    marker = "o" if len(x) == 1 else None  # a line needs two points
    axes.plot(x, y, marker=marker, markersize=4, color=colour, linewidth=width, label=label)


def _spread(places: Sequence[float]) -> list[float]:
    """Move the places of labels, as shares of the height, apart until no two overlap."""
    order = np.argsort(places, kind="stable")
    spread = np.array(places, dtype=float)[order]
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + _LABEL_HEIGHT)
    spread[-1] = min(spread[-1], 1.0)
    for i in range(len(spread) - 2, -1, -1):
        spread[i] = min(spread[i], spread[i + 1] - _LABEL_HEIGHT)
    moved = np.empty(len(spread))
    moved[order] = spread
    return moved.tolist()


def _mark_best(axes: Axes, best_epoch: int) -> None:
    axes.axvline(best_epoch, color=LIGHT["ink"], linewidth=0.8, linestyle=":", zorder=0)
    axes.annotate(
        f"best: {best_epoch}",
        (best_epoch, 1),
        (0, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
