"""Train a text-to-audio retrieval model, and score it.

Reads   conf.yaml and the files of train_data, which scripts 01, 03, 04 and 06 write
Writes  outputs/<experiment>/<run>/: conf.yaml, run.json, checkpoints, history.csv, metrics.json,
        test.output.csv, test.ranks.csv, log.txt, report.html, plots/

    python main.py                              train, then score the test split once; resumes an
                                                interrupted run (--new: start over)
    python main.py train --resume RUN_FOLDER    resume this run, perhaps for more epochs
    python main.py train-audiocaps              train on AudioCaps, for training.init_checkpoint
    python main.py sweep --recipe FILE          train a grid of settings and seeds, one table
    python main.py evaluate --checkpoint FILE   score a checkpoint
    python main.py evaluate --model tags        score AudioSet tags alone, untrained
    python main.py report RUN_FOLDER            write the report of a finished run again
    python main.py export --checkpoint FILE --output DIR    write a model folder to share
    python main.py score RESULTS.csv            score any table of results
    python main.py submit --checkpoint FILE     rank the Task 6b subset: the challenge's CSV
    python main.py moments --checkpoint FILE    find the moments of queries in long recordings
    python main.py train-moments --checkpoint FILE    train what finds their edges
    python main.py score-moments FILE --truth LIST    score the moments that any system found
    python main.py check-submission FILE        validate such a CSV; --queries: of moments
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scripts import start
from utils.datasets import task6b
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, TASK6B, corpus
from utils.evaluation.metrics import AP_CONVENTIONS
from utils.runs import moment_commands
from utils.runs.plans import PLANS, files_of_run, load_split, load_split_to_score
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError, raise_if_any
from utils.settings import options
from utils.settings.consistency import destructive
from utils.settings.needed_files import require_files

# Each command imports what it needs beyond this, so that those without a network start at once.


def main(argv: list[str] | None = None) -> None:
    """Run the command that the arguments name; without one, train."""
    args = parse_arguments(argv)
    distributed.refuse_team(f"main.py {args.name}")
    if args.new and args.command is not train:
        raise InputError(f"--new is for training, not for {args.name}. Leave it out.")
    args.command(args)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser(__doc__)
    parser.set_defaults(command=train, name="train", resume=None, trained_on=CLOTHO)
    add_new_option(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Any, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help)
        added.set_defaults(command=command, name=name)
        options.add_config_options(added, of_subcommand=True)
        return added

    training = add("train", train, "train, then score the test split once (default)")
    either = training.add_mutually_exclusive_group()
    either.add_argument("--resume", type=Path, metavar="RUN_FOLDER", help="resume this run")
    add_new_option(either)
    pretraining = add("train-audiocaps", train, "train on AudioCaps, to start from afterwards")
    pretraining.set_defaults(trained_on=AUDIOCAPS)
    add_new_option(pretraining)
    grid = add("sweep", sweep, "train a grid of settings and seeds, and compare them in a table")
    grid.add_argument("--recipe", type=Path, metavar="FILE", help="data/sweeps/paper.yaml is one")
    grid.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=VALUE1,VALUE2",
        help="also vary this key, e.g. --vary training.margin=0.2,0.4; several are combined",
    )
    grid.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="default: 1 2 3"
    )
    grid.add_argument("--resume", type=Path, metavar="FOLDER", help="resume this sweep")
    scoring = add("evaluate", evaluate_model, "score a checkpoint, or the untrained model")
    reporting = add("report", report_run, "write the report of a finished run again")
    reporting.add_argument("run", type=Path, metavar="RUN_FOLDER")
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
            help="queries and their relevant clips: query,audio_filenames (a list in Python form)",
        )
        command.add_argument(
            "--divide-ap-by",
            choices=AP_CONVENTIONS,
            default="cutoff",
            help="AP@10 over min(relevant clips, 10), or over all relevant clips",
        )
    exporting = add("export", export, "write a model folder to share")
    exporting.add_argument("--output", type=Path, required=True, metavar="DIR")
    submitting = add("submit", submit, "rank the Task 6b clips for each query")
    submitting.add_argument("--output", type=Path, metavar="DIR", help="default: the checkpoint's")
    options.add_model_option(scoring)
    for command in (exporting, submitting):
        command.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    moment_commands.add_commands(add)
    tuning = add("finetune", finetune, "train PaSST, MPNet and a trained model together")
    tuning.add_argument("--checkpoint", type=Path, metavar="FILE", help="default: the newest run's")
    tuning.add_argument(
        "--distill-from",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="checkpoints of runs whose likenesses are learned",
    )
    add_new_option(tuning)
    checking = add("check-submission", check_submission, "validate a submission")
    checking.add_argument("submission", type=Path, metavar="FILE")
    checking.add_argument(
        "--queries",
        type=Path,
        metavar="QUERIES.jsonl",
        help="check a submission of moments (JSON Lines) against this list; without it, one of Task"
        " 6b (CSV)",
    )
    return parser.parse_args(argv)


def add_new_option(target: Any, *, default: Any = argparse.SUPPRESS) -> None:
    """Add --new to the parser, or to a subcommand, whose default must not hide the parser's."""
    target.add_argument(
        "--new",
        action="store_true",
        default=default,
        help="start a new run instead of resuming an interrupted one",
    )


