"""Measure each stage against a plain reference, in the same process and run.

Reads   sentence_model.path, data/audioset; all else (features, sounds, PaSST's weights) is random
Writes  <output_path>/benchmark.json

    python scripts/benchmark.py                               # all stages, at Clotho's size
    python scripts/benchmark.py --stages ranking training
    python scripts/benchmark.py --small                       # seconds: does it run at all

The references, utils/benchmark/reference.py, work as the original system does: one window,
caption, pair or query
at a time, in fp32; those of training run on the CPU. Only ratios mean something: machines differ,
and so do two runs on one. A share of the ceiling is of what a large matrix product reaches in the
same precision here, where a window counts as the 255 GFLOP of the published network; ours leaves 17
of them out, for they reach no output. Each stage has a process to itself; memory is the highest
that the process held while it was measured.
"""

import concurrent.futures
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.runtime import interrupts

interrupts.end_quietly_until_run(__name__)

import librosa
import numpy as np
import soundfile
import torch
import yaml
from torch.nn import functional as F

from models import architectures, passt
from models.dual_encoder import DualEncoder, tag_embedding
from models.losses import TripletRankingLoss
from models.sentence_encoder import SentenceEncoder
from utils.audio.windows import cut_windows
from utils.benchmark import made_up_clips
from utils.benchmark.reference import (
    PlainModel,
    PlainPairs,
    PlainTraining,
    embed_pairs,
    plain_passt,
    quiet,
    rank_and_score,
)
from utils.benchmark.timing import (
    HEADER,
    Row,
    latencies,
    once,
    peak_memory,
    seconds,
    timed_with,
    with_peak,
)
from utils.datasets import audioset
from utils.evaluation.evaluate import evaluate
from utils.evaluation.metrics import single_relevant
from utils.evaluation.ranking import rank_clips
from utils.features import tagger, vector_file, weights
from utils.features.pairs import Pairs
from utils.features.sentences import TextEncoder, text_work
from utils.features.vector_file import write_vectors
from utils.files.writing import atomic_write
from utils.runtime import devices, distributed, onednn, terminal
from utils.runtime.errors import InputError
from utils.search.nearest import approximate
from utils.search.nearest.exact import as_tensor
from utils.settings import options
from utils.settings.config import PROJECT_ROOT, Config
from utils.training.trainer import Schedule, Trainer

FULL_SIZE = "passt_s_swa_p16_128_ap476"
# In samples.
WINDOW = round(architectures.ARCHITECTURES[FULL_SIZE].window_seconds * architectures.SAMPLE_RATE)
HOP = round(architectures.HOP_SECONDS * architectures.SAMPLE_RATE)
WINDOW_FLOP = 255e9  # of the full-size PaSST as published, for 10 s
CAPTIONS_PER_CLIP = 5
CLOTHO = {"development": 3839, "validation": 1045, "evaluation": 1045}  # clips
EPOCHS, BATCH, DIMENSION, MARGIN = 30, 32, 768, 0.4
PASSES = 10  # over the pairs that make the model for a million clips
LATENT = 24  # numbers that clip and caption have in common
WORDS = ["rain", "falls", "on", "a", "tin", "roof", "while", "the", "dog", "barks", "far", "away"]


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = options.parser(__doc__)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, whose numbers say nothing"
    )
    args = parser.parse_args(argv)
    config = options.load_config(args)
    distributed.refuse_team("measuring")
    summary = terminal.Summary()
    print(HEADER)
    rows: list[Row] = []
    for stage in args.stages:
        for values in run_stage(stage, config, small=args.small):
            rows.append(Row(**values))
            print(rows[-1].line().rstrip(), flush=True)
    path = config.output_path / "benchmark.json"
    with atomic_write(path, "w") as file:
        json.dump([{**asdict(row), "ratio": row.ratio} for row in rows], file, indent=2)
    summary.writes(path)
    device = devices.choose_device(config.training.device)
    summary.finish(f"measured {len(rows)} rows on {device.type}, {torch.get_num_threads()} threads")


def run_stage(stage: str, config: Config, *, small: bool) -> list[dict]:
    """Measure a stage in a process of its own, so that no other's memory is counted."""
    if small:
        return measure(stage, config, small=True)
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        return pool.submit(measure, stage, config, small=False).result()


def measure(stage: str, config: Config, *, small: bool) -> list[dict]:
    """Measure a stage here."""
    device = devices.choose_device(config.training.device)
    return [asdict(row) for row in STAGES[stage](config, device, small=small)]


