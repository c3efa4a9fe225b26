"""Train a text-to-audio retrieval model, and score it.

Reads   conf.yaml and the files of train_data, which scripts 01, 03, 04 and 06 write
Writes  outputs/<experiment>/<run>/: conf.yaml, checkpoints, history.csv, metrics.json,
        test.output.csv, test.ranks.csv, log.txt, report.html, plots/

    python main.py                              train, then score the test split once; if that was
                                                interrupted, go on (--new: start over)
    python main.py train --resume RUN_FOLDER    go on with this run, perhaps for more epochs
    python main.py train-audiocaps              train on AudioCaps, for training.init_checkpoint
    python main.py sweep --recipe FILE          train a grid of settings and seeds, one table
    python main.py evaluate --checkpoint FILE   score a checkpoint
    python main.py report RUN_FOLDER            write the report of a finished run again
    python main.py export --checkpoint FILE --output DIR    write a model folder to share
    python main.py score RESULTS.csv            score any table of results
    python main.py submit --checkpoint FILE     rank the Task 6b subset: the challenge's CSV
    python main.py check-submission FILE        say what is wrong with such a CSV
"""

from utils import interrupts

interrupts.end_quietly_until_run(__name__)

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.dual_encoder import DualEncoder, tag_embedding
from models.losses import make_loss
from models.sentence_encoder import SentenceEncoder
from utils import cli, devices, distributed, metrics, report, sentences, task6b
from utils.audioset import read_labels
from utils.checkpoint import load_checkpoint
from utils.config import PROJECT_ROOT, Config
from utils.consistency import destructive, require_files
from utils.corpora import AUDIOCAPS, CLOTHO, TASK6B, corpus
from utils.datasets import CaptionSplit, QuerySplit
from utils.errors import InputError, refuse
from utils.evaluation import evaluate
from utils.experiment import (
    PLANS,
    Part,
    files_of_run,
    leave_out_failed,
    load_clips,
    load_data,
    load_inputs,
    load_pairs,
    load_split,
    needed_files,
)
from utils.exporting import exported_config, require_empty, write_exported
from utils.files import read_json, read_text
from utils.inputs import Inputs
from utils.locks import only_run
from utils.model_card import model_card, sources_of
from utils.recipe import read_questions
from utils.relevance import read_relevant_csv, read_result_table, relevant_by_caption
from utils.resuming import (
    load_into,
    settings_of,
    weights_of,
)
from utils.retrieval import best_clips, score_matrix, write_result_table, write_score_matrix
from utils.run_report import write_report
from utils.runs import Run
from utils.sweep import Sweep, load_data_of_runs, train_runs
from utils.training_run import build_model, make_trainer, train_run