def train(args: argparse.Namespace) -> None:
    """Train, choose the best epoch on validation, then score the test split once."""
    from utils.runs.data import load_data
    from utils.runs.run_folder import plan_of
    from utils.runs.training_run import train_run
    from utils.runtime.devices import choose_device
    from utils.settings.relocation import relocated

    summary = terminal.Summary()
    folder, trained_on = args.resume, args.trained_on
    if folder:
        trained_on = plan_of(folder)
        config = options.load_config(args, default=folder / "conf.yaml", check=destructive)
        config = relocated(config, folder)
    else:
        config = options.load_config(args)
    require_files(files_of_run(config, PLANS[trained_on], begins=not folder))
    device = choose_device(config.training.device)
    data = load_data(config, PLANS[trained_on], device=device, summary=summary)
    train_run(config, data, trained_on=trained_on, folder=folder, new=args.new, summary=summary)


def finetune(args: argparse.Namespace) -> None:
    """Train PaSST, MPNet and a trained dual encoder together, and score the result."""
    from utils.checkpoints.checkpoint import find_checkpoint
    from utils.checkpoints.trained_model import newest_run
    from utils.runs.finetuning import finetune

    summary = terminal.Summary()
    checkpoint = args.checkpoint
    if checkpoint is None:
        checkpoint = find_checkpoint(newest_run(options.load_config(args)), "best")
    finetune(
        checkpoint,
        changed=options.changed_by(args),
        teachers=args.distill_from,
        new=args.new,
        summary=summary,
    )


def sweep(args: argparse.Namespace) -> None:
    """Train all combinations of settings with all seeds in this process, and compare them."""
    from utils.files.locks import only_run
    from utils.runs.sweep import Sweep, load_data_of_runs, train_runs
    from utils.runs.sweep_recipe import read_questions

    summary = terminal.Summary()
    if args.resume:
        if args.recipe or args.vary or args.command_overrides or args.overrides:
            raise InputError(
                "a sweep is resumed as it began: leave out --recipe, --vary and --set."
            )
        plan = Sweep.existing(args.resume)
    else:
        questions = read_questions(args.recipe, args.vary)
        if len(set(args.seeds)) < len(args.seeds):
            raise InputError(f"--seeds {' '.join(map(str, args.seeds))}: a seed occurs twice.")
        config = options.load_config(args, check=destructive)
        base = options.config_file(args).resolve().parent
        plan = Sweep.new(config, questions, args.seeds, base=base)
    configs = plan.configs()
    # All files and data first: what is missing is reported before hours of training.
    require_files(plan.needed_files(configs))
    data_of = load_data_of_runs(configs, summary=summary)
    with (
        only_run("sweep", plan.folder),
        terminal.resumable(f"sweep --resume {terminal.shown(plan.folder)}"),
    ):
        plan.save()
        summary.writes(plan.folder)
        train_runs(plan, data_of, summary=summary)
        test = data_of[configs[0]].test  # the same for all
        summary.writes(*plan.write_tables(test.split.clip_of_caption))
    print(plan.markdown.read_text(encoding="utf-8"))
    summary.finish(f"compared {len(configs)} runs; the table is in {terminal.shown(plan.markdown)}")


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
    if args.model:
        scorer = untrained_scorer(options.load_config(args), **what)
    else:
        scorer = load_scorer(args.checkpoint, changed=options.changed_by(args), **what)
    config = scorer.config
    split = load_split_to_score(config, args.subset, name, summary)
    if args.relevant:
        relevant = read_relevant_csv(args.relevant, split.clip_names)
        summary.reads(args.relevant)
        split = leave_out_failed(split, scorer.inputs, summary)
        texts, encoder = list(dict.fromkeys(relevant.queries)), text_encoder(config)
        report_unread(texts, encoder.read(texts), unit="queries", summary=summary)
        found = dict(zip(texts, scorer.find(split, encoder(texts)), strict=True))
        scores = score_text.score_queries(
            [found[query] for query in relevant.queries],
            relevant.clips,
            divide_by=args.divide_ap_by,
            seed=config.seed,
        )
        print(scores)
        summary.finish(
            f"scored {len(relevant.queries)} queries among {len(split.clip_names)} clips"
        )
        return
    split = leave_out_failed(split, scorer.inputs, summary)
    evaluation = evaluate(scorer.model, scorer.pairs(split), both_ways=True)
    scores = evaluation.means()
    intervals = evaluation.intervals(seed=config.seed)
    print(score_text.score_table({args.model or args.checkpoint.stem: scores}, intervals))
    print(score_text.audio_to_text_line(evaluation.audio_to_text_means()))
    if note := corpus(config, args.subset).synthetic_note:
        print(note)
    summary.finish(
        f"scored {score_text.captions_and_clips(split)} ({split.split}): "
        f"mAP@10 {scores['mAP@10']:.3f}"
    )


