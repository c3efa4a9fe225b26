"""The sections of report.html.

Shapes: C clips.
"""

import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from utils.checkpoints.checkpoint import find_checkpoint
from utils.evaluation.metrics import METRICS
from utils.runs.report import retrieval_page
from utils.runs.report.figures import HUES, PALETTE, svg
from utils.runs.report.markup import Html, element, escape, facts, section, table
from utils.runs.report.retrieval_page import SplitFindings

_TEMPLATE = Path(__file__).with_name("page.html")
_NAMES = {"clotho": "Clotho", "audiocaps": "AudioCaps"}
_COMMANDS = {"clotho": "train", "audiocaps": "train-audiocaps"}
_UNKNOWN = "not recorded (a file in the original system's layout)"


@dataclass(frozen=True)
class Drawing:
    """A figure, what it shows in words, and what to look for in it."""

    figure: Figure
    label: str
    caption: str


@dataclass(frozen=True)
class Numbers:
    """All that the page tells.

    Attributes
    ----------
    folder : Path
    settings : str
        conf.yaml.
    metrics : dict
        metrics.json.
    audio, sentences : mapping
        Attributes of the vector files.
    test : SplitFindings or None
        None where there was no test split.

    """

    folder: Path
    settings: str
    metrics: dict[str, Any]
    audio: Mapping[str, Any]
    sentences: Mapping[str, Any]
    test: SplitFindings | None


def page(numbers: Numbers, drawings: Mapping[str, Drawing]) -> str:
    """Put the page together."""
    sections = [_header(numbers)]
    if numbers.test is not None:
        sections.append(_scores(numbers, drawings))
    sections.append(
        section(
            "Training",
            _figures(drawings, "loss", "validation", "learning_rate"),
            note=f"Epoch {numbers.metrics['best_epoch']} was kept: it has the best validation "
            "mAP@10. Test clips took no part in that choice.",
        )
    )
    if numbers.test is not None:
        sections += retrieval_page.sections(numbers.test)
    sections += [_made_from(numbers), _again(numbers)]
    light, dark = (
        " ".join(f"--{name}: {pair[i]};" for name, pair in PALETTE.items()) for i in (0, 1)
    )
    return string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Run {numbers.folder.name}"),
        light=light,
        dark=dark,
        hues="\n".join(f".{hue} {{ color: var(--{hue}); }}" for hue in HUES),
        body="\n".join(sections),
    )


def _header(numbers: Numbers) -> Html:
    metrics = numbers.metrics
    notes = [part.get("note") for part in (*metrics.get("data", {}).values(), metrics)]
    warning = next(filter(None, notes), None)
    parts = [
        element("p", "Text-to-audio retrieval, report of a run", class_="kicker"),
        element("h1", f"{numbers.folder.parent.name} / {numbers.folder.name}"),
        element("p", *_lead(metrics), class_="lead"),
        warning and element("p", warning, class_="warning", role="note"),
    ]
    if "scores" in metrics:
        order = (METRICS[-1], *METRICS[:-1])
        tiles = [
            element(
                "div",
                element("b", f"{metrics['scores'][name]:.3f}"),
                element("span", name),
                element("span", f"95 %: {_interval(metrics['intervals_95'][name])}"),
                class_="tile first" if name == order[0] else "tile",
            )
            for name in order
        ]
        median = element(
            "div",
            element("b", f"{metrics['median_rank']:g}"),
            element("span", "median rank"),
            element("span", f"of {metrics['clips']} clips"),
            class_="tile",
        )
        parts.append(element("div", *tiles, median, class_="tiles"))
    return element("header", *parts)


def _lead(metrics: Mapping[str, Any]) -> Iterator[str]:
    for role, verb in (("training", "Trained on"), ("validation", "its epoch chosen on")):
        if part := metrics.get("data", {}).get(role):
            name = _NAMES[part["subset"]]
            source = f"synthetic, in {name}'s layout" if part["note"] else name
            yield (
                f"{verb} {part['captions']} captions of {part['clips']} clips "
                f"({part['split']}; {source}), "
            )
    if "scores" in metrics:
        yield (
            f"scored once on {metrics['captions']} captions of {metrics['clips']} clips "
            f"({metrics['split']})."
        )
    else:
        yield "not scored: the clips of the test split were not there."


def _scores(numbers: Numbers, drawings: Mapping[str, Drawing]) -> Html:
    metrics = numbers.metrics
    rows = [
        *(_score_row(name, scores) for name, scores in metrics["compared_with"].items()),
        _score_row("trained", metrics["scores"], class_="strong"),
        element(
            "tr",
            element("th", "95 % interval", scope="row"),
            *(element("td", _interval(metrics["intervals_95"][name])) for name in METRICS),
            class_="faint",
        ),
        _score_row("trained, audio to text", metrics["audio_to_text"]),
    ]
    return section(
        "Scores",
        element("div", table(["", *METRICS], rows), class_="scroll"),
        _figures(drawings, "scores", "ranks", "recall"),
        note="R@k is the share of captions whose clip is among the first k, mAP@10 the mean of "
        "1/rank (0 beyond rank 10). Audio to text: any caption of the clip counts for R@k. "
        "Intervals are bootstrapped over clips.",
    )


def _made_from(numbers: Numbers) -> Html:
    audio, sentences = numbers.audio, numbers.sentences
    windows = _UNKNOWN
    if "window_seconds" in audio:
        windows = f"{audio['window_seconds']:g} s, every {audio['hop_seconds']:g} s"
    networks = {
        "PaSST": audio.get("model", _UNKNOWN),
        "weights of PaSST": audio.get("weights_sha256", _UNKNOWN),
        "windows": windows,
        "precision of PaSST": audio.get("precision", _UNKNOWN),
        "sentence model": sentences.get("model", _UNKNOWN),
        "its weights": sentences.get("weights_sha256", _UNKNOWN),
        "its precision": sentences.get("precision", _UNKNOWN),
    }
    machine = numbers.metrics.get("environment")
    return section(
        "Made from",
        facts(networks),
        element("h3", "Trained with") if machine else None,
        facts(machine) if machine else None,
        note="Weights are named by their SHA-256.",
    )


def _again(numbers: Numbers) -> Html:
    files = (numbers.folder / "conf.yaml", find_checkpoint(numbers.folder, "best"))
    settings, checkpoint = (shlex.quote(str(path)) for path in files)
    command = _COMMANDS[numbers.metrics["trained_on"]]
    commands = (
        f"python main.py {command} --config {settings}    # the same run again\n"
        f"python main.py evaluate --checkpoint {checkpoint}    # its scores again"
    )
    return section(
        "The same again",
        element("pre", commands),
        element(
            "details",
            element("summary", "All settings (conf.yaml)"),
            element("pre", numbers.settings),
        ),
        note="With the same vector files, versions and kind of processor the numbers are the same; "
        "elsewhere the last digits differ. Scripts 01, 03, 04 and 06 with the same --config write "
        "the vector files.",
    )


def _figures(drawings: Mapping[str, Drawing], *names: str) -> Html:
    return element(
        "div",
        *(
            element(
                "figure",
                svg(drawings[name].figure, name=name, label=drawings[name].label),
                element("figcaption", drawings[name].caption),
            )
            for name in names
        ),
        class_="figures",
    )


def _score_row(name: str, scores: Mapping[str, float], *, class_: str | None = None) -> Html:
    cells = (element("td", f"{scores[metric]:.3f}") for metric in METRICS)
    return element("tr", element("th", name, scope="row"), *cells, class_=class_)


def _interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f}–{bounds[1]:.3f}"
