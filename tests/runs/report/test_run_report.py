"""report.html: its content, and that nothing in the data can break it."""

import argparse
import html.parser
import json
import re
import struct
from dataclasses import replace

import numpy as np
import pytest

from tests.support import load_script, make_retrieval, random_retrieval
from utils.runs.report import figures, findings, plots, writing
from utils.runs.report.page import Drawing, SplitFindings, page
from utils.runs.report.space import space_map
from utils.runs.run_folder import Run
from utils.runtime.errors import InputError

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quotes\" and 'quotes'",
    "A &amp; B #1 100%.wav",
    "</title><img src=x onerror=alert(1)>",
    "🐕 barks, مطر على سقف",
    "{{ test }} {% raw %} {# $body ${title} $$",
]


class Reader(html.parser.HTMLParser):
    """Collects what a browser would see: tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(str(page))  # of Markup, too
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


SCORES = {"R@1": 0.1, "R@5": 0.25, "R@10": 0.5, "mAP@10": 0.2}
HISTORY = [
    {"epoch": i, "train_loss": 1 / i, "validation_loss": 1.1 / i, "learning_rate": 0.001, **SCORES}
    for i in (1, 2, 3)
]
LABELS = [f"tag {i}" for i in range(12)]
METRICS = {
    "trained_on": "clotho",
    "best_epoch": 2,
    "split": "evaluation",
    "captions": 60,
    "clips": 20,
    "scores": SCORES,
    "intervals_95": dict.fromkeys(SCORES, (0.1, 0.3)),
    "median_rank": 4.0,
    "compared_with": {"chance": SCORES, "tag embeddings alone, untrained": SCORES},
    "audio_to_text": SCORES,
    "note": "Synthetic <sounds>.",
}


def found(retrieval, labels=LABELS) -> SplitFindings:
    return SplitFindings(
        retrieval,
        labels,
        findings.worst_queries(retrieval, count=3),
        findings.best_queries(retrieval, count=3),
        findings.tag_scores(retrieval, labels, count=2, seed=0) if labels else None,
        space_map(retrieval, labels, groups=8, seed=0),
    )


def page_of(folder, drawn, *, test, metrics=METRICS, **changes) -> str:
    folder = folder / "a <run>"
    shown = {"settings": "seed: 1\n", "audio": {}, "sentences": {}} | changes
    return page(folder, drawn, checkpoint=folder / "best", metrics=metrics, test=test, **shown)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Drawing]:
    of_scores = writing._score_drawings(random_retrieval(clips=20), METRICS, seed=0)
    return {**writing._training_drawings(HISTORY, best=2), **of_scores}


@pytest.fixture(scope="module")
def of_split() -> SplitFindings:
    return found(random_retrieval(clips=20))


@pytest.fixture(scope="module")
def written(of_split, drawn, tmp_path_factory) -> str:
    """A page of a run with test scores."""
    return page_of(tmp_path_factory.mktemp("page"), drawn, test=of_split)


def hostile_page(folder, drawn, texts) -> str:
    """Show these texts as captions, file names, tags, settings and model."""
    retrieval = random_retrieval(clips=20)
    texts = (texts * 60)[:60]
    names = [f"{i} {text}" for i, text in enumerate(texts)]
    split = replace(retrieval.split, captions=texts, clip_names=names[:20])
    hostile = found(replace(retrieval, split=split), labels=names[:12])
    return page_of(
        folder,
        drawn,
        test=hostile,
        metrics={**METRICS, "split": texts[0], "note": texts[0]},
        settings=texts[0],
        audio={"model": texts[0]},
    )


def test_hostile_texts_are_shown_and_never_run(tmp_path, drawn):
    written = hostile_page(tmp_path, drawn, HOSTILE)
    seen = Reader(written)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    for text in HOSTILE:
        assert text in seen.text


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("text", [*HOSTILE, "$a_1$ & <b>"])
def test_hostile_labels_and_names_are_drawn_as_they_are(text):
    figure = figures.draw(lambda axes: axes.set_title(text))
    seen = Reader(figures.svg(figure, name="x", label=text))
    assert ("aria-label", text) in seen.attributes
    assert {"script", "img"}.isdisjoint(seen.tags)
    assert text in seen.text


def test_what_html_cannot_hold_is_replaced(tmp_path, drawn):
    written = hostile_page(tmp_path, drawn, ["half \ud83d pair", "bell\x07, null\x00"])
    assert "half ? pair" in written
    assert "bell\ufffd, null\ufffd" in written
    written.encode()


def test_the_page_needs_nothing_from_elsewhere(written):
    seen = Reader(written)
    assert {"script", "link", "iframe", "object", "base"}.isdisjoint(seen.tags)
    for name, value in seen.attributes:
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#"), (name, value)
    assert not re.search(r"url\((?!#|&quot;#)|@import|https?://", written)
    assert ("charset", "utf-8") in seen.attributes
    assert "width=device-width" in written


def test_references_within_the_page_lead_somewhere(written):
    ids = re.findall(r'\bid="([^"]+)"', written)
    wanted = {*re.findall(r'href="#([^"]+)"', written), *re.findall(r"url\(#([^)]+)\)", written)}
    assert len(ids) == len(set(ids))
    assert wanted
    assert wanted <= set(ids)


def test_drawings_use_the_colours_of_the_page(written):
    body = written[written.index("<body>") :]
    assert not re.findall(r"#[0-9a-f]{6}\b", body)
    for name in set(re.findall(r"var\(--([\w-]+)\)", written)):
        assert written.count(f"--{name}: {figures.PALETTE[name][0]};") == 1
        assert written.count(f"--{name}: {figures.PALETTE[name][1]};") == 1
    light = [pair[0] for pair in figures.PALETTE.values()]
    assert len(set(light)) == len(light)


def test_what_the_page_says(written, of_split):
    text = Reader(written).text
    for part in (
        "Synthetic <sounds>.",
        "0.200",
        "95 %: 0.100–0.300",
        "median rank",
        "Epoch 2 was kept",
        f"own clip at rank {of_split.worst[0].rank} of 20",
        "not recorded (a file in the original system's layout)",
        "conf.yaml' ",  # in quotes: the folder has a space in its name
        "seed: 1",
    ):
        assert part in text, part
    for name in of_split.map.group_names:
        assert name in text


def test_a_run_without_test_clips_has_a_page_too(tmp_path, drawn):
    metrics = {"trained_on": "audiocaps", "best_epoch": 1}
    text = Reader(page_of(tmp_path, drawn, test=None, metrics=metrics)).text
    assert "not scored: the clips of the test split are missing" in text
    assert "main.py train-audiocaps" in text
    assert "Queries" not in text


def test_a_model_that_reads_no_tags_has_a_page_without_them(tmp_path, drawn, written):
    without = found(random_retrieval(clips=20, with_logits=False), labels=[])
    assert "By tag" in written
    assert "By tag" not in page_of(tmp_path, drawn, test=without)


def test_clips_without_captions_are_shown_by_their_names(tmp_path, drawn):
    every = random_retrieval(clips=6)
    fewer = make_retrieval(every.evaluation.clips[:9], every.audio, every.text[:9], every.logits)
    assert "clip 5.wav" in Reader(page_of(tmp_path, drawn, test=found(fewer))).text


def test_pictures_are_the_same_each_time_and_of_a_readable_size():
    first, second = (figures.draw(plots.losses, HISTORY, 2) for _ in range(2))
    content = figures.png(first)
    assert content == figures.png(second)
    assert struct.unpack(">II", content[16:24]) == (700, 500)
    assert figures.svg(first, name="a", label="") == figures.svg(second, name="a", label="")
    assert b"matplotlib" not in content


@pytest.mark.parametrize("plot", [plots.losses, plots.validation, plots.learning_rate])
def test_one_epoch_is_drawn_as_dots(plot):
    axes = figures.draw(plot, HISTORY[:1], 1).axes[0]
    assert [line for line in axes.lines if line.get_marker() == "o"]


@pytest.mark.parametrize("ends", [[1, 1, 1, 0.99], [0, 0, 0, 0], [0.1, 0.5, 0.9, 0.7]])
def test_labels_at_the_ends_of_curves_do_not_overlap(ends):
    spread = plots._spread(ends)
    assert (np.diff(np.sort(spread)) >= plots._LABEL_HEIGHT - 1e-9).all()
    assert max(spread) <= 1
    assert np.argsort(spread, kind="stable").tolist() == np.argsort(ends, kind="stable").tolist()
    if ends[0] == 0.1:  # they do not overlap anyway
        assert spread == ends


def test_training_leaves_a_report_that_the_command_writes_again(trained, capsys):
    finished = Run.complete(trained.parent)
    written = finished.report.read_text()
    names = sorted(path.name for path in finished.plots.iterdir())
    pictures = {path: path.read_bytes() for path in finished.plots.iterdir()}
    assert names == [
        f"{name}.png"
        for name in ("learning_rate", "loss", "map", "ranks", "recall", "scores", "validation")
    ]
    finished.report.unlink()
    load_script("main").main(["report", str(finished.folder)])
    assert finished.report.read_text() == written
    assert {path: path.read_bytes() for path in finished.plots.iterdir()} == pictures
    assert "report.html" in capsys.readouterr().out
    text = Reader(written).text
    metrics = json.loads(finished.metrics.read_text())
    assert metrics["note"] in text
    assert (
        "Trained on 150 captions of 30 clips (development; synthetic, in Clotho's layout)" in text
    )
    assert f"{metrics['scores']['mAP@10']:.3f}" in text
    assert metrics["environment"]["torch"] in text


def test_a_report_from_other_vectors_is_refused(finished_run):
    path = finished_run / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scores"]["mAP@10"] = 0.0123
    path.write_text(json.dumps(metrics))
    with pytest.raises(InputError, match=r"mAP@10 \d\.\d{4}, not 0\.0123 as in .*metrics\.json"):
        load_script("main").main(["report", str(finished_run)])


def test_only_a_finished_run_has_a_report(tmp_path):
    (tmp_path / "conf.yaml").touch()
    missing = r"metrics\.json, history\.csv, checkpoint_best\.\w+ missing"
    with pytest.raises(InputError, match=missing):
        load_script("main").report_run(argparse.Namespace(run=tmp_path))