def main(argv: list[str] | None = None) -> None:
    """Run the command that the arguments name; without one, train."""
    args = parse_arguments(argv)
    if args.command is not train:
        distributed.refuse_team(f"main.py {args.name}")
        if args.new:
            raise InputError(f"--new is for training: {args.name} begins nothing anew. Drop it.")
    args.command(args)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = cli.parser(__doc__)
    parser.set_defaults(command=train, resume=None, trained_on=CLOTHO)
    add_new_option(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Any, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help)
        added.set_defaults(command=command, name=name)
        cli.add_config_options(added, of_subcommand=True)
        return added

    training = add("train", train, "train, then score the test split once (default)")
    either = training.add_mutually_exclusive_group()
    either.add_argument("--resume", type=Path, metavar="RUN_FOLDER", help="go on with this run")
    add_new_option(either)
    pretraining = add("train-audiocaps", train, "train on AudioCaps, to start from afterwards")
    pretraining.set_defaults(trained_on=AUDIOCAPS)
    add_new_option(pretraining)
    sweeping = add(
        "sweep", sweep, "train a grid of settings and seeds, and compare them in a table"
    )
    sweeping.add_argument(
        "--recipe", type=Path, metavar="FILE", help="data/sweeps/paper.yaml is one"
    )
    sweeping.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=VALUE1,VALUE2",
        help="ask about this key too, such as --vary training.margin=0.2,0.4; several: combined",
    )
    sweeping.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="default: 1 2 3"
    )
    sweeping.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with this sweep")
    scoring = add("evaluate", evaluate_checkpoint, "score a checkpoint")
    scoring.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    reporting = add("report", report_run, "write the report of a finished run again")
    reporting.add_argument("run", type=Path, metavar="RUN_FOLDER")
    table = add("score", score_results, "score a table of results: caption,file_name_1,...")
    table.add_argument("results", type=Path, metavar="RESULTS.csv")
    for command in (scoring, table):
        cli.add_subset_option(command, CLOTHO, AUDIOCAPS)
        command.add_argument("--split", help="default: the test split of the data set")
        command.add_argument(
            "--relevant",
            type=Path,
            metavar="FILE.csv",
            help="queries and their relevant clips: query,audio_filenames (a list in Python form)",
        )
        command.add_argument(
            "--divide-ap-by",
            choices=metrics.AP_CONVENTIONS,
            default="cutoff",
            help="AP@10 over min(relevant clips, 10), or over all relevant clips",
        )
    exporting = add("export", export, "write a model folder to share")
    exporting.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    exporting.add_argument("--output", type=Path, required=True, metavar="DIR")
    submitting = add("submit", submit, "rank the Task 6b clips for each query")
    submitting.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    submitting.add_argument("--output", type=Path, metavar="DIR", help="default: the checkpoint's")
    checking = add("check-submission", check_submission, "say what is wrong with a submission")
    checking.add_argument("submission", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def add_new_option(target: Any, *, default: Any = argparse.SUPPRESS) -> None:
    """Add --new to the parser or to a subcommand, whose default would silence the parser's."""
    target.add_argument(
        "--new",
        action="store_true",
        default=default,
        help="begin a new run, even where the same one was interrupted",
    )


def train(args: argparse.Namespace) -> None:
    """Train, choose the best epoch on validation, then score the test split once."""
    summary = cli.Summary()
    team = distributed.team(patience=distributed.PATIENCE_IN_TRAINING)
    given = Run.existing(args.resume) if args.resume else None
    if given:
        config = cli.load_config(args, default=given.settings, check=destructive)
    else:
        config = cli.load_config(args)
    trained_on = given.trained_on if given else args.trained_on
    plan = PLANS[trained_on]
    require_files(files_of_run(config, plan, begins=not given))
    device = devices.choose_device(config.training.device)
    data = load_data(config, plan, device=device, tag_embedding=tag_embedding, summary=summary)
    trainer = make_trainer(config, data, dual_encoder=DualEncoder, make_loss=make_loss, team=team)
    train_run(
        config, data, trainer, trained_on=trained_on, given=given, new=args.new, summary=summary
    )


def sweep(args: argparse.Namespace) -> None:
    """Train all combinations of settings with all seeds in this process, and compare them."""
    summary = cli.Summary()
    if args.resume and (args.recipe or args.vary or args.command_overrides or args.overrides):
        raise InputError(
            "a sweep is resumed as it was begun: leave out --recipe, --vary and --set."
        )
    plan = Sweep.existing(args.resume) if args.resume else new_sweep(args)
    configs = plan.configs()
    # All files and data first: what is missing is missed before hours of training.
    require_files(plan.needed_files(configs))
    data_of = load_data_of_runs(configs, tag_embedding=tag_embedding, summary=summary)
    with only_run("sweep", plan.folder), cli.going_on(f"sweep --resume {cli.shown(plan.folder)}"):
        plan.save()
        summary.writes(plan.folder)
        train_runs(plan, data_of, dual_encoder=DualEncoder, make_loss=make_loss, summary=summary)
        test = data_of[configs[0]].test  # the same for all
        summary.writes(*plan.write_tables(test.split.clip_of_caption))
    print(plan.markdown.read_text(encoding="utf-8"))
    summary.finish(f"compared {len(configs)} runs; the table is in {cli.shown(plan.markdown)}")


def new_sweep(args: argparse.Namespace) -> Sweep:
    """Make the sweep that the arguments ask for."""
    questions = read_questions(args.recipe, args.vary)
    if len(set(args.seeds)) < len(args.seeds):
        raise InputError(f"--seeds {' '.join(map(str, args.seeds))}: a seed stands there twice.")
    config = cli.load_config(args, check=destructive)
    return Sweep.new(config, questions, args.seeds, base=cli.config_file(args).resolve().parent)


def evaluate_checkpoint(args: argparse.Namespace) -> None:
    """Score a checkpoint on one split, by its captions or by queries of the user's own."""
    summary = cli.Summary()
    splits = [args.split or PLANS[args.subset].test[1]]
    model, inputs, config = load_model(args, args.subset, splits, summary)
    split = load_chosen_split(args, config, summary)
    if args.relevant:
        relevant = read_relevant_csv(args.relevant, split.clip_names)
        summary.reads(args.relevant)
        split = leave_out_failed(split, inputs, summary)
        encode = sentences.TextEncoder(config=config, load_encoder=SentenceEncoder)
        vectors = encode(list(relevant))
        best = best_clips(score_queries(model, split, inputs, torch.from_numpy(vectors)))
        found = [[split.clip_names[clip] for clip in row] for row in best]
        print_scores(list(relevant), found, relevant, args, config)
        summary.finish(f"scored {len(relevant)} queries among {len(split.clip_names)} clips")
        return
    split = leave_out_failed(split, inputs, summary)
    device = model.audio_projection.weight.device
    evaluation = evaluate(model, load_pairs(split, inputs, tag_embedding, device), both_ways=True)
    scores = evaluation.means()
    intervals = evaluation.intervals(seed=config.seed)
    print(report.score_table({args.checkpoint.stem: scores}, intervals))
    print(report.audio_to_text_line(evaluation.audio_to_text_means()))
    if note := corpus(config, args.subset).synthetic_note:
        print(note)
    summary.finish(
        f"scored {report.captions_and_clips(split)} ({split.split}): mAP@10 {scores['mAP@10']:.3f}"
    )


def report_run(args: argparse.Namespace) -> None:
    """Write the report of a finished run, from its folder and the vector files."""
    summary = cli.Summary()
    run = Run.complete(args.run)
    args.checkpoint = run.checkpoint_best
    subset, name = PLANS[run.trained_on].test
    model, inputs, config = load_model(args, subset, [name], summary)
    split = load_split(config, corpus(config, subset), name, summary)
    split = leave_out_failed(split, inputs, summary)
    test = None
    if split.captions:
        device = model.audio_projection.weight.device
        test = Part(split, load_pairs(split, inputs, tag_embedding, device))
    features = config.model.audio_features
    write_report(run, model, test, inputs=inputs, audio_features=features, seed=config.seed)
    summary.writes(run.report, run.plots)
    summary.finish(f"reported on {cli.shown(run.folder)}")


def score_results(args: argparse.Namespace) -> None:
    """Score a table of results, of whatever system."""
    summary = cli.Summary()
    config = cli.load_config(args)
    split = load_chosen_split(args, config, summary)
    if args.relevant:
        summary.reads(args.relevant)
        relevant = read_relevant_csv(args.relevant, split.clip_names)
    else:
        relevant = relevant_by_caption(split)
    summary.reads(args.results)
    queries, found = read_result_table(args.results)
    print_scores(queries, found, relevant, args, config)
    summary.finish(f"scored {len(queries)} queries")


def load_chosen_split(
    args: argparse.Namespace, config: Config, summary: cli.Summary
) -> CaptionSplit:
    """Read the split that --subset and --split name; without --split, the test split."""
    of = corpus(config, args.subset)
    name = args.split or PLANS[args.subset].test[1]
    if name not in of.splits:
        raise InputError(
            f"--split {name}: {args.subset} has the splits {', '.join(of.splits)}. Name one."
        )
    split = load_split(config, of, name, summary)
    if not split.captions:
        raise InputError(
            f"the {name} split in {of.files.input_path} has no captions: nothing can be scored."
        )
    return split


def print_scores(
    queries: list[str],
    found: list[list[str]],
    relevant: dict[str, set[str]],
    args: argparse.Namespace,
    config: Config,
) -> None:
    """Print the scores of queries that may have several relevant clips, and how they are meant."""
    values = metrics.score_result_rows(queries, found, relevant, divide_by=args.divide_ap_by)
    each = np.arange(len(queries))
    print(
        report.score_table(
            {"scores": {name: float(value.mean()) for name, value in values.items()}},
            {
                name: metrics.bootstrap_interval(value, each, seed=config.seed)
                for name, value in values.items()
            },
        )
    )
    print(
        "R@k is the share of a query's relevant clips among the first k; AP@10 is divided by "
        f"{metrics.AP_CONVENTIONS[args.divide_ap_by]}"
    )


def load_model(
    args: argparse.Namespace, subset: str, splits: list[str], summary: cli.Summary
) -> tuple[DualEncoder, Inputs, Config]:
    """Read a checkpoint's model, and the vector files of a data set."""
    checkpoint = load_checkpoint(args.checkpoint)
    summary.reads(args.checkpoint)
    config = settings_of(checkpoint, args)
    of = corpus(config, subset)
    require_files(needed_files(config, of, [split for split in splits if split in of.splits]))
    inputs = load_inputs(config, of, summary)
    model = build_model(config.model, inputs, dual_encoder=DualEncoder, seed=0)
    load_into(model, weights_of(checkpoint), args.checkpoint)
    return model.to(devices.choose_device(config.training.device)).eval(), inputs, config


def submit(args: argparse.Namespace) -> None:
    """Rank the clips of the official Task 6b subset for each of its queries."""
    summary = cli.Summary()
    model, inputs, config = load_model(args, TASK6B, [task6b.SPLIT], summary)
    queries = task6b.load_queries(config.eval_data.input_path)
    queries = leave_out_failed(queries, inputs, summary)
    scores = score_queries(model, queries, inputs, inputs.sentences(queries))
    folder = args.output or args.checkpoint.parent
    table, matrix = folder / "task6b.output.csv", folder / "task6b.scores.hdf5"
    write_result_table(table, queries.captions, queries.clip_names, best_clips(scores))
    write_score_matrix(matrix, scores, queries.captions, queries.clip_names)
    summary.writes(table, matrix)
    summary.finish(f"ranked {len(queries.clip_names)} clips for {len(queries.captions)} queries")


def score_queries(
    model: DualEncoder, clips: QuerySplit, inputs: Inputs, queries: torch.Tensor
) -> NDArray[np.float32]:
    """Score each clip of a split for each query, from the queries' sentence vectors."""
    device = model.audio_projection.weight.device
    features, _, tags = load_clips(clips, inputs, tag_embedding, device)
    with torch.inference_mode():
        audio = model.encode_audio(features, tags)
        text = model.encode_text(queries.to(device))
        return score_matrix(audio, text)


def export(args: argparse.Namespace) -> None:
    """Write the model of a checkpoint into a folder of its own, with a card."""
    summary = cli.Summary()
    require_empty(args.output)
    trained_on = load_checkpoint(args.checkpoint).get("trained_on", CLOTHO)
    model, inputs, config = load_model(args, PLANS[trained_on].training[0], [], summary)
    described = exported_config(
        config.model,
        audio_size=inputs.audio_size,
        text_size=inputs.text_size,
        passt=inputs.projected[0].attributes,
        sentence_model=inputs.captions.attributes,
        trained_on=trained_on,
    )
    metrics_file = args.checkpoint.parent / "metrics.json"
    scored = read_json(metrics_file) if metrics_file.is_file() else None
    card = model_card(described, scored, sources_of(config, trained_on))
    write_exported(
        args.output,
        described,
        model.state_dict(),
        tags=read_labels(),
        card=card,
        licence=read_text(PROJECT_ROOT / "LICENSE"),
    )
    summary.writes(args.output)
    summary.finish(f"exported {args.checkpoint.name}; what it is says README.md in that folder")


def check_submission(args: argparse.Namespace) -> None:
    """Say what is wrong with a submission, by line."""
    summary = cli.Summary()
    config = cli.load_config(args)
    queries = task6b.load_queries(config.eval_data.input_path)
    summary.reads(args.submission)
    problems = task6b.check_submission(args.submission, queries.captions, queries.clip_names)
    refuse(problems, args.submission)
    summary.finish(f"{args.submission} is a valid submission of {len(queries.captions)} queries")


if __name__ == "__main__":
    sys.exit(cli.run(main, after_interrupt="the same command goes on, without --new"))
