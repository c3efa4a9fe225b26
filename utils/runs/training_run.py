"""One training run: from settings and data to the best weights, test scores and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from models.losses import make_loss
from utils.datasets.corpus import corpus
from utils.evaluation import metrics, score_text
from utils.evaluation.evaluate import evaluate
from utils.evaluation.result_tables import write_result_table
from utils.runs.data import RunData, describe_data
from utils.runs.model_inputs import build_model
from utils.runs.plans import PLANS
from utils.runs.report import write_report
from utils.runs.resuming import begin_or_resume, load_initial, unfinished_run
from utils.runs.run_folder import Run
from utils.runs.tracking import Tracker
from utils.runtime import environment, terminal
from utils.runtime.errors import InputError
from utils.settings.config import Config
from utils.training.mixup import Mixup
from utils.training.trainer import Schedule, Trainer, spread_seed


def make_trainer(config: Config, data: RunData) -> Trainer:
    """Set up an untrained model that fits the vector files, its loss, optimiser and schedule.

    The model goes where the tensors of the data are.
    """
    settings = config.training
    model_seed, trainer_seed = spread_seed(config.seed, 2)
    model = build_model(config.model, data.inputs, seed=model_seed)
    loss = make_loss(
        settings.criterion,
        margin=settings.margin,
        temperature=settings.temperature,
        learnable_temperature=settings.learnable_temperature,
    )
    mixed = settings.criterion == "MixupTripletRankingLoss"
    return Trainer(
        model.to(data.device),
        loss.to(data.device),
        Schedule(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            factor=settings.scheduler_factor,
            patience=settings.scheduler_patience,
            threshold=settings.scheduler_threshold,
        ),
        seed=trainer_seed,
        mixup=Mixup(rate=settings.mixup_rate, beta=settings.mixup_beta) if mixed else None,
    )


def train_run(
    config: Config,
    data: RunData,
    *,
    trained_on: str,
    folder: Path | None = None,
    new: bool = False,
    summary: terminal.Summary,
) -> None:
    """Begin a run or resume one, and bring it to its end: trained, scored, reported.

    Parameters
    ----------
    trained_on : str
        The plan of `utils.runs.plans`.
    folder : Path or None
        The run to resume. None: the newest unfinished run that began alike, or else a new one.
    new : bool
        Begin a new run in any case.

    Raises
    ------
    InputError
        If the given run began with other settings or data or is complete, or training diverges.

    """
    trainer, trained_with = make_trainer(config, data), data.inputs.made_with
    if folder is None:
        load_initial(trainer.model, config, trained_with=trained_with)
    begun_with = data.digests(trainer.model)
    given = None if folder is None else Run(folder, config, trained_on=trained_on)
    found = None
    if not (given or new):
        found = unfinished_run(
            config, trained_on=trained_on, begun_with=begun_with, note=summary.notes
        )
    with given or found or Run.new(config, trained_on=trained_on) as run:
        begin_or_resume(trainer, run, begun_with=begun_with, trained_with=trained_with)
        if found:
            run.say(
                f"resuming {terminal.shown(run.folder)}, interrupted after epoch "
                f"{len(trainer.history)}; --new starts over"
            )
        summary.writes(run.folder)
        with terminal.resumable(f"train --resume {terminal.shown(run.folder)}"):
            results = fit_and_score(run, data, trainer)
    scored = f"test mAP@10 {results['scores']['mAP@10']:.3f}; " if "scores" in results else ""
    summary.finish(
        f"trained {len(trainer.history)} epochs, kept epoch {trainer.best_epoch}; "
        f"{scored}results in {terminal.shown(run.folder)}"
    )


def fit_and_score(run: Run, data: RunData, trainer: Trainer) -> dict[str, Any]:
    """Train from the last epoch in the history to the end; returns the content of metrics.json."""
    config = run.config
    tracking = Tracker(
        config, run.folder, trainer.history, best_epoch=trainer.best_epoch, say=run.say
    )
    with tracking as tracker:

        def after_epoch(row: dict[str, float], improved: bool) -> None:
            if improved:
                run.save_best(trainer.best_state)
            run.save_history(trainer.history)
            run.save_last(trainer.state_dict())
            tracker.log(row, best=improved)
            run.say(score_text.epoch_line(row, config.training.epochs, best=improved))

        trained_on = score_text.captions_and_clips(data.training.split)
        run.say(f"training on {trained_on}, {data.device.type}")
        trainer.fit(data.training.pairs, data.validation.pairs, after_epoch=after_epoch)
        trainer.model.load_state_dict(trainer.best_state)
        results = score_run(run, data, trainer.model, trainer.history[trainer.best_epoch - 1])
        tracker.summarise(results)
    report(run, data, trainer.model)
    return results


def score_run(
    run: Run, data: RunData, model: nn.Module, best: Mapping[str, float], **further: Any
) -> dict[str, Any]:
    """Score the test split, and write metrics.json, whose content is returned.

    `best` is the row of the best epoch in the history; `further` entries are written too.
    """
    results = {
        "trained_on": run.trained_on,
        "best_epoch": best["epoch"],
        "validation": best,
        "data": describe_data(run.config, PLANS[run.trained_on], data),
        "environment": environment.describe(data.device),
        **further,
        **_score_test(run, data, model),
    }
    run.save_metrics(results)
    return results


def report(run: Run, data: RunData, model: nn.Module) -> None:
    """Write the report, unless the run is quiet: a sweep has many, and a table to compare them."""
    if not run.quiet:
        try:
            write_report(run, model, data.test, data.inputs)
        except InputError as error:  # the run is complete without it
            run.say(f"no report: {error}\nto try again: python main.py report {run.folder}")


def _score_test(run: Run, data: RunData, model: nn.Module) -> dict[str, Any]:
    """Score the test split with the best weights, beside chance and the untrained tags alone."""
    config = run.config
    subset, name = PLANS[run.trained_on].test
    if data.test is None:
        run.say(f"\nNo test scores: the {name} split of {subset} has no clips here.")
        return {}
    split, pairs = data.test.split, data.test.pairs
    evaluation = evaluate(model, pairs, both_ways=True, top=config.results)
    rows = {"chance": metrics.chance(len(split.clip_names))}
    if pairs.tags is not None:
        rows["tag embeddings alone, untrained"] = evaluate(model.tags_alone(), pairs).means()
    scores = evaluation.means()
    intervals = evaluation.intervals(seed=config.seed)
    audio_to_text = evaluation.audio_to_text_means()
    note = corpus(config, subset).synthetic_note
    write_result_table(run.results, split.captions, split.clip_names, evaluation.best)
    run.save_ranks(split.cids.tolist(), evaluation.ranks.tolist())
    run.say(f"\nTest scores ({name}, {score_text.captions_and_clips(split)})")
    run.say(score_text.score_table({**rows, "trained": scores}, intervals))
    run.say(score_text.audio_to_text_line(audio_to_text))
    run.say("\nExample queries (* the clip that the query describes)")
    run.say(score_text.examples(split, evaluation) + "\n")
    if note:
        run.say(note)
    return {
        "split": name,
        "captions": len(split.captions),
        "clips": len(split.clip_names),
        "scores": scores,
        "intervals_95": intervals,
        "median_rank": metrics.median_rank(evaluation.ranks),
        "compared_with": rows,
        "audio_to_text": audio_to_text,
        "note": note,
    }