def measure_ranking(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Rank the own clip of each caption among all clips of Clotho's evaluation split, and score."""
    clips = 50 if small else CLOTHO["evaluation"]
    generator = torch.Generator().manual_seed(0)
    audio, queries = (
        F.normalize(torch.randn(count, DIMENSION, generator=generator), dim=-1).to(device)
        for count in (clips, CAPTIONS_PER_CLIP * clips)
    )
    own = (torch.arange(len(queries)) // CAPTIONS_PER_CLIP).to(device)
    clips_of = own.tolist()
    reference = min(once(lambda: rank_and_score(audio, queries, clips_of)) for _ in range(3))
    ours = seconds(lambda: single_relevant(rank_clips(audio, queries, own)))
    return [Row("ranks and metrics", f"{len(queries)}x{clips}", ours, reference)]


def measure_million(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Find the ten best of a million clips for captions, both as a trained model embeds them."""
    clips, paired, asked = (3000, 40, 60) if small else (1_000_000, 1000, 300)
    names = audioset.read_labels()
    embed = TextEncoder(config)
    table = embed(names)
    world = made_up_clips.ImaginedClips(names, table, rng=np.random.default_rng(0))
    trainer = new_trainer(torch.from_numpy(table), device, seed=1)
    model = trainer.model
    logits, tags = world.draw(paired)
    captions = [world.describe(tags[i // 2]) for i in range(2 * paired)]
    asked_for = [world.describe(tags) for tags in world.draw(asked)[1]]
    told = torch.from_numpy(embed([*captions, *asked_for])).to(device)
    features = torch.from_numpy(logits).to(device)
    pairs = Pairs(
        features=features,
        logits=features,
        tags=model.embed_tags(features),
        sentences=told[: len(captions)],
        clips=torch.arange(len(captions), device=device) // 2,
    )
    for _ in range(PASSES):
        trainer.train_epoch(pairs)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        path = Path(name) / "vectors.npy"
        write_imagined(path, world, model, clips, device)
        queries = model.encode_text(told[len(captions) :]).cpu().numpy()
        sample = model.encode_text(model.tag_table).cpu().numpy()
        return search_rows(np.load(path, mmap_mode="r"), queries, sample, folder=Path(name))


def write_imagined(
    path: Path,
    world: made_up_clips.ImaginedClips,
    model: DualEncoder,
    clips: int,
    device: torch.device,
) -> None:
    """Write the embeddings of clips that are drawn for it, some at a time."""
    shape = (clips, DIMENSION)
    vectors = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=shape)
    for first in range(0, clips, 20_000):
        part = vectors[first : first + 20_000]
        logits = torch.from_numpy(world.draw(len(part))[0]).to(device)
        part[:] = model.encode_audio(logits, model.embed_tags(logits)).cpu().numpy()


def search_rows(
    vectors: np.ndarray, queries: np.ndarray, sample: np.ndarray, *, folder: Path
) -> list[Row]:
    """Time exact and approximate search; the reference scores and sorts all for each query."""
    exact = approximate.ExactSearch(vectors)
    audio = as_tensor(vectors)
    best, _ = exact.search(queries, 10)  # also reads the file
    reference, _ = latencies(
        lambda query: (audio @ query).argsort(descending=True)[:10], torch.from_numpy(queries[:4])
    )
    one, one_p99 = latencies(lambda query: exact.search(query[None], 10), queries[:50])
    many = queries[:100]
    together = min(once(lambda: exact.search(many, 10)) for _ in range(3)) / len(many)

    def build() -> tuple[approximate.ApproximateSearch, float]:
        started = time.perf_counter()
        search = approximate.ApproximateSearch.build(vectors, sample=sample, seed=0)
        return search, time.perf_counter() - started

    (search, took), memory = with_peak(build)  # the mapped vectors included
    search.save(folder / "index")
    quick, quick_p99 = latencies(lambda query: search.search(query[None], 10), queries)
    quick_together = min(once(lambda: search.search(many, 10)) for _ in range(3)) / len(many)
    recall = approximate.recall_of(search.search(queries, 10)[0], best)
    unit = f"query of {len(vectors):.0e}"
    note = (
        f"p99 {1e3 * quick_p99:.1f} ms; {recall:.1%} of the ten best, {search.recall:.1%} told; "
        f"built in {took:.0f} s, {(folder / 'index').stat().st_size / 1e6:.0f} MB"
    )
    return [
        Row("exact, one query", unit, one, reference, note=f"p99 {1e3 * one_p99:.1f} ms"),
        Row(f"exact, {len(many)} at once", unit, together, reference),
        Row("approximate, one query", unit, quick, reference, ours_mb=memory, note=note),
        Row(f"approximate, {len(many)} at once", unit, quick_together, reference),
    ]


def measure_training(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Train at Clotho's size, logits branch, default loss: a pass, an epoch, a whole run."""
    splits, table = learnable_splits(small=small)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = {split: to_device(part, device) for split, part in splits.items()}
        trainer = new_trainer(table, device, seed=1)
        training, validation = (
            pairs[split].with_text(trainer.model) for split in ("development", "validation")
        )

        def epoch() -> None:
            trainer.train_epoch(training)
            trainer.validate(validation)

        def ours() -> tuple[float, float]:
            return seconds(lambda: trainer.train_epoch(training)), seconds(epoch)

        # Before and after the reference: a neighbour on the machine may be at work for seconds.
        before = ours()
        references, reference_memory = with_peak(lambda: plain_epoch(splits, table, folder))
        one_pass, one_epoch = map(min, before, ours())
        epochs = 2 if small else EPOCHS
        run, run_memory = whole_run(splits, table, folder, device, epochs=epochs)
    return [
        Row("training pass", "epoch", one_pass, references["pass"]),
        Row("pass and validation", "epoch", one_epoch, references["same work"]),
        Row(
            "the original's epoch",
            "epoch",
            one_epoch,
            references["original"],
            note="its losses on all splits, ours on validation alone",
        ),
        Row(
            "main.py, to the test scores",
            f"{epochs} epochs",
            run,
            epochs * references["original"],
            ours_mb=run_memory,
            reference_mb=reference_memory,
            note=f"reference: {epochs} times its epoch",
        ),
    ]


def plain_epoch(splits: dict[str, Pairs], table: torch.Tensor, folder: Path) -> dict[str, float]:
    """Time a plain epoch: a pass, with the validation that ours has, with the original's."""
    pairs = {name: plain_pairs(folder / name, part) for name, part in splits.items()}
    trained = PlainModel(new_trainer(table, torch.device("cpu"), seed=1).model)
    training = PlainTraining(trained, margin=MARGIN, batch_size=BATCH, seed=1)

    def score() -> None:
        rank_and_score(*embed_pairs(trained, pairs["validation"]))

    one_pass = once(lambda: training.train(pairs["development"]))
    losses = {name: once(partial(training.measure, part)) for name, part in pairs.items()}
    scores = once(score)
    one_pass = min(one_pass, once(lambda: training.train(pairs["development"])))
    return {
        "pass": one_pass,
        "same work": one_pass + losses["validation"] + scores,
        "original": one_pass + sum(losses.values()) + scores,
    }


def measure_agreement(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Train three epochs with three seeds, ours and plainly: the scores, not the times, matter."""
    splits, table = learnable_splits(small=small)
    scores: dict[str, list[float]] = {"ours": [], "plain": []}
    spent = dict.fromkeys(scores, 0.0)
    with tempfile.TemporaryDirectory() as name:
        plainly = {split: plain_pairs(Path(name) / split, part) for split, part in splits.items()}
        for seed in (1, 2, 3):
            trainer = new_trainer(table, device, seed=seed)
            model = PlainModel(trainer.model).cpu()
            training = PlainTraining(model, margin=MARGIN, batch_size=BATCH, seed=seed)
            ours = {split: to_device(part, device) for split, part in splits.items()}
            for _ in range(3):
                spent["ours"] += once(partial(trainer.train_epoch, ours["development"]))
                spent["plain"] += once(partial(training.train, plainly["development"]))
            scores["ours"].append(evaluate(trainer.model, ours["evaluation"]).means()["mAP@10"])
            embedded = embed_pairs(model, plainly["evaluation"])
            _, metrics = rank_and_score(*embedded)
            scores["plain"].append(metrics["mAP@10"])
    note = "mAP@10 " + ", ".join(
        f"{who} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
        for who, values in scores.items()
    )
    return [Row("scores after 3 epochs", "3 seeds", spent["ours"], spent["plain"], note=note)]


def measure_mpnet(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Captions of 8 to 20 words through MPNet."""
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    plain_encoder = SentenceEncoder(folder).to(device).eval()
    rng = random.Random(0)
    texts = [
        " ".join(rng.choices(WORDS, k=rng.randint(8, 20))) for _ in range(64 if small else 512)
    ]
    few = texts[::16]

    @torch.inference_mode()
    def one_at_a_time() -> None:
        for text in few:
            plain_encoder(plain_encoder.tokenize([text])).cpu().numpy()

    def in_batches(encoder: SentenceEncoder, precision: str) -> None:
        units, batches = text_work(encoder, texts, device, precision, model.batch_size)
        for _ in batches(units):
            pass

    reference = seconds(one_at_a_time) / len(few)
    rows = []
    for precision in precisions(device):
        encoder = devices.for_inference(SentenceEncoder(folder), device, precision)
        each = seconds(lambda encoder=encoder, precision=precision: in_batches(encoder, precision))
        rows.append(Row(f"MPNet, {precision}", "caption", each / len(texts), reference))
    return rows


def measure_passt(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """10 s windows through PaSST; the reference is hear21passt itself."""
    theirs = plain_passt(FULL_SIZE).to(device)
    count = config.passt.batch_size or architectures.windows_at_once(device.type)
    samples = architectures.SAMPLE_RATE if small else WINDOW
    windows = 0.1 * torch.randn(count, samples, device=device)
    with torch.inference_mode(), quiet():
        reference = seconds(lambda: theirs(windows[:1]).cpu())
    rows = []
    for precision in precisions(device):
        forward = our_passt(device, precision)
        each = seconds(lambda forward=forward: forward(windows).cpu()) / count
        share = None if small else WINDOW_FLOP / each / matmul_rate(precision, device)
        rows.append(Row(f"PaSST, {precision}", "window", each, reference, share))
    return rows


def measure_extraction(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Wavs of Clotho's kind to logits: decoding, resampling, windows, network, mean."""
    length = 1.0 if small else 22.0  # seconds
    clips = 2 if device.type == "cpu" else 400
    precision = devices.choose_precision(config.precision, device)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{i}.wav" for i in range(clips)]
        for path in paths:
            soundfile.write(path, 0.1 * rng.standard_normal(round(length * 44_100)), 44_100)

        @torch.inference_mode()
        def plainly(theirs: torch.nn.Module) -> None:
            samples, _ = librosa.load(paths[0], sr=architectures.SAMPLE_RATE)
            windows = cut_windows(
                [samples], window=WINDOW, hop=HOP, shortest=architectures.MIN_SAMPLES
            )
            for window in windows:
                sound = torch.from_numpy(window.copy()).to(device)
                theirs(sound).cpu()

        def extract(forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
            for _ in tagger.clip_batches(
                paths,
                tagger.clip_units(clips),
                forward,
                sample_rate=architectures.SAMPLE_RATE,
                window=WINDOW,
                hop=HOP,
                shortest=architectures.MIN_SAMPLES,
                batch_size=config.passt.batch_size or architectures.windows_at_once(device.type),
            ):
                pass

        ours, memory = with_peak(lambda: timed_with(lambda: our_passt(device, precision), extract))
        with quiet():
            reference, reference_memory = with_peak(
                lambda: timed_with(lambda: plain_passt(FULL_SIZE).to(device), plainly)
            )
    return [
        Row(
            f"wavs to logits, {precision}",
            f"{length:.0f} s clip",
            ours / clips,
            reference,
            ours_mb=memory,
            reference_mb=reference_memory,
        )
    ]


def our_passt(device: torch.device, precision: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Build our PaSST with random weights, as a function of windows."""
    return tagger.make_tagger(passt.Passt(arch=FULL_SIZE), device, precision)


def learnable_splits(*, small: bool) -> tuple[dict[str, Pairs], torch.Tensor]:
    """Make splits of Clotho's size whose clips and captions share something that can be learnt."""
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(architectures.CLASSES, DIMENSION, generator=generator), dim=-1)
    to_logits = torch.randn(LATENT, architectures.CLASSES, generator=generator)
    to_text = torch.randn(LATENT, DIMENSION, generator=generator)
    splits = {}
    for name, count in CLOTHO.items():
        hidden = torch.randn(count // 60 if small else count, LATENT, generator=generator)
        clips = torch.arange(CAPTIONS_PER_CLIP * len(hidden)) // CAPTIONS_PER_CLIP
        noise = torch.randn(len(hidden), architectures.CLASSES, generator=generator)
        logits = 0.3 * hidden @ to_logits + noise - 4
        other = torch.randn(len(clips), LATENT, generator=generator)  # captions tell other things
        sentences = (hidden[clips] + other) @ to_text
        splits[name] = Pairs(
            features=logits,
            logits=logits,
            tags=tag_embedding(logits, table),
            sentences=F.normalize(sentences, dim=-1),
            clips=clips,
        )
    return splits, table


def to_device(pairs: Pairs, device: torch.device) -> Pairs:
    """Move a split to a device."""
    return Pairs(
        *(
            getattr(pairs, name).to(device)
            for name in ("features", "logits", "tags", "sentences", "clips")
        )
    )


def plain_pairs(folder: Path, pairs: Pairs) -> PlainPairs:
    """Write a split for the reference."""
    return PlainPairs(folder, pairs.features, pairs.sentences, pairs.clips)


def new_trainer(table: torch.Tensor, device: torch.device, *, seed: int) -> Trainer:
    """Set up the default model and loss."""
    model = DualEncoder(
        audio_size=architectures.CLASSES,
        text_size=DIMENSION,
        tag_table=table,
        generator=torch.Generator().manual_seed(seed),
    )
    schedule = Schedule(1, BATCH, 1e-3, 0.0, 0.1, 5, 0.01)
    return Trainer(model.to(device), TripletRankingLoss(margin=MARGIN), schedule, seed=seed)


def whole_run(
    splits: dict[str, Pairs],
    table: torch.Tensor,
    folder: Path,
    device: torch.device,
    *,
    epochs: int,
) -> tuple[float, float | None]:
    """Run `python main.py` on the splits, written as the scripts write them: seconds and MB."""
    settings = {
        "output_path": "outputs",
        "train_data": {"dataset_path": ".", "input_path": "."},
        "training": {"epochs": epochs, "device": device.type},
    }
    (folder / "conf.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    audio_ids, caption_ids, texts = [], [], []
    for split, pairs in splits.items():
        rows = []
        for cid, clip in enumerate(pairs.clips.tolist(), start=len(texts) + 1):
            name, text = f"{split} {clip}.wav", f"Caption {cid} of clip {clip}."
            fid = len(audio_ids) + clip + 1
            rows.append((cid, fid, name, text, text, text.split()))
            caption_ids.append(f"{split}/{cid}")
            texts.append(text)
        audio_ids += [f"{split}/{split} {clip}.wav" for clip in range(len(pairs.features))]
        columns = ("cid", "fid", "fname", "original", "caption", "tokens")
        content = {
            column: {str(i): row[place] for i, row in enumerate(rows)}
            for place, column in enumerate(columns)
        }
        (folder / f"{split}_captions.json").write_text(json.dumps(content), encoding="utf-8")
    sentence_model = {"weights_sha256": Config().sentence_model.sha256}
    for name, ids, vectors, attributes, columns in (
        (
            "audio_logits_passt.hdf5",
            audio_ids,
            [pairs.features for pairs in splits.values()],
            {"what": vector_file.LOGITS, "model": "demo", "weights_sha256": "random"},
            {},
        ),
        (
            "sentence_embeddings_mpnet.hdf5",
            caption_ids,
            [pairs.sentences for pairs in splits.values()],
            {"what": vector_file.CAPTIONS, **sentence_model},
            {"texts": texts},
        ),
        (
            "audioset_527_tags_embeddings_mpnet.hdf5",
            [str(index) for index in range(len(table))],
            [table],
            {"what": vector_file.tags_of("tags"), **sentence_model},
            {},
        ),
    ):
        write_vectors(
            folder / name, ids, torch.cat(vectors).numpy(), attributes=attributes, columns=columns
        )
    command = [sys.executable, PROJECT_ROOT / "main.py", "--config", folder / "conf.yaml"]
    started, memory = time.perf_counter(), None
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            memory = peak_memory(process.pid) or memory
            time.sleep(0.05)
    if process.returncode:
        raise InputError(f"main.py failed with status {process.returncode}; its error is above.")
    return time.perf_counter() - started, memory


def matmul_rate(precision: str, device: torch.device) -> float:
    """Measure what a large matrix product reaches, in FLOP/s."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one = torch.randn(2048, 2048, device=device, dtype=kind)
    products = (lambda: (one @ one)[0, 0].item(), lambda: onednn.linear(one, one)[0, 0].item())
    return 2 * 2048**3 / min(seconds(product) for product in products)


def precisions(device: torch.device) -> list[str]:
    """List fp32, and bf16 where the hardware has it."""
    return list(dict.fromkeys(("fp32", devices.choose_precision("auto", device))))


STAGES = {
    "ranking": measure_ranking,
    "million": measure_million,
    "training": measure_training,
    "agreement": measure_agreement,
    "mpnet": measure_mpnet,
    "passt": measure_passt,
    "extraction": measure_extraction,
}

if __name__ == "__main__":
    sys.exit(terminal.run(main))
