"""Measure each stage against a plain reference, in the same process and run.

Reads   sentence_model.path; features, sentence vectors and PaSST's weights are random
Writes  <output_path>/benchmark.json

    python scripts/benchmark.py                               # all stages, at Clotho's size
    python scripts/benchmark.py --stages ranking training
    python scripts/benchmark.py --small                       # seconds: does it run at all

The references are written out below: one window, caption, pair or query at a time, in fp32, as the
original system works. Only ratios mean something: machines differ, and so do two runs on one. A
share of the ceiling is of what a large matrix product reaches in the same precision here.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py
import numpy as np
import torch
from hear21passt.models.passt import Attention, Block
from torch.nn import functional as F

from models import passt
from models.dual_encoder import DualEncoder, tag_embedding
from models.losses import TripletRankingLoss
from models.sentence_encoder import SentenceEncoder
from utils import cli, devices, weights
from utils.config import Config
from utils.files import atomic_write
from utils.retrieval import rank_clips
from utils.sentences import text_batches, units_by_length
from utils.training import Pairs, Schedule, Trainer, validation_scores

FULL_SIZE = "passt_s_swa_p16_128_ap476"
WINDOW_FLOP = 255e9  # of the full-size PaSST, for 10 s
CAPTIONS_PER_CLIP = 5
BATCH, DIMENSION, MARGIN = 32, 768, 0.4
WORDS = ["rain", "falls", "on", "a", "tin", "roof", "while", "the", "dog", "barks", "far", "away"]


@dataclass(frozen=True)
class Row:
    """One stage: seconds per unit, ours and the reference's."""

    stage: str
    unit: str
    ours: float
    reference: float
    share_of_ceiling: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.reference / self.ours


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = cli.parser(__doc__)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, whose numbers say nothing"
    )
    args = parser.parse_args(argv)
    config = cli.load_config(args)
    summary = cli.Summary()
    device = devices.choose_device(config.training.device)
    rows: list[Row] = []
    print(
        f"{'stage':30}{'unit':>10}{'ours, ms':>12}{'reference':>12}{'ratio':>8}{'of ceiling':>12}"
    )
    for stage in args.stages:
        for row in STAGES[stage](config, device, small=args.small):
            rows.append(row)
            share = "" if row.share_of_ceiling is None else f"{row.share_of_ceiling:.0%}"
            print(
                f"{row.stage:30}{row.unit:>10}{1e3 * row.ours:>12.3f}{1e3 * row.reference:>12.3f}"
                f"{row.ratio:>8.1f}{share:>12}",
                flush=True,
            )
    path = config.output_path / "benchmark.json"
    with atomic_write(path, "w") as file:
        json.dump([{**asdict(row), "ratio": row.ratio} for row in rows], file, indent=2)
    summary.writes(path)
    summary.finish(f"measured {len(rows)} rows on {device.type}, {torch.get_num_threads()} threads")


