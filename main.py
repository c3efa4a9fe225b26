"""Train a text-to-audio retrieval model, and score it.

Reads   conf.yaml and the files of train_data, which scripts 01, 03, 04 and 06 write
Writes  outputs/<experiment>/<run>/: conf.yaml, checkpoints, history.csv, metrics.json,
        test.output.csv, log.txt

    python main.py                              train, then score the test split once
    python main.py train --resume RUN_FOLDER    go on with an interrupted run
    python main.py evaluate --checkpoint FILE   score a checkpoint
    python main.py submit --checkpoint FILE     rank the Task 6b subset: the challenge's CSV
    python main.py check-submission FILE        say what is wrong with such a CSV
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from models.dual_encoder import DualEncoder
from models.losses import HardTripletRankingLoss, InfoNCE, TripletRankingLoss
from utils import cli, datasets, devices, metrics, report, task6b
from utils.checkpoint import load_checkpoint
from utils.config import Config, Model, Training, to_plain
from utils.datasets import CaptionSplit
from utils.errors import InputError, counted, shorten
from utils.files import read_text
from utils.inputs import Inputs, read_inputs
from utils.mixup import Mixup
from utils.retrieval import best_clips, score_matrix, write_result_table, write_score_matrix
from utils.runs import Run, load_into, resume, settings_of
from utils.tracking import Tracker
from utils.training import Evaluation, Pairs, Schedule, Trainer, evaluate, spread_seed

TRAIN, VALIDATION, TEST = datasets.SPLITS


def main(argv: list[str] | None = None) -> None:
    """Run the command that the arguments name; without one, train."""
    args = parse_arguments(argv)
    args.command(args)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = cli.parser(__doc__)
    parser.set_defaults(command=train, resume=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    training = commands.add_parser("train", help="train, then score the test split once (default)")
    training.add_argument("--resume", type=Path, metavar="RUN_FOLDER", help="go on with this run")
    training.set_defaults(command=train)
    scoring = commands.add_parser("evaluate", help="score a checkpoint")
    scoring.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    scoring.add_argument("--split", choices=datasets.SPLITS, default=TEST)
    scoring.set_defaults(command=evaluate_checkpoint)
    submitting = commands.add_parser("submit", help="rank the Task 6b clips for each query")
    submitting.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    submitting.add_argument("--output", type=Path, metavar="DIR", help="default: the checkpoint's")
    submitting.set_defaults(command=submit)
    checking = commands.add_parser("check-submission", help="say what is wrong with a submission")
    checking.add_argument("submission", type=Path, metavar="FILE")
    checking.set_defaults(command=check_submission)
    for command in (training, scoring, submitting, checking):
        cli.add_config_options(command, of_subcommand=True)
    return parser.parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train, choose the best epoch on validation, then score the test split once."""
    summary = cli.Summary()
    run = Run.existing(args.resume) if args.resume else None
    config = cli.load_config(args, default=run.settings) if run else cli.load_config(args)
    device = devices.choose_device(config.training.device)
    inputs = load_inputs(config, summary)
    splits = {name: load_split(config, name, summary) for name in datasets.SPLITS}
    model_seed, trainer_seed = spread_seed(config.seed, 2)
    model = build_model(config.model, inputs, seed=model_seed).to(device)
    pairs = {name: load_pairs(split, inputs, model) for name, split in splits.items()}
    trainer = make_trainer(config.training, model, seed=trainer_seed)
    if run:
        resume(trainer, run, config)
    else:
        run = Run.new(config)
    summary.writes(run.folder)
    plain = to_plain(config)

    with Tracker(config, run.folder) as tracker:

        def after_epoch(row: dict[str, float], improved: bool) -> None:
            if improved:
                run.save_best(trainer.best_state, plain)
            run.save_history(trainer.history)
            run.save_last(trainer.state_dict(), plain)
            tracker.log(row)
            run.say(report.epoch_line(row, config.training.epochs, best=improved))

        run.say(f"training on {report.captions_and_clips(splits[TRAIN])}, {device.type}")
        try:
            trainer.fit(pairs[TRAIN], pairs[VALIDATION], after_epoch=after_epoch)
        except KeyboardInterrupt:
            if trainer.history:
                run.say(f"\nto go on: python main.py train --resume {cli.shown(run.folder)}")
            raise
        model.load_state_dict(trainer.best_state)
        results = score_test(config, splits[TEST], pairs[TEST], model, run)
        results["best_epoch"] = trainer.best_epoch
        results["validation"] = trainer.history[trainer.best_epoch - 1]
        run.save_metrics(results)
        tracker.summarise(results)
    summary.finish(
        f"trained {len(trainer.history)} epochs, kept epoch {trainer.best_epoch}; "
        f"test mAP@10 {results['scores']['mAP@10']:.3f}; results in {cli.shown(run.folder)}"
    )


