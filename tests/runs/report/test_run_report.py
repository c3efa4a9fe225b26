"""report.html: what stands in it, and that nothing in the data can break it."""

import argparse
import json
import re
import struct

import numpy as np
import pytest

from tests.runs.report.test_findings import LABELS, random_retrieval
from tests.runs.report.test_markup import HOSTILE, Reader
from tests.support import load_script, options, settings_for
from utils.datasets.splits import CaptionSplit
from utils.runs.report import figures, findings, plots, retrieval_page
from utils.runs.report.page import Drawing, Numbers, page
from utils.runs.report.retrieval_page import SplitFindings
from utils.runs.report.space import space_map
from utils.runs.run_folder import Run
from utils.runtime.errors import InputError

HISTORY = [
    {
        **{"epoch": i, "train_loss": 1 / i, "validation_loss": 1.1 / i, "learning_rate": 0.001},
        **{"R@1": 0.1, "R@5": 0.2, "R@10": 0.3, "mAP@10": 0.15},
    }
    for i in (1, 2, 3)
]
SCORES = {"R@1": 0.1, "R@5": 0.25, "R@10": 0.5, "mAP@10": 0.2}
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


def found(retrieval=None, labels=LABELS) -> SplitFindings:
    retrieval = retrieval or random_retrieval(clips=20)
    return SplitFindings(
        retrieval,
        labels,
        findings.worst_queries(retrieval, count=3),
        findings.best_queries(retrieval, count=3),
        findings.tag_scores(retrieval, labels, count=2, seed=0) if labels else None,
        space_map(retrieval, labels, groups=8, seed=0),
    )


def drawings(metrics=METRICS) -> dict[str, Drawing]:
    retrieval = random_retrieval(clips=20)
    ranks, clips = retrieval.evaluation.ranks, retrieval.evaluation.clips
    curve = findings.recall_curve(ranks, clips, clips=20, seed=0)
    rows = {**metrics["compared_with"], "trained": SCORES}
    drawn = {
        "loss": figures.draw(plots.losses, HISTORY, 2),
        "validation": figures.draw(plots.validation, HISTORY, 2),
        "learning_rate": figures.draw(plots.learning_rate, HISTORY, 2),
        "scores": figures.draw(plots.score_dots, rows, metrics["intervals_95"]),
        "ranks": figures.draw(plots.rank_histogram, findings.rank_bins(ranks, clips=20)),
        "recall": figures.draw(plots.recall, curve),
    }
    return {name: Drawing(figure, f"{name} & <label>", "look") for name, figure in drawn.items()}


def numbers(tmp_path, *, test, metrics=METRICS, **changes) -> Numbers:
    told = {"settings": "seed: 1\n", "audio": {}, "sentences": {}} | changes
    return Numbers(folder=tmp_path / "a <run>", metrics=metrics, test=test, **told)


@pytest.fixture(scope="module")
def of_split() -> SplitFindings:
    return found()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Drawing]:
    return drawings()


@pytest.fixture(scope="module")
def written(of_split, drawn, tmp_path_factory) -> str:
    """A page of a run with test scores."""
    return page(numbers(tmp_path_factory.mktemp("page"), test=of_split), drawn)


def test_hostile_texts_are_shown_and_never_run(tmp_path, drawn):
    retrieval = random_retrieval(clips=20)
    texts = (HOSTILE * 10)[:60]
    split = CaptionSplit(
        split="evaluation",
        cids=np.arange(60),
        captions=texts,
        clip_of_caption=retrieval.evaluation.clips,
        clip_names=[f"{i} {text}" for i, text in enumerate(texts[:20])],
        clip_fids=np.arange(20),
    )
    hostile = found(
        findings.Retrieval(
            split, retrieval.evaluation, retrieval.audio, retrieval.text, retrieval.logits
        ),
        labels=[f"{i} {text}" for i, text in enumerate(texts[:12])],
    )
    written = page(
        numbers(tmp_path, test=hostile, settings="<script>x</script>", audio={"model": "<script>"}),
        drawn,
    )
    seen = Reader(written)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    for text in HOSTILE:
        assert text in seen.text


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
    wanted = set(re.findall(r'href="#([^"]+)"', written)) | set(
        re.findall(r"url\(#([^)]+)\)", written)
    )
    assert len(ids) == len(set(ids))
    assert wanted
    assert wanted <= set(ids)


