"""The commands of `main.py` that score retrieval, and write and check what a challenge scores."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from utils.datasets import task6b
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, TASK6B, corpus
from utils.evaluation.metrics import AP_CONVENTIONS, CUTOFF
from utils.runs.plans import PLANS, load_split_to_score
from utils.runtime import terminal
from utils.runtime.errors import InputError, raise_if_any
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.datasets.splits import CaptionSplit
    from utils.evaluation.metrics import Evaluation
    from utils.settings.config import Config


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands, by a function that takes a name, what runs it, and `help`."""
    scoring = add("evaluate", evaluate_model, "score a checkpoint, or the untrained model")
    table = add("score", score_results, "score a table of results: caption,file_name_1,...")
    table.add_argument("results", type=Path, metavar="RESULTS.csv")
    table.add_argument(
        "--partial",
        action="store_true",
        help="accept a table without some of the queries, and count them as not found",
    )
    for command in (scoring, table):
        options.add_subset_option(command, CLOTHO, AUDIOCAPS)
        command.add_argument("--split", help="default: the test split of the data set")
        command.add_argument(
            "--relevant",
            type=Path,
            metavar="FILE.csv",
            help="queries and their relevant clips: query,audio_filenames (a list in Python form), "
            "or query,audio_filename,grade",
        )
        command.add_argument(
            "--cutoff",
            type=int,
            default=CUTOFF,
            metavar="K",
            help="of mAP@K and nDCG@K, for queries with relevant clips of their own (default: 10; "
            "16 in DCASE 2025)",
        )
        command.add_argument(
            "--divide-ap-by",
            choices=AP_CONVENTIONS,
            default="cutoff",
            help="AP@K over min(relevant clips, K), or over all relevant clips",
        )
    submitting = add("submit", submit, "rank the Task 6b clips for each query")
    submitting.add_argument("--output", type=Path, metavar="DIR", help="default: the checkpoint's")
    options.add_model_option(scoring, several=True)
    options.add_checkpoints_option(submitting, required=True)
    checking = add("check-submission", check_submission, "validate a submission")
    checking.add_argument("submission", type=Path, metavar="FILE")
    checking.add_argument(
        "--queries",
        type=Path,
        metavar="QUERIES.jsonl",
        help="check a submission of moments (JSON Lines) against this list; without it, one of Task"
        " 6b (CSV)",
    )


def evaluate_model(args: argparse.Namespace) -> None:
    """Score a model on one split, by its captions or by queries of the user's own."""
    from utils.evaluation import score_text
    from utils.evaluation.evaluate import evaluate
    from utils.evaluation.relevance import read_relevant_csv
    from utils.features.sentences import report_unread, text_encoder
    from utils.runs.data import leave_out_failed
    from utils.runs.scorer import load_scorer, untrained_scorer

    summary = terminal.Summary()
    name = args.split or PLANS[args.subset].test[1]
    what = {
        "subset": args.subset,
        "split": name,
        "sentences": not args.relevant,
        "summary": summary,
    }
    if args.checkpoint and len(args.checkpoint) > 1:
        _evaluate_together(args, name, summary)
        return
    if args.model:
        scorer = untrained_scorer(options.load_config(args), **what)
    else:
        scorer = load_scorer(args.checkpoint[0], changed=options.changed_by(args), **what)
    config = scorer.config
    split = load_split_to_score(config, args.subset, name, summary)
    if args.relevant:
        relevant = read_relevant_csv(args.relevant, split.clip_names)
        summary.reads(args.relevant)
        split = leave_out_failed(split, scorer.inputs, summary)
        texts, encoder = list(dict.fromkeys(relevant.queries)), text_encoder(config)
        report_unread(texts, encoder.read(texts), unit="queries", summary=summary)
        top = max(args.cutoff, CUTOFF)
        found = dict(zip(texts, scorer.find(split, encoder(texts), top=top), strict=True))
        scores = score_text.score_queries(
            [found[query] for query in relevant.queries],
            relevant,
            divide_by=args.divide_ap_by,
            cutoff=args.cutoff,
            seed=config.seed,
        )
        print(scores)
        summary.finish(
            f"scored {len(relevant.queries)} queries among {len(split.clip_names)} clips"
        )
        return
    split = leave_out_failed(split, scorer.inputs, summary)
    evaluation = evaluate(scorer.model, scorer.pairs(split), both_ways=True)
    label = args.model or args.checkpoint[0].stem
    _print_scores({label: evaluation}, split, config, args.subset, summary)


