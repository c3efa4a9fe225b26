"""Train a dual encoder: one epoch, validation, the best epoch. Model and loss come as arguments.

Everything is held on the device: no file is touched inside an epoch.

Shapes: P pairs of a clip and a caption, C clips, F audio numbers, D dimension of the space.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.adam import Adam
from utils.distributed import ALONE, Team
from utils.errors import InputError
from utils.metrics import CUTOFF, METRICS, bootstrap_interval, score_hits, single_relevant
from utils.mixup import Mixup, draw_mixup
from utils.parallel import add_gradients, gather_rows, share_of
from utils.retrieval import caption_hits, rank_and_retrieve, rank_clips

SELECTED_BY = f"mAP@{CUTOFF}"
_CAPTIONS_AT_ONCE = 4096


@dataclass(frozen=True)
class Pairs:
    """The clips and captions of one split, as tensors on the device.

    Attributes
    ----------
    features : Tensor, shape (C, F)
        What the audio branch projects.
    logits : Tensor, shape (C, K), or None
        AudioSet logits behind the tag embeddings; None for a model without a tag branch.
    tags : Tensor, shape (C, D), or None
        Tag embeddings of the clips; likewise.
    sentences : Tensor, shape (P, D)
        Sentence vectors of the captions.
    clips : Tensor, shape (P,), int
        Row of `features` that each caption belongs to.
    text : Tensor, shape (P, D), or None
        Text embeddings of the captions, where training does not change them; see `with_text`.

    """

    features: Tensor
    logits: Tensor | None
    tags: Tensor | None
    sentences: Tensor
    clips: Tensor
    text: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @torch.no_grad()
    def with_text(self, model: nn.Module) -> "Pairs":
        """Embed the captions once for all epochs, if the model's text branch is not trained."""
        if model.text_is_trained:
            return self
        text = torch.empty_like(self.sentences)
        for part, sentences in zip(
            text.split(_CAPTIONS_AT_ONCE), self.sentences.split(_CAPTIONS_AT_ONCE), strict=True
        ):
            part.copy_(model.encode_text(sentences))
        return replace(self, text=text)