def test_colours_are_those_of_the_page(written):
    body = written[written.index("<body>") :]
    assert not re.findall(r"#[0-9a-f]{6}\b", body)
    for name in set(re.findall(r"var\(--([\w-]+)\)", written)):
        assert written.count(f"--{name}: {figures.PALETTE[name][0]};") == 1
        assert written.count(f"--{name}: {figures.PALETTE[name][1]};") == 1


def test_light_colours_can_be_told_apart_in_a_drawing():
    light = [pair[0] for pair in figures.PALETTE.values()]
    assert len(set(light)) == len(light)


def test_what_the_page_tells(written, of_split):
    text = Reader(written).text
    for part in (
        "Synthetic <sounds>.",
        "0.200",
        "95 %: 0.100–0.300",
        "median rank",
        "Epoch 2 was kept",
        f"own clip at rank {of_split.worst[0].rank} of 20",
        "not recorded (a file in the original system's layout)",
        "conf.yaml' ",  # quoted: the folder has a space in its name
        "seed: 1",
    ):
        assert part in text, part
    for name in of_split.map.group_names:
        assert name in text


def test_a_run_without_test_clips_has_a_page_too(tmp_path, drawn):
    metrics = {"trained_on": "audiocaps", "best_epoch": 1}
    text = Reader(page(numbers(tmp_path, test=None, metrics=metrics), drawn)).text
    assert "not scored: the clips of the test split were not there" in text
    assert "main.py train-audiocaps" in text
    assert "Queries" not in text


def test_a_model_that_reads_no_tags_has_a_page_without_them():
    retrieval = random_retrieval(clips=20, with_logits=False)
    sections = retrieval_page.sections(found(retrieval, labels=[]))
    assert len(sections) == 2
    assert "By tag" not in "".join(sections)


def test_clips_without_captions_are_shown_by_their_names():
    retrieval = random_retrieval(clips=6)
    keep = retrieval.evaluation.clips < 3
    evaluation = retrieval.evaluation
    split = CaptionSplit(
        split="evaluation",
        cids=np.arange(9),
        captions=[f"caption {i}" for i in range(9)],
        clip_of_caption=evaluation.clips[keep],
        clip_names=[f"clip {i}.wav" for i in range(6)],
        clip_fids=np.arange(6),
    )
    fewer = findings.Retrieval(
        split,
        type(evaluation)(
            evaluation.ranks[keep],
            evaluation.best[keep],
            evaluation.scores[keep],
            {name: values[keep] for name, values in evaluation.values.items()},
            {},
            evaluation.clips[keep],
        ),
        retrieval.audio,
        retrieval.text[keep],
        retrieval.logits,
    )
    assert "clip 5.wav" in "".join(retrieval_page.sections(found(fewer)))


def test_pictures_are_the_same_each_time_and_of_a_readable_size():
    first, second = (figures.draw(plots.losses, HISTORY, 2) for _ in range(2))
    content = figures.png(first)
    assert content == figures.png(second)
    assert struct.unpack(">II", content[16:24]) == (700, 500)
    assert figures.svg(first, name="a", label="") == figures.svg(second, name="a", label="")
    assert b"matplotlib" not in content


def test_one_epoch_is_drawn_as_dots():
    for plot in (plots.losses, plots.validation, plots.learning_rate):
        axes = figures.draw(plot, HISTORY[:1], 1).axes[0]
        assert [line for line in axes.lines if line.get_marker() == "o"], plot