def measure_passt(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """10 s windows through PaSST; the reference has the attention written out, as published."""
    plain = passt.Passt(arch="demo" if small else FULL_SIZE).to(device).eval()
    state = plain.state_dict()
    for block in plain.net.blocks:
        # The same weights in hear21passt's own modules.
        block.__class__, block.attn.__class__ = Block, Attention
    count = config.passt.batch_size or passt.windows_at_once(device)
    windows = 0.1 * torch.randn(count, plain.window, device=device)

    @torch.inference_mode()
    def run(model: passt.Passt, batch: torch.Tensor, precision: str) -> None:
        with devices.autocast(device, precision):
            model(batch)[0].cpu()

    reference = seconds(lambda: run(plain, windows[:1], "fp32"))
    rows = []
    for precision in precisions(device):
        ours = passt.Passt(arch=plain.arch)
        ours.load_state_dict(state)
        devices.for_inference(ours, device, precision)
        each = seconds(lambda ours=ours, precision=precision: run(ours, windows, precision)) / count
        share = None if small else WINDOW_FLOP / each / matmul_rate(precision, device)
        rows.append(Row(f"PaSST, {precision}", "window", each, reference, share))
    return rows


def measure_mpnet(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Captions of 8 to 20 words through MPNet."""
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    plain = SentenceEncoder(folder).to(device).eval()
    rng = random.Random(0)
    texts = [
        " ".join(rng.choices(WORDS, k=rng.randint(8, 20))) for _ in range(64 if small else 512)
    ]
    few = texts[::16]

    @torch.inference_mode()
    def forward(encoder: SentenceEncoder, tokens: list[list[int]], precision: str) -> np.ndarray:
        with devices.autocast(device, precision):
            return encoder(tokens).float().cpu().numpy()

    def one_at_a_time() -> None:
        for text in few:
            forward(plain, plain.tokenize([text]), "fp32")

    def in_batches(precision: str) -> None:
        encoder = encoders[precision]
        tokens = encoder.tokenize(texts)
        batches = text_batches(
            tokens,
            units_by_length(tokens, batch_size=model.batch_size),
            lambda batch: forward(encoder, batch, precision),
        )
        for _ in batches:
            pass

    reference = seconds(one_at_a_time) / len(few)
    encoders = {
        precision: devices.for_inference(SentenceEncoder(folder), device, precision)
        for precision in precisions(device)
    }
    return [
        Row(
            f"MPNet, {precision}",
            "caption",
            seconds(lambda precision=precision: in_batches(precision)) / len(texts),
            reference,
        )
        for precision in precisions(device)
    ]


def measure_training(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """An epoch at Clotho's size, logits branch, default loss: the pass, and with validation."""
    clips, test_clips = (64, 32) if small else (3839, 1045)
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(passt.CLASSES, DIMENSION, generator=generator), dim=-1)
    training, validation = (
        random_pairs(count, table, generator, device) for count in (clips, test_clips)
    )
    model = DualEncoder(
        audio_size=passt.CLASSES,
        text_size=DIMENSION,
        tag_table=table,
        generator=generator,
    ).to(device)
    schedule = Schedule(1, BATCH, 1e-3, 0.0, 0.1, 5, 0.01)
    trainer = Trainer(model, TripletRankingLoss(margin=MARGIN), schedule, seed=1)
    training, validation = training.with_text(model), validation.with_text(model)

    def whole_epoch() -> None:
        trainer.train_epoch(training)
        trainer.validation_loss(validation)
        validation_scores(model, validation)

    with tempfile.TemporaryDirectory() as folder:
        plain = PlainTraining(Path(folder), training, table)
        reference = once(lambda: plain.epoch(train=True))
        plain_validation = PlainTraining(Path(folder) / "v", validation, table)
        plain_validation.model = plain.model
        reference_rest = once(lambda: plain.epoch(train=False))
        reference_rest += once(lambda: plain_validation.epoch(train=False))
        audio = model.encode_audio(validation.features, validation.tags).detach()
        reference_rest += once(lambda: plain_ranks(audio, validation.text, validation.clips))
    return [
        Row("training pass", "epoch", seconds(lambda: trainer.train_epoch(training)), reference),
        Row("pass, losses, validation", "epoch", seconds(whole_epoch), reference + reference_rest),
    ]


def measure_ranking(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Rank the own clip of each caption among all clips of Clotho's evaluation split."""
    clips = 50 if small else 1045
    generator = torch.Generator().manual_seed(0)
    audio, queries = (
        F.normalize(torch.randn(count, DIMENSION, generator=generator), dim=-1).to(device)
        for count in (clips, CAPTIONS_PER_CLIP * clips)
    )
    own = (torch.arange(len(queries)) // CAPTIONS_PER_CLIP).to(device)
    return [
        Row(
            "ranks",
            f"{len(queries)}x{clips}",
            seconds(lambda: rank_clips(audio, queries, own)),
            once(lambda: plain_ranks(audio, queries, own)),
        )
    ]


class PlainTraining:
    """The reference of training: each pair read from HDF5 by itself, each loss term in a loop."""

    def __init__(self, folder: Path, pairs: Pairs, table: torch.Tensor) -> None:
        folder.mkdir(exist_ok=True)
        self.clips = pairs.clips.tolist()
        self.paths = folder / "logits.hdf5", folder / "sentences.hdf5"
        for path, vectors in zip(self.paths, (pairs.logits, pairs.sentences), strict=True):
            with h5py.File(path, "w") as file:
                for row, vector in enumerate(vectors.cpu().numpy()):
                    file[str(row)] = vector
        self.table = table
        self.model = DualEncoder(
            audio_size=pairs.logits.shape[1],
            text_size=DIMENSION,
            tag_table=table,
            generator=torch.Generator().manual_seed(0),
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.rng = random.Random(0)

    def epoch(self, *, train: bool) -> None:
        """Go once over all pairs."""
        order = list(range(len(self.clips)))
        self.rng.shuffle(order)
        with h5py.File(self.paths[0]) as logits, h5py.File(self.paths[1]) as sentences:
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                items = [
                    (
                        torch.from_numpy(logits[str(self.clips[row])][()]),
                        torch.from_numpy(sentences[str(row)][()]),
                    )
                    for row in batch
                ]
                with torch.set_grad_enabled(train):
                    loss = self.loss(batch, *map(torch.stack, zip(*items, strict=True)))
                if train:
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                loss.item()

    def loss(self, batch: list[int], logits: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Compute the triplet loss of a batch pair by pair, impostors drawn until they fit."""
        audio = self.model.encode_audio(logits, tag_embedding(logits, self.table))
        text = self.model.encode_text(text)
        clips = [self.clips[row] for row in batch]
        if len(set(clips)) < 2:
            return 0 * audio.sum()
        total = torch.zeros(())
        for i in range(len(batch)):
            j, k = (self.impostor(clips, i) for _ in range(2))
            own = audio[i] @ text[i]
            total = total + (MARGIN + audio[i] @ text[j] - own).clamp(min=0)
            total = total + (MARGIN + audio[k] @ text[i] - own).clamp(min=0)
        return total / len(batch)

    def impostor(self, clips: list[int], i: int) -> int:
        """Draw a pair of another clip."""
        while clips[other := self.rng.randrange(len(clips))] == clips[i]:
            pass
        return other


def plain_ranks(audio: torch.Tensor, queries: torch.Tensor, own: torch.Tensor) -> list[int]:
    """Rank query by query: a dict of scores by clip, sorted, and the clip looked up in it."""
    ranks = []
    for query, clip in zip(queries, own.tolist(), strict=True):
        scores = {str(i): score for i, score in enumerate((audio @ query).tolist())}
        order = sorted(scores, key=scores.get, reverse=True)
        ranks.append(order.index(str(clip)) + 1)
    return ranks


def random_pairs(
    clips: int, table: torch.Tensor, generator: torch.Generator, device: torch.device
) -> Pairs:
    """Make a split of random logits and sentence vectors, five captions a clip."""
    logits = 2 * torch.randn(clips, passt.CLASSES, generator=generator) - 4
    sentences = torch.randn(CAPTIONS_PER_CLIP * clips, DIMENSION, generator=generator)
    return Pairs(
        features=logits.to(device),
        logits=logits.to(device),
        tags=tag_embedding(logits, table).to(device),
        sentences=F.normalize(sentences, dim=-1).to(device),
        clips=(torch.arange(len(sentences)) // CAPTIONS_PER_CLIP).to(device),
    )


def seconds(function: Callable[[], object], *, at_least: float = 0.3) -> float:
    """Time a call after one to warm up: the fastest of three rounds."""
    function()
    rounds = []
    for _ in range(3):
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < at_least:
            function()
            calls += 1
        rounds.append((time.perf_counter() - started) / calls)
    return min(rounds)


def once(function: Callable[[], object]) -> float:
    """Time a single call, for references that take long."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def matmul_rate(precision: str, device: torch.device) -> float:
    """Measure what a large matrix product reaches, in FLOP/s."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one = torch.randn(2048, 2048, device=device, dtype=kind)
    return 2 * 2048**3 / seconds(lambda: (one @ one)[0, 0].item())


def precisions(device: torch.device) -> list[str]:
    """List fp32, and bf16 where the hardware has it."""
    return list(dict.fromkeys(("fp32", devices.choose_precision("auto", device))))


STAGES = {
    "ranking": measure_ranking,
    "training": measure_training,
    "mpnet": measure_mpnet,
    "passt": measure_passt,
}

if __name__ == "__main__":
    sys.exit(cli.run(main))
