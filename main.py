"""Train a text-to-audio retrieval model, and score it.

Reads   conf.yaml and the files of train_data, which scripts 01, 03, 04 and 06 write
Writes  outputs/<experiment>/<run>/: conf.yaml, checkpoints, history.csv, metrics.json,
        test.output.csv, log.txt

    python main.py                              train, then score the test split once
    python main.py train --resume RUN_FOLDER    go on with an interrupted run
    python main.py evaluate --checkpoint FILE   score a checkpoint
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from models.dual_encoder import DualEncoder
from models.losses import HardTripletRankingLoss, InfoNCE, TripletRankingLoss
from utils import cli, datasets, devices, metrics, report
from utils.checkpoint import load_checkpoint
from utils.config import Config, Model, Training, differing_settings, parse_config, to_plain
from utils.datasets import CaptionSplit
from utils.errors import InputError
from utils.inputs import Inputs, read_inputs
from utils.retrieval import write_result_table
from utils.runs import Run
from utils.tracking import Tracker
from utils.training import Evaluation, Mixup, Pairs, Schedule, Trainer, evaluate, spread_seed

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
    for command in (training, scoring):
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


def resume(trainer: Trainer, run: Run, config: Config) -> None:
    """Bring a trainer to where a run stopped; half a run under other settings is refused."""
    checkpoint = load_checkpoint(run.checkpoint_last)
    begun = parse_config(
        checkpoint.get("settings", {}), base=Path(), source=str(run.checkpoint_last)
    )
    free = ("training.epochs", "training.device", "wandb", "output_path", "experiment")
    if differing := differing_settings(config, begun, but=free):
        raise InputError(
            f"{run.folder} was begun with other settings: {'; '.join(differing)}. Only "
            "training.epochs, training.device and wandb may change; start a new run for the rest."
        )
    load_into(trainer, checkpoint.get("trainer"), run.checkpoint_last)
    if run.finished and len(trainer.history) >= config.training.epochs:
        raise InputError(
            f"{run.folder} is complete: {len(trainer.history)} epochs, and its test scores are in "
            "metrics.json. To train on, give more epochs: --set training.epochs=N."
        )
    run.save_settings(config)


def evaluate_checkpoint(args: argparse.Namespace) -> None:
    """Score a checkpoint on one split and print the table."""
    summary = cli.Summary()
    checkpoint = load_checkpoint(args.checkpoint)
    summary.reads(args.checkpoint)
    config = settings_of(checkpoint, args)
    inputs = load_inputs(config, summary)
    model = build_model(config.model, inputs, seed=0)
    # checkpoint_last.pt holds the best weights too, beside the state of the training.
    weights = checkpoint.get("model") or checkpoint.get("trainer", {}).get("best_state")
    load_into(model, weights, args.checkpoint)
    model.to(devices.choose_device(config.training.device))
    split = load_split(config, args.split, summary)
    evaluation = evaluate(model, load_pairs(split, inputs, model))
    scores = evaluation.means()
    print(report.score_table({args.checkpoint.stem: scores}, intervals(config, split, evaluation)))
    if note := datasets.synthetic_note(config.train_data.dataset_path):
        print(note)
    summary.finish(
        f"scored {report.captions_and_clips(split)} ({args.split}): mAP@10 {scores['mAP@10']:.3f}"
    )


def settings_of(checkpoint: dict[str, Any], args: argparse.Namespace) -> Config:
    """Take the settings a checkpoint was trained with; --config and --set may name other files.

    What the weights were trained for (the model, PaSST, the sentence model) cannot be changed.
    """
    try:
        trained = parse_config(checkpoint["settings"], base=Path(), source=str(args.checkpoint))
    except KeyError:
        raise InputError(f"{args.checkpoint} holds no settings: train again.") from None
    config = cli.load_config(args, default=trained)
    fixed = ("model", "passt.arch", "sentence_model.sha256")
    if differing := differing_settings(config, trained, only=fixed):
        raise InputError(
            f"{args.checkpoint} was trained with other settings: {'; '.join(differing)}. "
            "Drop these --set, or give the --config of that run."
        )
    return config


def score_test(
    config: Config, split: CaptionSplit, pairs: Pairs, model: DualEncoder, run: Run
) -> dict[str, Any]:
    """Score the test split with the best weights, beside chance and the untrained tags alone."""
    evaluation = evaluate(model, pairs)
    rows = {"chance": metrics.chance(len(split.clip_names))}
    if pairs.tags is not None:
        rows["tag embeddings alone, untrained"] = evaluate(tags_alone(model), pairs).means()
    rows["trained"] = evaluation.means()
    bounds = intervals(config, split, evaluation)
    write_result_table(run.results, split.captions, split.clip_names, evaluation.best)
    note = datasets.synthetic_note(config.train_data.dataset_path)
    run.say(f"\nTest scores ({TEST}, {report.captions_and_clips(split)})")
    run.say(report.score_table(rows, bounds))
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
        "note": note,
    }


def load_into(target: DualEncoder | Trainer, state: Any, source: Path) -> None:
    """Load a state dict; one that does not fit the settings and their vector files is refused."""
    try:
        target.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source} does not fit the settings or the vector files they name: {error}"
        ) from None


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
    if not split.captions:
        raise InputError(
            f"the {name} split in {config.train_data.input_path} has no captions. Put its wavs "
            "in place and run scripts/01_preprocess.py again."
        )
    return split


def load_inputs(config: Config, summary: cli.Summary) -> Inputs:
    """Read the vector files that the settings name."""
    data = config.train_data
    inputs = read_inputs(
        captions=data.caption_embeddings,
        logits=data.audio_logits,
        scene=data.audio_scene,
        tags=config.tag_embeddings,
        audio_features=config.model.audio_features,
        audioset_info=config.model.audioset_info,
        arch=config.passt.arch,
        sentence_model_sha256=config.sentence_model.sha256,
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