def report_run(args: argparse.Namespace) -> None:
    """Write the report of a finished run, from its folder and the vector files."""
    from utils.evaluation.evaluate import LoadedSplit
    from utils.runs.data import leave_out_failed
    from utils.runs.report import write_report
    from utils.runs.run_folder import Run
    from utils.runs.scorer import load_scorer

    summary = terminal.Summary()
    run = Run.complete(args.run)
    subset, name = PLANS[run.trained_on].test
    scorer = load_scorer(
        run.checkpoint_best,
        changed=options.changed_by(args),
        subset=subset,
        split=name,
        summary=summary,
    )
    config, inputs = scorer.config, scorer.inputs
    split = load_split(config, corpus(config, subset), name, summary)
    split = leave_out_failed(split, inputs, summary)
    test = LoadedSplit(split, scorer.pairs(split)) if split.captions else None
    write_report(run, scorer.model, test, inputs)
    summary.writes(run.report, run.plots)
    summary.finish(f"reported on {terminal.shown(run.folder)}")


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
        relevant.queries, rows, split.clip_names, path=args.results, partial=args.partial
    )
    if missing := found.count([]):
        summary.notes(f"counts {missing} of {len(found)} queries, which have no row, as not found")
    print(score_queries(found, relevant.clips, divide_by=args.divide_ap_by, seed=config.seed))
    summary.finish(f"scored {len(found)} queries")


def submit(args: argparse.Namespace) -> None:
    """Rank the clips of the official Task 6b subset for each of its queries."""
    from utils.evaluation.ranking import best_clips
    from utils.evaluation.result_tables import write_result_table, write_score_matrix
    from utils.runs.data import leave_out_failed
    from utils.runs.scorer import load_scorer

    summary = terminal.Summary()
    scorer = load_scorer(
        args.checkpoint,
        changed=options.changed_by(args),
        subset=TASK6B,
        split=task6b.SPLIT,
        summary=summary,
    )
    queries = task6b.load_queries(scorer.config.eval_data.input_path)
    queries = leave_out_failed(queries, scorer.inputs, summary)
    scores = scorer.scores(queries, scorer.inputs.sentences(queries))
    folder = args.output or args.checkpoint.parent
    table, matrix = folder / "task6b.output.csv", folder / "task6b.scores.hdf5"
    write_result_table(table, queries.captions, queries.clip_names, best_clips(scores))
    write_score_matrix(matrix, scores, queries.captions, queries.clip_names)
    summary.writes(table, matrix)
    summary.finish(f"ranked {len(queries.clip_names)} clips for {len(queries.captions)} queries")


def export(args: argparse.Namespace) -> None:
    """Write the model of a checkpoint into a folder of its own, with a card."""
    from utils.checkpoints.exporting import export_model, require_empty
    from utils.checkpoints.trained_model import open_model
    from utils.files.reading import read_json
    from utils.runs.model_card import model_card, sources_of

    summary = terminal.Summary()
    require_empty(args.output)
    overrides = [*args.overrides, *args.command_overrides]
    model = open_model(args.checkpoint, here=options.load_config(args), overrides=overrides)
    metrics = args.checkpoint.parent / "metrics.json"
    card = model_card(
        model.exported_config,
        read_json(metrics) if metrics.is_file() else None,
        sources_of(model.settings or model.config, model.trained_on),
    )
    export_model(args.output, model, card=card)
    summary.writes(args.output)
    summary.finish(f"exported {args.checkpoint.name}; README.md in that folder describes it")


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
        problems = result_tables.check_submission(args.submission, queries, subset.clip_names)
    raise_if_any(problems, args.submission)
    summary.finish(f"{args.submission} is a valid submission of {len(queries)} queries")


if __name__ == "__main__":
    start.run(main, after_interrupt="the same command resumes, without --new")
