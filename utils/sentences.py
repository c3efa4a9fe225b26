"""Texts ─► sentence vectors, in a file or in memory. Shapes: N texts, B batch, D numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from utils import cli, weights
from utils.config import Config
from utils.devices import autocast, choose_device, choose_precision, for_inference
from utils.extraction import update_vector_files
from utils.journal import Batches


def embed(
    path: Path,
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    what: str,
    unit: str,
    config: Config,
    load_encoder: Callable[[Path], Any],
    summary: cli.Summary,
) -> None:
    """Bring the vector file of some texts up to date, and say so.

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
    load_encoder : callable
        Makes the sentence encoder (``tokenize``, and called on token id lists) from its folder;
        called only where a text is to be embedded.
    summary : cli.Summary
        Told what is read and written, and finished.

    """
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    summary.reads(folder)
    device = choose_device(config.training.device)
    precision = choose_precision(config.precision, device)

    def start() -> Callable[[list[int]], Batches]:
        encoder = for_inference(load_encoder(folder), device, precision)
        return lambda missing: _batches(
            encoder, texts, missing, device, precision, model.batch_size
        )

    with cli.progress(len(ids), "MPNet", unit) as bar:
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
            advance=bar.update,
        )
    if update.written:
        summary.writes(path)
    summary.finish(
        f"embedded {update.computed} {unit} with {model.name} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


def encode(
    texts: Sequence[str], *, config: Config, load_encoder: Callable[[Path], Any]
) -> NDArray[np.float32]:
    """Embed texts without keeping them in a file.

    Parameters
    ----------
    texts : sequence of N str
    config : Config
        Which model, on which device, in which precision.
    load_encoder : callable
        See `embed`.

    Returns
    -------
    ndarray, shape (N, D), float32
        Unit vectors.

    """
    model = config.sentence_model
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    device = choose_device(config.training.device)
    precision = choose_precision(config.precision, device)
    encoder = for_inference(load_encoder(folder), device, precision)
    vectors = np.empty((len(texts), weights.sentence_dimension(folder)), dtype=np.float32)
    every = range(len(texts))
    for rows, values in _batches(encoder, texts, every, device, precision, model.batch_size):
        vectors[rows] = values
    return vectors


def _batches(
    encoder: Any,
    texts: Sequence[str],
    positions: Sequence[int],
    device: torch.device,
    precision: str,
    batch_size: int,
) -> Batches:
    @torch.inference_mode()
    def forward(batch: list[Sequence[int]]) -> NDArray[np.float32]:
        with autocast(device, precision):
            return encoder(batch).float().cpu().numpy()

    tokens = encoder.tokenize(list(texts))
    return text_batches(tokens, positions, forward, batch_size=batch_size)


def text_batches(
    tokens: Sequence[Sequence[int]],
    positions: Sequence[int],
    embed: Callable[[list[Sequence[int]]], NDArray[np.float32]],
    *,
    batch_size: int,
) -> Batches:
    """Embed tokenised texts in batches of similar length.

    Parameters
    ----------
    tokens : sequence of token id lists
    positions : sequence of int
        Which of `tokens` to compute.
    embed : callable
        Token id lists (B) ─► rows (B, D).
    batch_size : int

    Yields
    ------
    (positions, rows) : list of int and ndarray of shape (len(positions), D)

    """
    by_length = sorted(positions, key=lambda i: (len(tokens[i]), i))
    for start in range(0, len(by_length), batch_size):
        batch = by_length[start : start + batch_size]
        yield batch, embed([tokens[i] for i in batch])
