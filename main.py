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
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, corpus
from utils.runs import moment_commands, score_commands
from utils.runs.plans import PLANS, files_of_run, load_split
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.settings import options
from utils.settings.consistency import destructive
from utils.settings.needed_files import require_files

# Each command imports what it needs beyond this, so that those without a network start at once.


def main(argv: list[str] | None = None) -> None:
    """Run the command that the arguments name; without one, train."""
    args = parse_arguments(argv)
    if args.command is not finetune:
        distributed.refuse_team(f"main.py {args.name}")
    if args.new and args.command not in (train, finetune):
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
    reporting = add("report", report_run, "write the report of a finished run again")
    reporting.add_argument("run", type=Path, metavar="RUN_FOLDER")
    exporting = add("export", export, "write a model folder to share")
    exporting.add_argument("--output", type=Path, required=True, metavar="DIR")
    exporting.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    score_commands.add_commands(add)
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


if __name__ == "__main__":
    start.run(main, after_interrupt="the same command resumes, without --new")
