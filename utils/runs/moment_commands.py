"""The commands of `main.py` that find moments, learn to, and score them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets.corpus import CASTELLA, CLOTHO_MOMENT
from utils.runs.plans import load_split_to_score
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.datasets.moment_lists import MomentQuery
    from utils.datasets.splits import CaptionSplit
    from utils.runs.moments import Answer, Ranked
    from utils.runs.scorer import Scorer

MOMENT_RULES = """score moments as DCASE 2026 task 6 does

A row of PREDICTIONS is a query: {"qid": ..., "pred_relevant_windows": [[start, end, score], ...]}.
Times are seconds. Scores equal those of the published evaluator; some of its rules may surprise:

- R1 takes the window that is listed first, whatever the scores. List the best first.
- AP takes the ten windows that are listed first, and then sorts these by score. Windows of two
  numbers have no score, and keep their order.
- AP is divided by the number of true windows, also where they are more than ten: not even the truth
  itself scores 100.
- Nothing is cut at the end of the recording. A window of no length is never right. True windows of
  no length, or longer than 1500 s, do not count.

Other than there, a query without predictions is an error, and counts as not found with --partial.
"""


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands, by a function that takes a name, what runs it, and `help`."""
    finding = add("moments", find_moments, help="find the moments of queries in long recordings")
    finding.add_argument("--split", default="test", help="default: test")
    finding.add_argument(
        "--submit", action="store_true", help="also write submission.jsonl, for DCASE 2026 task 6"
    )
    finding.add_argument(
        "--compare",
        action="store_true",
        help="also score the whole recording, the best 10 s, the best 20 s, and an oracle",
    )
    edges = add(
        "train-moments", train_moments, help="train the network that finds the cells of moments"
    )
    for command in (finding, edges):
        options.add_subset_option(command, CLOTHO_MOMENT, CASTELLA)
        options.add_model_option(command)
        command.add_argument(
            "--output", type=Path, metavar="DIR", help="default: beside the checkpoint"
        )
    scoring = add("score-moments", score_moments, help="score moments as DCASE 2026 task 6 does")
    scoring.description = MOMENT_RULES
    scoring.formatter_class = argparse.RawDescriptionHelpFormatter
    scoring.add_argument("predictions", type=Path, metavar="PREDICTIONS.jsonl")
    scoring.add_argument(
        "--truth", type=Path, required=True, metavar="TRUTH.jsonl", help="a list with true windows"
    )
    scoring.add_argument("--json", action="store_true", help="print one JSON object")
    scoring.add_argument(
        "--partial",
        action="store_true",
        help="accept a file without some of the queries, and count them as not found",
    )


def find_moments(args: argparse.Namespace) -> None:
    """Rank windows for the queries of a moment set, score them if the truth is known."""
    from utils.evaluation import score_text
    from utils.evaluation.moment_predictions import write_predictions, write_submission
    from utils.evaluation.moments import score_moments, scored_windows
    from utils.files.writing import atomic_write
    from utils.runs.report.moment_findings import judge
    from utils.runs.report.moment_page import moment_page

    summary = terminal.Summary()
    scorer, split, folder = _moment_inputs(args, args.split, summary)
    of, seed = scorer.inputs.of, scorer.config.seed
    queries = of.load_moments(split)
    answers, others, how = _answers(scorer, split, queries, summary, compare=args.compare)
    found = {answer.query.qid: answer.windows for answer in answers}
    path = folder / f"{args.subset}_{split.split}.jsonl"
    scores_path, report = path.with_suffix(".json"), path.with_suffix(".html")
    write_predictions(path, queries, found)
    summary.writes(path)
    if args.submit:
        write_submission(folder / "submission.jsonl", queries, found)
        summary.writes(folder / "submission.jsonl")
    judged, rows = None, {}
    if any(map(scored_windows, queries)):
        judged = judge(answers, others["oracle"])
        if args.compare:
            rows = {name: score_moments(ranked, queries).means() for name, ranked in others.items()}
        rows["found"] = judged.scores.means()
        with atomic_write(scores_path, "w") as file:
            json.dump(score_text.moment_json(judged.scores, seed=seed), file, indent=1)
        summary.writes(scores_path)
        print(score_text.moment_table(judged.scores, seed=seed, rows=rows))
    with atomic_write(report, "w") as file:
        file.write(
            moment_page(
                f"{args.subset} / {split.split}",
                answers,
                judged,
                rows=rows,
                how=how,
                facts=_facts(args, scorer),
                note=of.synthetic_note,
                seed=seed,
            )
        )
    summary.writes(report)
    if of.synthetic_note:
        print(of.synthetic_note)
    summary.finish(f"found moments for {len(queries)} queries ({split.split}) {how}")


