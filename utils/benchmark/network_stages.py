"""Measure the pretrained networks: PaSST over windows and sound files, MPNet over captions."""

import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch

from models import architectures
from models.passt import Passt
from models.sentence_encoder import SentenceEncoder
from utils.audio.windows import cut_windows
from utils.benchmark.reference import plain_passt, quiet
from utils.benchmark.timing import Row, seconds, timed_with, with_peak
from utils.features import tagger, weights
from utils.features.sentences import text_work
from utils.runtime import devices, onednn
from utils.settings.config import Config

FULL_SIZE = "passt_s_swa_p16_128_ap476"
# In samples.
WINDOW = round(architectures.ARCHITECTURES[FULL_SIZE].window_seconds * architectures.SAMPLE_RATE)
HOP = round(architectures.HOP_SECONDS * architectures.SAMPLE_RATE)
WINDOW_FLOP = 255e9  # of the full-size PaSST as published, for 10 s
WORDS = ["rain", "falls", "on", "a", "tin", "roof", "while", "the", "dog", "barks", "far", "away"]


def measure_mpnet(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Embed captions of 8 to 20 words."""
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    plain_encoder = SentenceEncoder(folder).to(device).eval()
    rng = random.Random(0)
    count = 64 if small else 512
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(8, 20))) for _ in range(count)]
    few = texts[::16]

    @torch.inference_mode()
    def one_at_a_time() -> None:
        for text in few:
            plain_encoder(plain_encoder.tokenize([text])).cpu().numpy()

    def in_batches(encoder: SentenceEncoder, precision: str) -> None:
        units, batches = text_work(encoder, texts, device, precision, model.batch_size)
        list(batches(units))

    reference = seconds(one_at_a_time) / len(few)
    rows = []
    for precision in _precisions(device):
        encoder = devices.for_inference(SentenceEncoder(folder), device, precision)
        each = seconds(partial(in_batches, encoder, precision)) / count
        rows.append(Row(f"MPNet, {precision}", "caption", each, reference))
    return rows


def measure_passt(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Tag windows of 10 s; the reference is hear21passt itself."""
    theirs = plain_passt(FULL_SIZE).to(device)
    windows = _random_windows(config, device, small=small)
    with torch.inference_mode(), quiet():
        reference = seconds(lambda: theirs(windows[:1]).cpu())
    rows = []
    for precision in _precisions(device):
        forward = tagger.make_tagger(Passt(arch=FULL_SIZE), device, precision)
        each = seconds(lambda forward=forward: forward(windows).cpu()) / len(windows)
        share = None if small else WINDOW_FLOP / each / _matmul_rate(precision, device)
        rows.append(Row(f"PaSST, {precision}", "window", each, reference, share))
    return rows


def measure_cells(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Tag windows of 10 s and each half second of them; the reference tags the windows alone."""
    windows = _random_windows(config, device, small=small)
    rows = []
    for precision in _precisions(device):
        reference, each = (
            seconds(lambda forward=forward: forward(windows).cpu()) / len(windows)
            for forward in (
                tagger.make_tagger(Passt(arch=FULL_SIZE), device, precision, cells=cells)
                for cells in (False, True)
            )
        )
        rows.append(Row(f"PaSST with cells, {precision}", "window", each, reference))
    return rows


def measure_extraction(config: Config, device: torch.device, *, small: bool) -> list[Row]:
    """Turn wavs like Clotho's into logits: decoding, resampling, windows, network, mean."""
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
                theirs(torch.from_numpy(window.copy()).to(device)).cpu()

        def extract(forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
            batches = tagger.clip_batches(
                paths,
                tagger.clip_units(clips),
                forward,
                sample_rate=architectures.SAMPLE_RATE,
                window=WINDOW,
                hop=HOP,
                shortest=architectures.MIN_SAMPLES,
                batch_size=config.passt.batch_size or architectures.windows_at_once(device.type),
            )
            list(batches)

        ours, memory = with_peak(
            lambda: timed_with(
                lambda: tagger.make_tagger(Passt(arch=FULL_SIZE), device, precision), extract
            )
        )
        with quiet():
            reference, reference_memory = with_peak(
                lambda: timed_with(lambda: plain_passt(FULL_SIZE).to(device), plainly)
            )
    stage, unit = f"wavs to logits, {precision}", f"{length:.0f} s clip"
    return [
        Row(stage, unit, ours / clips, reference, ours_mb=memory, reference_mb=reference_memory)
    ]


def _random_windows(config: Config, device: torch.device, *, small: bool) -> torch.Tensor:
    """Draw a batch of windows: (B, S)."""
    count = config.passt.batch_size or architectures.windows_at_once(device.type)
    samples = architectures.SAMPLE_RATE if small else WINDOW
    return 0.1 * torch.randn(count, samples, device=device)


def _matmul_rate(precision: str, device: torch.device) -> float:
    """Measure the FLOP/s of a large matrix product."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one = torch.randn(2048, 2048, device=device, dtype=kind)
    products = (lambda: (one @ one)[0, 0].item(), lambda: onednn.linear(one, one)[0, 0].item())
    return 2 * 2048**3 / min(seconds(product) for product in products)


def _precisions(device: torch.device) -> list[str]:
    """List fp32, and bf16 if the hardware has it."""
    return list(dict.fromkeys(("fp32", devices.choose_precision("auto", device))))