def make_trainer(settings: Training, model: DualEncoder, *, seed: int) -> Trainer:
    """Set up loss, optimiser and schedule."""
    mixed = settings.criterion == "MixupTripletRankingLoss"
    return Trainer(
        model,
        make_loss(settings).to(model.audio_projection.weight.device),
        Schedule(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            factor=settings.scheduler_factor,
            patience=settings.scheduler_patience,
            threshold=settings.scheduler_threshold,
        ),
        seed=seed,
        mixup=Mixup(rate=settings.mixup_rate, beta=settings.mixup_beta) if mixed else None,
    )


def make_loss(settings: Training) -> torch.nn.Module:
    """Make the loss that training.criterion names."""
    if settings.criterion == "InfoNCE":
        return InfoNCE(temperature=settings.temperature, learnable=settings.learnable_temperature)
    if settings.criterion == "HardTripletRankingLoss":
        return HardTripletRankingLoss(margin=settings.margin)
    return TripletRankingLoss(margin=settings.margin)


def evaluate_checkpoint(args: argparse.Namespace) -> None:
    """Score a checkpoint on one split and print the table."""
    summary = cli.Summary()
    model, inputs, config = load_model(args, summary)
    split = load_split(config, args.split, summary)
    evaluation = evaluate(model, load_pairs(split, inputs, model), both_ways=True)
    scores = evaluation.means()
    print(report.score_table({args.checkpoint.stem: scores}, intervals(config, split, evaluation)))
    print(report.audio_to_text_line(evaluation.audio_to_text_means()))
    if note := datasets.synthetic_note(config.train_data.dataset_path):
        print(note)
    summary.finish(
        f"scored {report.captions_and_clips(split)} ({args.split}): mAP@10 {scores['mAP@10']:.3f}"
    )


def load_model(
    args: argparse.Namespace, summary: cli.Summary, *, of_task6b: bool = False
) -> tuple[DualEncoder, Inputs, Config]:
    """Read a checkpoint's model, and the vector files of Clotho or of the Task 6b subset."""
    checkpoint = load_checkpoint(args.checkpoint)
    summary.reads(args.checkpoint)
    config = settings_of(checkpoint, args)
    inputs = load_inputs(config, summary, of_task6b=of_task6b)
    model = build_model(config.model, inputs, seed=0)
    # checkpoint_last.pt holds the best weights too, beside the state of the training.
    weights = checkpoint.get("model") or checkpoint.get("trainer", {}).get("best_state")
    load_into(model, weights, args.checkpoint)
    return model.to(devices.choose_device(config.training.device)).eval(), inputs, config


def submit(args: argparse.Namespace) -> None:
    """Rank the clips of the official Task 6b subset for each of its queries."""
    summary = cli.Summary()
    model, inputs, config = load_model(args, summary, of_task6b=True)
    queries = task6b.load_queries(config.eval_data.input_path)
    device = model.audio_projection.weight.device
    logits = inputs.clip_logits(queries)
    with torch.inference_mode():
        tags = None if logits is None else model.embed_tags(logits.to(device))
        audio = model.encode_audio(inputs.clip_features(queries).to(device), tags)
        text = model.encode_text(inputs.sentences(queries).to(device))
        scores = score_matrix(audio, text)
    folder = args.output or args.checkpoint.parent
    table, matrix = folder / "task6b.output.csv", folder / "task6b.scores.hdf5"
    write_result_table(table, queries.captions, queries.clip_names, best_clips(scores))
    write_score_matrix(matrix, scores, queries.captions, queries.clip_names)
    summary.writes(table, matrix)
    summary.finish(f"ranked {len(queries.clip_names)} clips for {len(queries.captions)} queries")


def check_submission(args: argparse.Namespace) -> None:
    """Say what is wrong with a submission, by line."""
    summary = cli.Summary()
    config = cli.load_config(args)
    queries = task6b.load_queries(config.eval_data.input_path)
    summary.reads(args.submission)
    problems = task6b.check_submission(args.submission, queries.captions, queries.clip_names)
    if problems:
        raise InputError(
            f"{counted(problems, 'problem')} in {args.submission}:\n{shorten(problems)}"
        )
    summary.finish(f"{args.submission} is a valid submission of {len(queries.captions)} queries")


