"""Fine-tuning run: from a trained run and sounds to networks, their vectors, and test scores."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from models.dual_encoder import DualEncoder
from models.passt import Passt
from utils.audio.sound_file import fingerprint
from utils.checkpoints.checkpoint import load_checkpoint
from utils.checkpoints.provenance import TrainedWith
from utils.datasets.corpus import CLOTHO, Corpus, corpus
from utils.datasets.sound_checks import read_each
from utils.datasets.splits import CaptionSplit, without_clips
from utils.evaluation import score_text
from utils.features import sentences, weights
from utils.features.audio_vectors import update_audio_vectors
from utils.features.tagger import Tagger
from utils.files.reading import read_bytes, sha256
from utils.files.tensors import digest_of
from utils.files.writing import atomic_write, write_if_changed
from utils.finetuning.batches import Clips
from utils.finetuning.fitting import Part, fit
from utils.finetuning.network import EndToEnd
from utils.finetuning.sound_cache import SoundCache
from utils.finetuning.system import SELECTED_BY, Captions, Teachers
from utils.runs.data import INITIAL_WEIGHTS, load_data
from utils.runs.model_inputs import Inputs, read_inputs
from utils.runs.plans import PLANS, load_split
from utils.runs.resuming import unfinished_run
from utils.runs.run_folder import Run
from utils.runs.scorer import load_scorer
from utils.runs.text_vectors import embed_captions, embed_tags
from utils.runs.tracking import Tracker
from utils.runs.training_run import report, score_run
from utils.runtime import terminal
from utils.runtime.devices import choose_device
from utils.runtime.errors import InputError, shorten
from utils.settings.config import Config

KIND = "finetuned"
CACHE = "sounds_32k"  # in the folder of preprocessed files
_TRAINING, _VECTORS = "training", "vectors"  # in the run folder
PASST_WEIGHTS, SENTENCE_MODEL = "passt.safetensors", "sentence_model"


def finetune(
    checkpoint: Path,
    *,
    changed: Callable[[Config], Config],
    teachers: Sequence[Path] = (),
    new: bool = False,
    summary: terminal.Summary,
) -> None:
    """Train PaSST, MPNet and a trained dual encoder together, and score the result.

    Parameters
    ----------
    checkpoint : Path
        The dual encoder to begin with.
    changed : callable
        Settings of its training ─► settings of the fine-tuning.
    teachers : sequence of Path
        Checkpoints whose likenesses are learned.
    new : bool
        Begin a new run even if one that began alike was interrupted.

    Raises
    ------
    InputError
        If a file is missing or does not fit, or the training diverges.

    """
    trained = load_checkpoint(checkpoint)
    summary.reads(checkpoint)
    config = changed(trained.settings)
    trained.require_settings(
        config, checkpoint, only=("model", "passt.arch", "sentence_model.sha256")
    )
    if config.passt.mono != "mean":
        raise InputError(
            f"passt.mono is {config.passt.mono}: fine-tuning hears the mean of the channels. Set "
            "passt.mono to mean."
        )
    tagger = Tagger(config)
    text_folder, device, precision = sentences.find(config)
    summary.reads(tagger.weights_file, text_folder)
    text_model = {
        "model": config.sentence_model.name,
        "weights_sha256": config.sentence_model.sha256,
    }
    made_with = TrainedWith.of(passt=tagger.made_by, sentence_model=text_model)
    trained.trained_with.require(made_with, model=checkpoint, source="passt or sentence_model")
    heads = DualEncoder.from_state(trained.best_weights(), ratio=config.model.ratio_embed1)

    of, plan = corpus(config, CLOTHO), PLANS[CLOTHO]
    cache = SoundCache(of.files.input_path / CACHE)
    training, validation = (
        _decoded(load_split(config, of, name, summary), of, cache, summary)
        for _, name in (plan.training, plan.validation)
    )
    begun_with = {
        INITIAL_WEIGHTS: digest_of(heads.state_dict().values()),
        "PaSST": tagger.made_by["weights_sha256"],
        "sentence model": config.sentence_model.sha256,
        **{split.split: _digest(split) for split in (training, validation)},
        **{f"teacher {number}": sha256(path) for number, path in enumerate(teachers, start=1)},
    }
    found = (
        None
        if new
        else unfinished_run(
            config, trained_on=CLOTHO, begun_with=begun_with, note=summary.notes, kind=KIND
        )
    )
    network = _network(config, tagger, heads, text_folder)
    inputs = read_inputs(config, of, summary) if network.sentences is None else None
    with found or Run.new(config, kind=KIND) as run:
        run.save_origin(begun_with, made_with)
        summary.writes(run.folder)
        with terminal.resumable("finetune, with the same options"):
            history = _fit(
                run,
                network,
                _part(training, cache, network, inputs, config),
                _part(validation, cache, network, inputs, config),
                teachers=_teachers(teachers, training, summary),
                device=device,
                precision=precision,
            )
            best = max(history, key=lambda row: row[SELECTED_BY])
            final = _write_networks(run, network, text_folder)
            _embed(final, summary)
            made_of = {
                "finetuned_from": f"{checkpoint.parent.name}/{checkpoint.name}",
                "trained_text": network.sentences is not None,
                "taught_by": [f"{path.parent.name}/{path.name}" for path in teachers],
            }
            results = _score(final, run, heads, best, made_of, summary)
    scored = f"test mAP@10 {results['scores']['mAP@10']:.3f}; " if "scores" in results else ""
    summary.finish(
        f"fine-tuned {len(history)} epochs, kept epoch {best['epoch']}; {scored}results in "
        f"{terminal.shown(run.folder)}"
    )


def _decoded(
    split: CaptionSplit, of: Corpus, cache: SoundCache, summary: terminal.Summary
) -> CaptionSplit:
    """Decode the sounds of a split, and leave out those that cannot be used."""
    names = of.require_audio(split.split, split.clip_names)
    paths = dict(zip(split.audio_ids, names, strict=True))
    sources, failed = read_each(fingerprint, paths, root=of.folder)
    with terminal.progress(len(sources), f"decoding {split.split}", "clips") as bar:
        failed = {**failed, **cache.fill(paths, sources, advance=bar.update)}
    usable = replace(split, clip_sources=[sources.get(id, "") for id in split.audio_ids])
    if failed:
        reasons = shorten([f"{id} {reason}" for id, reason in failed.items()])
        summary.notes(f"leaves out {len(failed)} clips of {split.split}:\n{reasons}")
    return without_clips(usable, failed)


def _digest(split: CaptionSplit) -> str:
    content = [split.captions, split.clip_sources, split.clip_of_caption.tolist()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _network(config: Config, tagger: Tagger, heads: DualEncoder, text_folder: Path) -> EndToEnd:
    """Join the networks, with the weights that the settings name."""
    passt = Passt(arch=config.passt.arch)
    weights.load_weights(passt, tagger.weights_file)
    text = None
    if config.finetuning.text_layers != 0:
        text = weights.load_sentence_model(text_folder)
    return EndToEnd(passt, text, heads, audio_features=config.model.audio_features)


def _part(
    split: CaptionSplit,
    cache: SoundCache,
    network: EndToEnd,
    inputs: Inputs | None,
    config: Config,
) -> Part:
    """Line up the sounds and captions of a split."""
    text = network.sentences
    captions = inputs.sentences(split) if inputs else text.tokenize(split.captions)
    window, most = network.passt.window, config.finetuning.windows
    clips = Clips(cache, split.clip_sources, window, most)
    return Part(clips, Captions(captions), split.clip_of_caption)


def _teachers(
    paths: Sequence[Path],
    split: CaptionSplit,
    summary: terminal.Summary,
) -> Teachers | None:
    """Embed the training split with other models, from the vectors that each was trained on."""
    embeddings = []
    for path in paths:
        scorer = load_scorer(
            path, changed=lambda own: own, subset=CLOTHO, split=split.split, summary=summary
        )
        pairs = scorer.pairs(split)
        with torch.inference_mode():
            audio = scorer.model.encode_audio(pairs.features, pairs.tags)
            text = scorer.model.encode_text(pairs.sentences)
        embeddings.append((audio.cpu(), text.cpu()))
    return Teachers(embeddings) if embeddings else None


def _fit(
    run: Run,
    network: EndToEnd,
    training: Part,
    validation: Part,
    *,
    teachers: Teachers | None,
    device: torch.device,
    precision: str,
) -> list[dict[str, float]]:
    """Train to the end, and keep the history."""
    config = run.config
    settings = config.finetuning
    history = run.read_history() if run.history.exists() else []
    folder = run.folder / _TRAINING

    with Tracker(config, run.folder, history, say=run.say) as tracker:

        def after_epoch(row: dict[str, float]) -> None:
            del history[row["epoch"] - 1 :]  # written before an interruption
            is_best = all(row[SELECTED_BY] > earlier[SELECTED_BY] for earlier in history)
            history.append(row)
            run.save_history(history)
            tracker.log(row, best=is_best)
            run.say(score_text.epoch_line(row, settings.epochs, best=is_best))

        run.say(
            f"fine-tuning on {len(training.clip_of_caption)} captions of {len(training.clips)} "
            f"clips, {device.type} ({precision})"
        )
        fit(
            network,
            settings,
            training,
            validation,
            folder=folder,
            device=device,
            precision=precision,
            seed=config.seed,
            teachers=teachers,
            after_epoch=after_epoch,
            progress=partial(terminal.progress, description="fine-tuning", unit="batches"),
        )
    return history


def _write_networks(run: Run, network: EndToEnd, text_folder: Path) -> Config:
    """Write PaSST and the sentence model; returns settings that name them and their vectors."""
    config, folder = run.config, run.folder
    passt = folder / PASST_WEIGHTS
    _write_tensors(passt, network.passt.net)
    text = config.sentence_model
    if network.sentences is not None:
        path = folder / SENTENCE_MODEL
        for name in weights.SENTENCE_MODEL_FILES:
            if name != "model.safetensors":
                write_if_changed(path / name, read_bytes(text_folder / name))
        _write_tensors(path / "model.safetensors", network.sentences.transformer)
        text = replace(text, path=path, sha256=sha256(path / "model.safetensors"))
    return with_vectors_in(
        replace(config, passt=replace(config.passt, weights=passt), sentence_model=text),
        folder / _VECTORS,
        texts=network.sentences is not None,
    )


def with_vectors_in(config: Config, folder: Path, *, texts: bool) -> Config:
    """Let the vectors of all data sets be written to a folder; those of texts only if asked for."""
    changed: dict[str, Any] = {}
    for name in ("train_data", "eval_data", "audiocaps", "castella", "clotho_moment"):
        section = getattr(config, name)
        paths = {
            key: folder / f"{name}_{path.name}"
            for key, path in section.vector_files.items()
            if texts or key.startswith("audio")
        }
        changed[name] = replace(section, **paths)
    return replace(config, **changed)


def _embed(config: Config, summary: terminal.Summary) -> None:
    """Bring the vectors of Clotho up to date: what scripts 03, 04 and 06 do."""
    of = corpus(config, CLOTHO)
    splits = {name: of.load(name) for name in of.splits}
    paths = {
        id: path
        for name, split in splits.items()
        for id, path in zip(split.audio_ids, of.require_audio(name, split.clip_names), strict=True)
    }
    sources, unusable = read_each(fingerprint, paths, root=of.folder)
    done, update = update_audio_vectors(config, of.files, paths, sources, unusable, summary=summary)
    summary.notes(done.format(update.computed))
    embed_captions(config, of, summary)
    if config.model.audioset_info != "none":
        embed_tags(config, summary)


def _score(
    config: Config,
    run: Run,
    heads: DualEncoder,
    best: Mapping[str, float],
    made_of: Mapping[str, Any],
    summary: terminal.Summary,
) -> dict[str, Any]:
    """Write the checkpoint of the fine-tuned model, and score the test split with it."""
    final = Run(run.folder, config)
    data = load_data(
        config, PLANS[CLOTHO], device=choose_device(config.training.device), summary=summary
    )
    final.save_origin(run.read_begun_with(), data.inputs.made_with)
    final.save_best(heads.state_dict())
    model = heads.to(data.device).eval()
    results = score_run(final, data, model, best, **made_of)
    report(final, data, model)
    return results


def _write_tensors(path: Path, network: nn.Module) -> None:
    # Copies, because safetensors refuses tensors that share memory.
    tensors = {name: tensor.cpu().clone() for name, tensor in network.state_dict().items()}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(tensors, metadata={"format": "pt"}))