def _answers(
    scorer: Scorer,
    split: CaptionSplit,
    queries: Sequence[MomentQuery],
    summary: terminal.Summary,
    *,
    compare: bool,
) -> tuple[list[Answer], dict[str, Ranked], str]:
    """Answer queries: also by an oracle, and if wanted in ways that look for no edges; and how."""
    from utils.moments.network_file import load_moment_net
    from utils.runs.moment_baselines import baselines, oracle
    from utils.runs.moments import answers_of, read_recordings

    settings, net, how = scorer.config.moments, None, "by likeness alone, untrained"
    if settings.network:
        net = load_moment_net(settings.network)
        summary.reads(settings.network)
        how = f"by {settings.network.name}"
    answers, others = {}, {}
    with terminal.progress(len(split.clip_names), "moments", "recordings") as bar:
        for recording in read_recordings(scorer, split, queries):
            answers |= answers_of(recording, net, count=settings.windows)
            ways = baselines(recording, scorer) if compare else {}
            for name, ranked in {**ways, "oracle": oracle(recording)}.items():
                others.setdefault(name, {}).update(ranked)
            bar.update(1)
    return [answers[query.qid] for query in queries], others, how


def _facts(args: argparse.Namespace, scorer: Scorer) -> dict[str, Any]:
    """Say what the moments were found with."""
    from utils.runs.report.rendering import network_facts

    inputs, moments = scorer.inputs, scorer.config.moments
    return {
        "model": args.checkpoint or "AudioSet tags alone, untrained",
        "network of moments": moments.network or "none: by likeness alone",
        "listed windows": moments.windows,
        **network_facts(inputs.projected[0].attributes, inputs.captions.attributes),
    }


def train_moments(args: argparse.Namespace) -> None:
    """Train the network that finds the cells of moments, on the train split of a moment set."""
    from utils.moments.network_file import save_moment_net
    from utils.runs.moments import train_on

    summary = terminal.Summary()
    scorer, training, folder = _moment_inputs(args, "train", summary)
    validation = _usable_split(args, scorer, "val", summary)
    net, story = train_on(scorer, training, validation, say=print)
    path = folder / f"moments_{args.subset}.safetensors"
    save_moment_net(path, net, {"subset": args.subset, **story})
    summary.writes(path)
    summary.finish(
        f"trained on {len(training.captions)} queries. Use it: --set moments.network={path}"
    )


def _moment_inputs(
    args: argparse.Namespace, split: str, summary: terminal.Summary
) -> tuple[Scorer, CaptionSplit, Path]:
    """Read the model and a split of a moment set, and choose the folder to write to."""
    from utils.runs.scorer import load_scorer, untrained_scorer

    what = {"subset": args.subset, "split": split, "summary": summary}
    if args.model:
        scorer = untrained_scorer(options.load_config(args), **what)
        folder = scorer.config.output_path / scorer.config.experiment
    else:
        # Moments are searched for here, whatever the model was trained on.
        here = options.load_config(args)
        moments = {name: getattr(here, name) for name in ("castella", "clotho_moment", "moments")}
        scorer = load_scorer(
            args.checkpoint,
            changed=lambda trained: replace(options.changed_by(args)(trained), **moments),
            **what,
        )
        folder = args.checkpoint.parent
    loaded = _usable_split(args, scorer, split, summary)
    return scorer, loaded, args.output or folder / "moments"


def _usable_split(
    args: argparse.Namespace, scorer: Scorer, split: str, summary: terminal.Summary
) -> CaptionSplit:
    """Read a split of a moment set, without the recordings that could not be tagged."""
    from utils.runs.data import leave_out_failed

    loaded = load_split_to_score(scorer.config, args.subset, split, summary)
    return leave_out_failed(loaded, scorer.inputs, summary)


def score_moments(args: argparse.Namespace) -> None:
    """Score the moments that any system found."""
    from utils.datasets.moment_lists import read_moment_list
    from utils.evaluation import moment_predictions, score_text
    from utils.evaluation.moments import score_moments, scored_windows

    summary = terminal.Summary()
    summary.silent |= args.json
    config = options.load_config(args)
    summary.reads(args.truth, args.predictions)
    truth = read_moment_list(args.truth)
    scored = [query for query in truth if scored_windows(query)]
    if not scored:
        raise InputError(f"{args.truth} has no true windows. Name a list with relevant_windows.")
    found = moment_predictions.read_predictions(args.predictions, truth, partial=args.partial)
    notes = moment_predictions.notes_on(found)
    if missing := sum(not found.get(query.qid) for query in scored):
        notes.append(f"{missing} of {len(scored)} queries have no prediction: not found")
    if left := len(truth) - len(scored):
        notes.append(f"{left} of {len(truth)} queries have no true window, and are not scored")
    scores = score_moments(found, scored)
    if args.json:
        print(json.dumps({**score_text.moment_json(scores, seed=config.seed), "notes": notes}))
        return
    for note in notes:
        summary.notes(note)
    print(score_text.moment_table(scores, seed=config.seed))
    summary.finish(f"scored {len(scored)} queries")