def score_test(
    config: Config, split: CaptionSplit, pairs: Pairs, model: DualEncoder, run: Run
) -> dict[str, Any]:
    """Score the test split with the best weights, beside chance and the untrained tags alone."""
    evaluation = evaluate(model, pairs, both_ways=True)
    rows = {"chance": metrics.chance(len(split.clip_names))}
    if pairs.tags is not None:
        rows["tag embeddings alone, untrained"] = evaluate(tags_alone(model), pairs).means()
    rows["trained"] = evaluation.means()
    bounds = intervals(config, split, evaluation)
    write_result_table(run.results, split.captions, split.clip_names, evaluation.best)
    note = datasets.synthetic_note(config.train_data.dataset_path)
    run.say(f"\nTest scores ({TEST}, {report.captions_and_clips(split)})")
    run.say(report.score_table(rows, bounds))
    run.say(report.audio_to_text_line(evaluation.audio_to_text_means()))
    run.say("\nExample queries (* the clip that the query describes)")
    run.say(report.examples(split, evaluation) + "\n")
    if note:
        run.say(note)
    return {
        "split": TEST,
        "captions": len(split.captions),
        "clips": len(split.clip_names),
        "scores": rows.pop("trained"),
        "intervals_95": bounds,
        "median_rank": metrics.median_rank(evaluation.ranks),
        "compared_with": rows,
        "audio_to_text": evaluation.audio_to_text_means(),
        "note": note,
    }


def tags_alone(model: DualEncoder) -> DualEncoder:
    """Make the model whose audio embedding is the tag embedding: nothing in it is trained."""
    alone = DualEncoder(
        audio_size=model.audio_projection.in_features,
        text_size=model.audio_projection.out_features,
        tag_table=model.tag_table,
        ratio=0.0,
    )
    return alone.to(model.tag_table.device)


def intervals(
    config: Config, split: CaptionSplit, evaluation: Evaluation
) -> dict[str, tuple[float, float]]:
    """Compute 95 % bootstrap intervals over captions grouped by clip."""
    return {
        name: metrics.bootstrap_interval(values, split.clip_of_caption, seed=config.seed)
        for name, values in evaluation.values.items()
    }


def load_split(config: Config, name: str, summary: cli.Summary) -> CaptionSplit:
    """Read the captions of a split; a split without any is refused."""
    summary.reads(datasets.captions_file(config.train_data.input_path, name))
    split = datasets.load_captions(config.train_data.input_path, name)
    listed = config.train_data.excluded_clips
    if listed is not None and name != TEST:  # scores stay comparable: the test split is untouched
        summary.reads(listed)
        excluded = set(read_text(listed).split("\n"))
        split = datasets.without_clips(split, excluded)
    if not split.captions:
        raise InputError(
            f"the {name} split in {config.train_data.input_path} has no captions. Put its wavs "
            "in place and run scripts/01_preprocess.py again."
        )
    return split


def load_inputs(config: Config, summary: cli.Summary, *, of_task6b: bool = False) -> Inputs:
    """Read the vector files that the settings name, of Clotho or of the Task 6b subset."""
    data = config.eval_data if of_task6b else config.train_data
    scripts = {}
    if of_task6b:
        scripts["audio_script"] = "scripts/03_audio_features.py --subset task6b"
        scripts["caption_script"] = "scripts/05_sentence_embeddings_evaluation_set_task6b.py"
    inputs = read_inputs(
        captions=data.caption_embeddings,
        logits=data.audio_logits,
        scene=data.audio_scene,
        tags=config.tag_embeddings,
        audio_features=config.model.audio_features,
        audioset_info=config.model.audioset_info,
        arch=config.passt.arch,
        sentence_model_sha256=config.sentence_model.sha256,
        **scripts,
    )
    summary.reads(*inputs.files)
    return inputs


def build_model(settings: Model, inputs: Inputs, *, seed: int) -> DualEncoder:
    """Make an untrained dual encoder that fits the vector files."""
    return DualEncoder(
        audio_size=inputs.audio_size,
        text_size=inputs.text_size,
        tag_table=inputs.tag_table(),
        ratio=settings.ratio_embed1,
        text_projection=settings.text_projection,
        generator=torch.Generator().manual_seed(seed),
    )


def load_pairs(split: CaptionSplit, inputs: Inputs, model: DualEncoder) -> Pairs:
    """Line up the vectors of a split, on the model's device, tag embeddings computed once."""
    device = next(model.parameters()).device
    logits = inputs.clip_logits(split)
    if logits is not None:
        logits = logits.to(device)
    return Pairs(
        features=inputs.clip_features(split).to(device),
        logits=logits,
        tags=None if logits is None else model.embed_tags(logits),
        sentences=inputs.sentences(split).to(device),
        clips=torch.from_numpy(split.clip_of_caption).to(device),
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, after_interrupt="what was finished is kept"))