@pytest.mark.parametrize("ends", [[1, 1, 1, 0.99], [0, 0, 0, 0], [0.1, 0.5, 0.9, 0.7]])
def test_labels_at_the_ends_of_curves_do_not_overlap(ends):
    spread = plots._spread(ends)
    assert (np.diff(np.sort(spread)) >= plots._LABEL_HEIGHT - 1e-9).all()
    assert max(spread) <= 1
    assert np.argsort(spread, kind="stable").tolist() == np.argsort(ends, kind="stable").tolist()


def test_labels_that_do_not_overlap_stay_where_they_are():
    assert plots._spread([0.1, 0.5, 0.9, 0.7]) == [0.1, 0.5, 0.9, 0.7]


def test_names_with_dollar_signs_are_drawn_as_they_are():
    written = figures.svg(
        figures.draw(lambda axes: axes.set_title("$a_1$ & <b>")), name="x", label="$ & <"
    )
    seen = Reader(written)
    assert "$a_1$ & <b>" in seen.text
    assert ("aria-label", "$ & <") in seen.attributes


@pytest.fixture(scope="module")
def finished(small_demo, tmp_path_factory, real_report):
    """A finished run on the small demo set."""
    outputs = tmp_path_factory.mktemp("report")
    load_script("main").main(options(settings_for(small_demo, outputs=outputs)))
    (folder,) = (outputs / "demo").iterdir()
    return Run.complete(folder)


def test_training_leaves_a_report_that_the_command_writes_again(finished, capsys):
    written = finished.report.read_bytes()
    names = sorted(path.name for path in finished.plots.iterdir())
    pictures = {path: path.read_bytes() for path in finished.plots.iterdir()}
    assert names == [
        f"{name}.png"
        for name in ("learning_rate", "loss", "map", "ranks", "recall", "scores", "validation")
    ]
    finished.report.unlink()
    load_script("main").main(["report", str(finished.folder)])
    assert finished.report.read_bytes() == written
    assert {path: path.read_bytes() for path in finished.plots.iterdir()} == pictures
    assert "report.html" in capsys.readouterr().out
    text = Reader(written.decode()).text
    metrics = json.loads(finished.metrics.read_text())
    assert metrics["note"] in text
    assert (
        "Trained on 150 captions of 30 clips (development; synthetic, in Clotho's layout)" in text
    )
    assert f"{metrics['scores']['mAP@10']:.3f}" in text
    assert metrics["environment"]["torch"] in text


def test_a_report_that_cannot_be_written_costs_no_run(small_demo, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise InputError("cannot write report.html: no space left.")

    monkeypatch.setattr("utils.runs.training_run.write_report", fail)
    load_script("main").main(options(settings_for(small_demo, outputs=tmp_path / "outputs")))
    (folder,) = (tmp_path / "outputs/demo").iterdir()
    assert Run.complete(folder).finished
    printed = capsys.readouterr().out
    assert "no report: cannot write report.html: no space left." in printed
    assert f"python main.py report {folder}" in printed


def test_a_report_from_other_vectors_is_refused(finished):
    metrics = json.loads(finished.metrics.read_text())
    try:
        changed = {**metrics, "scores": {**metrics["scores"], "mAP@10": 0.0123}}
        finished.metrics.write_text(json.dumps(changed))
        with pytest.raises(
            InputError, match=r"mAP@10 \d\.\d{4}, not 0\.0123 as in .*metrics\.json"
        ):
            load_script("main").main(["report", str(finished.folder)])
    finally:
        finished.metrics.write_text(json.dumps(metrics))


def test_only_a_finished_run_has_a_report(tmp_path):
    (tmp_path / "conf.yaml").touch()
    with pytest.raises(
        InputError, match=r"metrics\.json, history\.csv, checkpoint_best\.safetensors missing"
    ):
        load_script("main").report_run(argparse.Namespace(run=tmp_path))
