"""Texts ─► sentence vectors, in a file or in memory. Shapes: N texts, B batch, D numbers."""

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from utils.features import weights
from utils.features.shared_work import Batches, Units
from utils.features.updating import Target, update_vector_files
from utils.runtime import distributed, terminal
from utils.runtime.devices import autocast, choose_device, choose_precision, for_inference
from utils.runtime.errors import InputError, shorten, shown
from utils.settings.config import Config

if TYPE_CHECKING:  # takes seconds to import
    from models.sentence_encoder import Reading


def embed(
    path: Path,
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    what: str,
    unit: str,
    config: Config,
    summary: terminal.Summary,
) -> None:
    """Bring the vector file of some texts up to date, and print what was done.

    Processes that torchrun has started share the work. The file stores `what` the texts are, which
    is checked when it is read; `unit` names them in the terminal.
    """
    model = config.sentence_model
    folder, device, precision = find(config)
    summary.reads(folder)
    readings: list[Reading] = []

    def start() -> tuple[Units, Callable[[Units], Batches]]:
        encoder = for_inference(weights.load_sentence_model(folder), device, precision)
        readings.extend(encoder.read(list(texts)))
        return text_work(encoder, texts, device, precision, model.batch_size)

    attributes = {
        "what": what,
        "model": model.name,
        "weights_sha256": model.sha256,
        "precision": precision,
    }
    with terminal.progress(len(ids), "MPNet", unit) as bar:
        update = update_vector_files(
            [Target(path, attributes, weights.sentence_dimension(folder))],
            ids,
            columns={"texts": texts},
            start=start,
            team=distributed.team(),
            advance=bar.update,
        )
    if update.failed:
        raise InputError(
            f"{len(update.failed)} of {len(ids)} {unit} cannot be embedded:\n"
            f"{shorten([f'{id} {reason}' for id, reason in update.failed.items()])}"
        )
    if readings:
        report_unread(ids, readings, unit=unit, summary=summary)
    if update.written:
        summary.writes(path)
    summary.finish(
        f"embedded {update.computed} {unit} with {model.name} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


def report_unread(
    ids: Sequence[str], readings: Sequence["Reading"], *, unit: str, summary: terminal.Summary
) -> None:
    """Print which texts the sentence model reads only in part, or not at all."""
    cut, unread = [], []
    for id, reading in zip(ids, readings, strict=True):
        if reading.pieces > reading.most:
            cut.append(f"{id} ({reading.pieces})")
        if reading.unread or not reading.has_words:
            parts = ", ".join(map(shown, reading.unread))
            unread.append(f"{id} {parts}" if reading.has_words else f"{id} no word of it")
    if cut:
        most = readings[0].most
        summary.notes(f"longer than {most} word pieces, and cut there ({unit}):\n{shorten(cut)}")
    if unread:
        summary.notes(f"not read by the sentence model ({unit}):\n{shorten(unread)}")


class TextEncoder:
    """The sentence model of the settings, loaded once, for texts from any thread."""

    def __init__(self, config: Config) -> None:
        folder, self._device, self._precision = find(config)
        self._encoder = for_inference(
            weights.load_sentence_model(folder), self._device, self._precision
        )
        self._batch_size = config.sentence_model.batch_size
        self._dimension = weights.sentence_dimension(folder)
        self._lock = threading.Lock()  # the tokenizer stores the options of a call

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed N texts: unit vectors, shape (N, D)."""
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        with self._lock:
            units, batches = text_work(
                self._encoder, texts, self._device, self._precision, self._batch_size
            )
            for positions, rows in batches(units):
                vectors[positions] = rows
        return vectors

    def read(self, texts: Sequence[str]) -> list["Reading"]:
        """Tell how much of each text is read."""
        with self._lock:
            return self._encoder.read(list(texts))


@functools.lru_cache(maxsize=1)
def text_encoder(config: Config) -> TextEncoder:
    """Load the sentence model of the settings, or return it if it was loaded last."""
    return TextEncoder(config)


def text_work(
    encoder: Any,
    texts: Sequence[str],
    device: torch.device,
    precision: str,
    batch_size: int,
) -> tuple[Units, Callable[[Units], Batches]]:
    """Tokenize texts, and prepare to embed them in batches of similar length.

    A vector depends, in its last bits, on the padding and the size of its batch. So batches are
    made of all texts, not of those that happen to be missing, and are computed as a whole.

    Parameters
    ----------
    encoder : nn.Module
        Set up by `utils.runtime.devices.for_inference`; has ``tokenize``, and is called on lists of
        token ids.
    texts : sequence of N str
    device : torch.device
    precision : {'fp32', 'bf16'}
    batch_size : int

    Returns
    -------
    units : list of lists of int
        Positions in `texts`, each in one list of at most `batch_size`.
    batches : callable
        Takes some of the units and yields (positions, rows of shape (len(positions), D)) for each.

    """
    tokens = encoder.tokenize(list(texts))
    by_length = sorted(range(len(tokens)), key=lambda i: (len(tokens[i]), i))
    units = [by_length[first : first + batch_size] for first in range(0, len(tokens), batch_size)]

    @torch.inference_mode()
    def forward(positions: Sequence[int]) -> NDArray[np.float32]:
        with autocast(device, precision):
            return encoder([tokens[i] for i in positions]).float().cpu().numpy()

    return units, lambda some: ((positions, forward(positions)) for positions in some)


def find(config: Config) -> tuple[Path, torch.device, str]:
    """Find the sentence model's folder, and choose its device and precision."""
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    device = choose_device(config.training.device)
    return folder, device, choose_precision(config.precision, device)
