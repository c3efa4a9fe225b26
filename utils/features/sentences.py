"""Texts ─► sentence vectors, in a file or in memory. Shapes: N texts, B batch, D numbers."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from utils.features import weights
from utils.features.shared_work import Batches, Units
from utils.features.updating import update_vector_files
from utils.runtime import distributed, terminal
from utils.runtime.devices import autocast, choose_device, choose_precision, for_inference
from utils.runtime.errors import InputError, shorten
from utils.settings.config import Config


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
    """Bring the vector file of some texts up to date, and say so.

    Processes that torchrun has started share the work.

    Parameters
    ----------
    path : Path
    ids, texts : sequence of N str
    what : str
        What the texts are; kept with the vectors, and checked where they are read.
    unit : str
        How to call the texts in the terminal.
    config : Config
        Which model, on which device, in which precision.
    summary : cli.Summary
        Told what is read and written, and finished.

    """
    model = config.sentence_model
    folder, device, precision = _find(config)
    summary.reads(folder)

    def start() -> tuple[Units, Callable[[Units], Batches]]:
        encoder = for_inference(weights.load_sentence_model(folder), device, precision)
        return text_work(encoder, texts, device, precision, model.batch_size)

    with terminal.progress(len(ids), "MPNet", unit) as bar:
        update = update_vector_files(
            [path],
            ids,
            attributes=[
                {
                    "what": what,
                    "model": model.name,
                    "weights_sha256": model.sha256,
                    "precision": precision,
                }
            ],
            columns={"texts": texts},
            widths=[weights.sentence_dimension(folder)],
            start=start,
            team=distributed.team(),
            advance=bar.update,
        )
    if update.failed:
        raise InputError(
            f"{len(update.failed)} of {len(ids)} {unit} cannot be embedded:\n"
            f"{shorten([f'{id} {reason}' for id, reason in update.failed.items()])}"
        )
    if update.written:
        summary.writes(path)
    summary.finish(
        f"embedded {update.computed} {unit} with {model.name} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


class TextEncoder:
    """The sentence model, loaded once, for texts that come as they come, from any thread.

    Parameters
    ----------
    config : Config
        Which model, on which device, in which precision.

    """

    def __init__(self, config: Config) -> None:
        folder, self._device, self._precision = _find(config)
        self._encoder = for_inference(
            weights.load_sentence_model(folder), self._device, self._precision
        )
        self._batch_size = config.sentence_model.batch_size
        self._dimension = weights.sentence_dimension(folder)
        self._lock = threading.Lock()  # the tokeniser keeps settings of a call in itself

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed N texts: unit vectors, shape (N, D)."""
        with self._lock:
            units, batches = text_work(
                self._encoder, texts, self._device, self._precision, self._batch_size
            )
            vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
            for rows, values in batches(units):
                vectors[rows] = values
        return vectors


def _find(config: Config) -> tuple[Path, torch.device, str]:
    """Find the sentence model's folder, and choose its device and precision."""
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    device = choose_device(config.training.device)
    return folder, device, choose_precision(config.precision, device)


def text_work(
    encoder: Any,
    texts: Sequence[str],
    device: torch.device,
    precision: str,
    batch_size: int,
) -> tuple[Units, Callable[[Units], Batches]]:
    """Tokenise texts, and tell how they are embedded.

    Parameters
    ----------
    encoder : nn.Module
        Set up by `utils.runtime.devices.for_inference`; with ``tokenize``, and called on token id
        lists.
    texts : sequence of N str
    device : torch.device
    precision : {'fp32', 'bf16'}
    batch_size : int

    Returns
    -------
    units : list of lists of int
        See `units_by_length`.
    batches : callable
        Embeds some of the units: see `text_batches`.

    """

    @torch.inference_mode()
    def forward(batch: list[Sequence[int]]) -> NDArray[np.float32]:
        with autocast(device, precision):
            return encoder(batch).float().cpu().numpy()

    tokens = encoder.tokenize(list(texts))
    units = units_by_length(tokens, batch_size=batch_size)
    return units, lambda some: text_batches(tokens, some, forward)


def units_by_length(tokens: Sequence[Sequence[int]], *, batch_size: int) -> list[list[int]]:
    """Put all texts into batches of similar length.

    A vector depends, in its last bits, on the padding and the size of its batch. So batches are
    made of all texts, not of those that happen to be missing, and are computed whole.

    Parameters
    ----------
    tokens : sequence of N token id lists
    batch_size : int

    Returns
    -------
    list of lists of int
        Positions in `tokens`, each in one of them.

    """
    by_length = sorted(range(len(tokens)), key=lambda i: (len(tokens[i]), i))
    return [by_length[first : first + batch_size] for first in range(0, len(tokens), batch_size)]


def text_batches(
    tokens: Sequence[Sequence[int]],
    units: Units,
    embed: Callable[[list[Sequence[int]]], NDArray[np.float32]],
) -> Batches:
    """Embed tokenised texts, a unit at a time.

    Parameters
    ----------
    tokens : sequence of token id lists
    units : sequence of lists of int
        Which of `tokens` to embed together: see `units_by_length`.
    embed : callable
        Token id lists (B) ─► rows (B, D).

    Yields
    ------
    (positions, rows) : list of int and ndarray of shape (len(positions), D)

    """
    for unit in units:
        yield unit, embed([tokens[i] for i in unit])