@dataclass(frozen=True)
class Batch:
    """Which pairs are embedded together, and what was drawn for them: a batch, or a whole epoch.

    Attributes
    ----------
    order : Tensor, shape (B,), int
        Positions of the pairs.
    clips : Tensor, shape (B,) or (B, 2), int
        Their clips; of mixed pairs both.
    impostors : Tensor, shape (..., B), or None
        What the loss drew.
    partners : Tensor, shape (B,), int, or None
        Positions of the pairs that they are mixed with, if any are.
    share : Tensor, shape (B,), or None
        Their own share in the mixture.

    """

    order: Tensor
    clips: Tensor
    impostors: Tensor | None = None
    partners: Tensor | None = None
    share: Tensor | None = None

    def split(self, size: int) -> Iterator["Batch"]:
        """Cut into consecutive parts of `size` pairs; the last one may be smaller."""
        parts = [
            itertools.repeat(None) if whole is None else whole.split(size, dim=dimension)
            for whole, dimension in (
                (self.order, 0), (self.clips, 0), (self.impostors, -1),
                (self.partners, 0), (self.share, 0),
            )
        ]  # fmt: skip
        return itertools.starmap(Batch, zip(*parts, strict=False))

    def part(self, rows: slice) -> "Batch":
        """Take some of the pairs, without what was drawn for the batch as a whole."""
        if rows == slice(0, len(self.order)):
            return self
        partners, share = (
            None if whole is None else whole[rows] for whole in (self.partners, self.share)
        )
        return Batch(self.order[rows], self.clips[rows], None, partners, share)

    def clips_of(self, pairs: Pairs) -> tuple[Tensor, Tensor | None]:
        """Take features and tag embeddings of the clips of unmixed pairs."""
        tags = None if pairs.tags is None else pairs.tags.index_select(0, self.clips)
        return pairs.features.index_select(0, self.clips), tags

    def embed(self, model: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embed the clips and captions of the pairs: audio and text, each (B, D)."""
        if self.partners is not None:
            return self._embed_mixed(model, pairs)
        audio = model.encode_audio(*self.clips_of(pairs))
        if pairs.text is not None:
            return audio, pairs.text.index_select(0, self.order)
        return audio, model.encode_text(pairs.sentences.index_select(0, self.order))

    def _embed_mixed(self, model: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        def mix(values: Tensor, one: Tensor, other: Tensor) -> Tensor:
            return torch.lerp(values[other], values[one], self.share.unsqueeze(1))

        clips = self.clips.unbind(dim=1)
        tags = None
        if pairs.logits is not None:
            tags = model.embed_tags(mix(pairs.logits, *clips))
        sentences = mix(pairs.sentences, self.order, self.partners)
        return (
            model.encode_audio(mix(pairs.features, *clips), tags),
            model.encode_text(nn.functional.normalize(sentences, dim=-1)),
        )


@dataclass(frozen=True)
class Schedule:
    """When to stop, and how the learning rate falls (on a plateau of the validation loss)."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    factor: float
    patience: int
    threshold: float


class Trainer:
    """Optimiser, schedule, random generators and history of one training run.

    Parameters
    ----------
    model : nn.Module
        With ``encode_audio(features, tags)``, ``encode_text(sentences)`` and ``text_is_trained``,
        as `models.dual_encoder.DualEncoder`.
    loss : nn.Module
        Called as ``loss(audio, text, clips, impostors)``, impostors being a batch's part of what
        ``loss.draw(clips, batch_size=..., generator=...)`` drew for the epoch.
    schedule : Schedule
    seed : int
        Batch order, training impostors, mixup and validation impostors each have a generator of
        their own, so that a change to one leaves the others alone.
    mixup : Mixup, optional
        Applied to training pairs; never to validation.
    team : Team
        The processes that share each batch; all are given the same seed and data.

    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        schedule: Schedule,
        *,
        seed: int,
        mixup: Mixup | None = None,
        team: Team = ALONE,
    ) -> None:
        self.model = model
        self.team = team
        self.loss = loss
        self.schedule = schedule
        self.mixup = mixup
        self.optimizer = Adam(
            [p for part in (model, loss) for p in part.parameters() if p.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            mode="min",
            factor=schedule.factor,
            patience=schedule.patience,
            threshold=schedule.threshold,
            threshold_mode="abs",
        )
        order_seed, impostor_seed, validation_seed, mixup_seed = spread_seed(seed, 4)
        device = next(model.parameters()).device
        self._order = torch.Generator().manual_seed(order_seed)
        self._impostors = torch.Generator(device).manual_seed(impostor_seed)
        self._validation_seed = validation_seed
        self._mixing = np.random.default_rng(mixup_seed)
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}

    def fit(
        self,
        training: Pairs,
        validation: Pairs,
        *,
        after_epoch: Callable[[dict[str, float], bool], Any] = lambda row, improved: None,
    ) -> None:
        """Train up to the last epoch of the schedule, from where the history ends.

        Parameters
        ----------
        training, validation : Pairs
        after_epoch : callable
            Told the epoch's history row, and whether it is the best so far.

        Raises
        ------
        InputError
            If the loss is no longer finite.

        """
        training, validation = training.with_text(self.model), validation.with_text(self.model)
        while len(self.history) < self.schedule.epochs:
            started = time.perf_counter()
            learning_rate = self.optimizer.param_groups[0]["lr"]
            # Of several processes, on machines that may round differently, rank 0's numbers count.
            train_loss = self.team.told(self.train_epoch(training))
            if not math.isfinite(train_loss):
                raise InputError(
                    f"training diverged: in epoch {len(self.history) + 1} the loss is {train_loss} "
                    f"(learning rate {learning_rate:g}). Lower training.learning_rate, or look for "
                    "extreme numbers in the vector files."
                )
            validated = self.team.told(self.validate(validation))
            self.scheduler.step(validated["validation_loss"])
            row = {
                "epoch": len(self.history) + 1,
                "train_loss": train_loss,
                "validation_loss": validated.pop("validation_loss"),
                "learning_rate": learning_rate,
                **validated,
                "seconds": time.perf_counter() - started,
            }
            improved = all(row[SELECTED_BY] > earlier[SELECTED_BY] for earlier in self.history)
            self.history.append(row)
            if improved:
                self.best_epoch = row["epoch"]
                self.best_state = copy.deepcopy(self.model.state_dict())
            after_epoch(row, improved)

    def train_epoch(self, pairs: Pairs) -> float:
        """Go once over all pairs in random order; returns the mean loss per pair."""
        self.model.train()
        losses = []
        epoch = self._draw_epoch(pairs, self._order, self._impostors, mixup=self.mixup)
        for batch in epoch.split(self.schedule.batch_size):
            losses.append(self._backward(pairs, batch))  # no .item(): it would wait for the device
            self.optimizer.fused_step()
        return self._mean_per_pair(losses, len(pairs))

    def _backward(self, pairs: Pairs, batch: Batch) -> Tensor:
        """Compute the loss of a batch and the gradients of the parameters."""
        count = len(batch.order)
        own = share_of(self.team, count)
        part = batch.part(own)
        unmixed = pairs.text is not None and batch.partners is None
        if unmixed and self.loss.with_gradient is not None:
            # The same by hand: on a CPU, autograd's bookkeeping takes a fifth of a step.
            audio, backward = self.model.encode_audio_directly(*part.clips_of(pairs))
            loss, gradient = self.loss.with_gradient(
                gather_rows(self.team, audio, count),
                pairs.text.index_select(0, batch.order),
                batch.impostors,
            )
            backward(gradient[own])
        else:
            audio, text = (
                gather_rows(self.team, embedded, count)
                for embedded in part.embed(self.model, pairs)
            )
            loss = self.loss(audio, text, batch.clips, batch.impostors)
            loss.backward()
            # Every process has the whole gradient of these.
            for parameter in self.loss.parameters():
                parameter.grad /= self.team.size
        add_gradients(self.team, self.optimizer.param_groups[0]["params"])
        return loss.detach()

    @torch.no_grad()
    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Compute mean loss per pair and metrics, every clip and caption embedded once.

        Batches and impostors are the same at every epoch.
        """
        self.model.eval()
        device = pairs.clips.device
        epoch = self._draw_epoch(
            pairs,
            torch.Generator().manual_seed(self._validation_seed),
            torch.Generator(device).manual_seed(self._validation_seed),
        )
        audio = self.model.encode_audio(pairs.features, pairs.tags)
        text = self.model.encode_text(pairs.sentences) if pairs.text is None else pairs.text
        losses = [
            self.loss(audio[batch.clips], text[batch.order], batch.clips, batch.impostors)
            for batch in epoch.split(self.schedule.batch_size)
        ]
        scores = single_relevant(rank_clips(audio, text, pairs.clips))
        return {
            "validation_loss": self._mean_per_pair(losses, len(pairs)),
            **{name: float(values.mean()) for name, values in scores.items()},
        }

    def _mean_per_pair(self, losses: list[Tensor], pairs: int) -> float:
        """Average the mean losses of the batches of an epoch, of which the last may be smaller."""
        total = torch.stack(losses).cpu().double() * self.schedule.batch_size
        total[-1] *= pairs / self.schedule.batch_size - (len(losses) - 1)
        return total.sum().item() / pairs

    def _draw_epoch(
        self,
        pairs: Pairs,
        order_generator: torch.Generator,
        generator: torch.Generator,
        *,
        mixup: Mixup | None = None,
    ) -> "Batch":
        """Draw all that is random in an epoch, in a few calls."""
        order = torch.randperm(len(pairs), generator=order_generator).to(pairs.clips.device)
        clips, partners, share = pairs.clips[order], None, None
        if mixup is not None:
            partners, drawn = draw_mixup(pairs.clips, order, mixup, self._mixing)
            share = torch.as_tensor(drawn, dtype=pairs.features.dtype, device=clips.device)
            clips = torch.stack([clips, pairs.clips[partners]], dim=1)
        impostors = self.loss.draw(clips, batch_size=self.schedule.batch_size, generator=generator)
        return Batch(order, clips, impostors, partners, share)

    def state_dict(self) -> dict[str, Any]:
        """Collect all that is needed to go on as if never stopped."""
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "order_generator": self._order.get_state(),
            "impostor_generator": self._impostors.get_state(),
            "validation_seed": self._validation_seed,
            "mixing": self._mixing.bit_generator.state,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a run where `state_dict` left it."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self._order.set_state(state["order_generator"])
        self._impostors.set_state(state["impostor_generator"])
        self._validation_seed = state["validation_seed"]
        self._mixing.bit_generator.state = state["mixing"]
        self.history = list(state["history"])
        self.best_epoch = state["best_epoch"]
        self.best_state = state["best_state"]


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves for each caption of a split.

    Attributes
    ----------
    ranks : ndarray, shape (P,)
        Rank of each caption's own clip, from 1.
    best : ndarray, shape (P, up to 10)
        Rows of the best clips.
    scores : ndarray, shape (P, up to 10)
        Their scores.
    values : dict of str to ndarray, shape (P,)
        R@1, R@5, R@10 and mAP@10 of each caption.
    audio_to_text : dict of str to ndarray, shape (C,)
        The other way round, where asked for: each clip ranks all captions. R@k is 1 if any of its
        own is among the first k, AP@10 is divided by min(number of its captions, 10).
    clips : ndarray, shape (P,), int
        Each caption's own clip.

    """

    ranks: NDArray[np.int64]
    best: NDArray[np.int64]
    scores: NDArray[np.float32]
    values: dict[str, NDArray[np.float64]]
    audio_to_text: dict[str, NDArray[np.float64]]
    clips: NDArray[np.int64]

    def means(self) -> dict[str, float]:
        """Average over the captions: the metrics."""
        return {name: float(self.values[name].mean()) for name in METRICS}

    def intervals(self, *, seed: int) -> dict[str, tuple[float, float]]:
        """Compute 95 % bootstrap intervals of the metrics, over captions grouped by clip."""
        return {
            name: bootstrap_interval(self.values[name], self.clips, seed=seed) for name in METRICS
        }

    def audio_to_text_means(self) -> dict[str, float]:
        """Average over the clips: the metrics of audio-to-text retrieval."""
        return {name: float(self.audio_to_text[name].mean()) for name in METRICS}


@torch.no_grad()
def evaluate(model: nn.Module, pairs: Pairs, *, both_ways: bool = False) -> Evaluation:
    """Retrieve clips for every caption, and `both_ways` captions for every clip."""
    model.eval()
    audio = model.encode_audio(pairs.features, pairs.tags)
    text = model.encode_text(pairs.sentences)
    ranks, best, scores = rank_and_retrieve(audio, text, pairs.clips)
    audio_to_text = {}
    if both_ways:
        own = torch.bincount(pairs.clips, minlength=len(audio)).cpu()
        audio_to_text = score_hits(caption_hits(audio, text, pairs.clips), own, recall="any")
    clips = pairs.clips.cpu().numpy()
    return Evaluation(ranks, best, scores, single_relevant(ranks), audio_to_text, clips)


def spread_seed(seed: int, count: int) -> Iterator[int]:
    """Derive `count` independent 63-bit seeds from one."""
    words = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    return (int(word >> np.uint64(1)) for word in words)