def _evaluate_together(args: argparse.Namespace, name: str, summary: terminal.Summary) -> None:
    """Score several models on one split: each, and all together."""
    import torch

    from utils.evaluation.evaluate import evaluate, evaluate_scores
    from utils.runs.ensemble import load_scorers, mean_scores, usable_by_all

    if args.relevant:
        raise InputError("--relevant takes one --checkpoint. Give one.")
    changed = options.changed_by(args)
    scorers = load_scorers(
        args.checkpoint, changed=changed, subset=args.subset, split=name, summary=summary
    )
    config = scorers[0].config
    split = load_split_to_score(config, args.subset, name, summary)
    split = usable_by_all(split, scorers, summary)
    of_each = {
        f"{number}. {path.parent.name}": evaluate(scorer.model, scorer.pairs(split), both_ways=True)
        for number, (path, scorer) in enumerate(zip(args.checkpoint, scorers, strict=True), 1)
    }
    scores = torch.from_numpy(mean_scores(scorers, split))
    together = evaluate_scores(scores, torch.from_numpy(split.clip_of_caption))
    _print_scores({**of_each, "together": together}, split, config, args.subset, summary)


def _print_scores(
    evaluations: dict[str, Evaluation],
    split: CaptionSplit,
    config: Config,
    subset: str,
    summary: terminal.Summary,
) -> None:
    """Print a table, and of the last evaluation its intervals and the other direction."""
    from utils.evaluation import score_text

    last = list(evaluations.values())[-1]
    rows = {label: evaluation.means() for label, evaluation in evaluations.items()}
    print(score_text.score_table(rows, last.intervals(seed=config.seed)))
    print(score_text.audio_to_text_line(last.audio_to_text_means()))
    if note := corpus(config, subset).synthetic_note:
        print(note)
    summary.finish(
        f"scored {score_text.captions_and_clips(split)} ({split.split}): "
        f"mAP@10 {last.means()['mAP@10']:.3f}"
    )


def score_results(args: argparse.Namespace) -> None:
    """Score a table of results from any system."""
    from utils.evaluation.relevance import read_relevant_csv, relevant_by_caption
    from utils.evaluation.result_tables import read_result_table, results_for
    from utils.evaluation.score_text import score_queries
    from utils.runs.left_out import leave_out_as_runs_do

    summary = terminal.Summary()
    config = options.load_config(args)
    name = args.split or PLANS[args.subset].test[1]
    split = load_split_to_score(config, args.subset, name, summary)
    rows = read_result_table(args.results)
    if args.relevant:
        summary.reads(args.relevant)
        relevant = read_relevant_csv(args.relevant, split.clip_names)
    else:
        queries = [query for _, (query, *_) in rows]
        split = leave_out_as_runs_do(split, queries, corpus(config, args.subset), summary)
        relevant = relevant_by_caption(split)
    summary.reads(args.results)
    found = results_for(
        relevant.queries,
        rows,
        split.clip_names,
        path=args.results,
        partial=args.partial,
        depth=max(args.cutoff, CUTOFF),
    )
    if missing := found.count([]):
        summary.notes(f"counts {missing} of {len(found)} queries, which have no row, as not found")
    scores = score_queries(
        found, relevant, divide_by=args.divide_ap_by, cutoff=args.cutoff, seed=config.seed
    )
    print(scores)
    summary.finish(f"scored {len(found)} queries")


def submit(args: argparse.Namespace) -> None:
    """Rank the clips of the official Task 6b subset for each of its queries."""
    from utils.evaluation.ranking import best_clips
    from utils.evaluation.result_tables import write_result_table, write_score_matrix
    from utils.runs.ensemble import load_scorers, mean_scores, usable_by_all

    summary = terminal.Summary()
    scorers = load_scorers(
        args.checkpoint,
        changed=options.changed_by(args),
        subset=TASK6B,
        split=task6b.SPLIT,
        summary=summary,
    )
    config, scorer = scorers[0].config, scorers[0]
    queries = task6b.load_queries(config.eval_data.input_path)
    queries = usable_by_all(queries, scorers, summary)
    if len(scorers) == 1:
        scores = scorer.scores(queries, scorer.inputs.sentences(queries))
    else:
        scores = mean_scores(scorers, queries)
    folder = args.output or args.checkpoint[0].parent
    table, matrix = folder / "task6b.output.csv", folder / "task6b.scores.hdf5"
    best = best_clips(scores, top=config.results)
    write_result_table(table, queries.captions, queries.clip_names, best)
    write_score_matrix(matrix, scores, queries.captions, queries.clip_names)
    summary.writes(table, matrix)
    summary.finish(f"ranked {len(queries.clip_names)} clips for {len(queries.captions)} queries")


def check_submission(args: argparse.Namespace) -> None:
    """Report what is wrong with a submission, by line."""
    from utils.evaluation import result_tables
    from utils.evaluation.moment_predictions import check_moment_submission

    summary = terminal.Summary()
    if args.queries:
        from utils.datasets.moment_lists import read_moment_list

        summary.reads(args.queries, args.submission)
        queries = read_moment_list(args.queries)
        problems = check_moment_submission(args.submission, queries)
    else:
        config = options.load_config(args)
        subset = task6b.load_queries(config.eval_data.input_path)
        queries = subset.captions
        summary.reads(args.submission)
        problems = result_tables.check_submission(
            args.submission, queries, subset.clip_names, depth=config.results
        )
    raise_if_any(problems, args.submission)
    summary.finish(f"{args.submission} is a valid submission of {len(queries)} queries")
