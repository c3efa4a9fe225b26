"""Train a dual encoder: one epoch, validation, the best epoch. Model and loss come as arguments.

Shapes: P pairs of a clip and a caption, B of a batch.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.evaluation.metrics import CUTOFF, single_relevant
from utils.evaluation.ranking import rank_clips
from utils.features.pairs import Pairs
from utils.runtime.errors import InputError
from utils.training import fast_step
from utils.training.batches import Batch
from utils.training.mixup import Mixup, draw_mixup

SELECTED_BY = f"mAP@{CUTOFF}"


@dataclass(frozen=True)
class Schedule:
    """Length of the training and its learning rate, which falls when the validation loss stalls."""

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
        Called as ``loss(audio, text, clips, impostors)``; `impostors` is a batch's part of what
        ``loss.draw(clips, batch_size=..., generator=...)`` drew for the epoch.
    seed : int
        Batch order, training impostors, mixup and validation impostors each have their own
        generator: changing one does not affect the others.
    mixup : Mixup, optional
        Applied to training pairs; never to validation.

    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        schedule: Schedule,
        *,
        seed: int,
        mixup: Mixup | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.schedule = schedule
        self.mixup = mixup
        self.optimizer = torch.optim.Adam(
            [p for part in (model, loss) for p in part.parameters() if p.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
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
        """Train from the end of the history to the last epoch of the schedule.

        Parameters
        ----------
        after_epoch : callable
            Called with the epoch's history row, and whether it is the best so far.

        Raises
        ------
        InputError
            If the loss or the embeddings are no longer finite.

        """
        training, validation = training.with_text(self.model), validation.with_text(self.model)
        while len(self.history) < self.schedule.epochs:
            started = time.perf_counter()
            learning_rate = self.optimizer.param_groups[0]["lr"]
            train_loss = self.train_epoch(training)
            if not math.isfinite(train_loss):
                raise self._diverged(f"the loss is {train_loss}")
            validated = self.validate(validation)
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
        """Train on all pairs once, in random order; returns the mean loss per pair."""
        self.model.train()
        losses = []
        epoch = self._draw_epoch(pairs, self._order, self._impostors, mixup=self.mixup)
        for batch in epoch.split(self.schedule.batch_size):
            losses.append(self._backward(pairs, batch))  # no .item(): it would wait for the device
            self.optimizer.step()
        return self._mean_per_pair(losses, len(pairs))

    def _backward(self, pairs: Pairs, batch: Batch) -> Tensor:
        """Compute the loss of a batch and the gradients of the parameters."""
        if fast_step.fits(self.model, self.loss, pairs, batch):
            return fast_step.backward(self.model, self.loss, pairs, batch)
        audio, text = batch.embed(self.model, pairs)
        loss = self.loss(audio, text, batch.clips, batch.impostors)
        self.optimizer.zero_grad()
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Compute the mean loss per pair and the metrics, with each clip and caption embedded once.

        Batches and impostors are the same at every epoch.

        Raises
        ------
        InputError
            If the embeddings or the loss are not finite: training has diverged in the last step.

        """
        self.model.eval()
        epoch = self._draw_epoch(
            pairs,
            torch.Generator().manual_seed(self._validation_seed),
            torch.Generator(pairs.clips.device).manual_seed(self._validation_seed),
        )
        audio = self.model.encode_audio(pairs.features, pairs.tags)
        text = self.model.encode_text(pairs.sentences) if pairs.text is None else pairs.text
        losses = [
            self.loss(audio[batch.clips], text[batch.order], batch.clips, batch.impostors)
            for batch in epoch.split(self.schedule.batch_size)
        ]
        loss = self._mean_per_pair(losses, len(pairs))
        if not (math.isfinite(loss) and audio.isfinite().all() and text.isfinite().all()):
            raise self._diverged(f"the validation loss or an embedding is not finite ({loss})")
        scores = single_relevant(rank_clips(audio, text, pairs.clips))
        return {
            "validation_loss": loss,
            **{name: float(values.mean()) for name, values in scores.items()},
        }

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"training diverged: in epoch {len(self.history) + 1} {what} (learning rate "
            f"{self.optimizer.param_groups[0]['lr']:g}). Lower training.learning_rate, or look for "
            "extreme numbers in the vector files."
        )

    def _mean_per_pair(self, losses: list[Tensor], pairs: int) -> float:
        """Average the mean losses of an epoch's batches; the last batch may be smaller."""
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
    ) -> Batch:
        """Draw everything random of an epoch, in a few calls."""
        order = torch.randperm(len(pairs), generator=order_generator).to(pairs.clips.device)
        clips, partners, share = pairs.clips[order], None, None
        if mixup is not None:
            partners, drawn = draw_mixup(pairs.clips, order, mixup, self._mixing)
            share = torch.as_tensor(drawn, dtype=pairs.features.dtype, device=clips.device)
            clips = torch.stack([clips, pairs.clips[partners]], dim=1)
        impostors = self.loss.draw(clips, batch_size=self.schedule.batch_size, generator=generator)
        return Batch(order, clips, impostors, partners, share)

    def state_dict(self) -> dict[str, Any]:
        """Collect everything needed to resume as if never stopped."""
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
        """Resume a run from its `state_dict`, this version's or an earlier one's.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If the state is incomplete, or of another model, loss or optimiser.

        """
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        for moments in self.optimizer.state.values():
            # Earlier versions kept one step count for all parameters; each would increment it.
            moments["step"] = moments["step"].clone()
        self.scheduler.load_state_dict(state["scheduler"])
        self._order.set_state(state["order_generator"])
        self._impostors.set_state(state["impostor_generator"])
        self._validation_seed = state["validation_seed"]
        self._mixing.bit_generator.state = state["mixing"]
        self.history = list(state["history"])
        self.best_epoch = state["best_epoch"]
        self.best_state = state["best_state"]


def spread_seed(seed: int, count: int) -> Iterator[int]:
    """Derive `count` independent 63-bit seeds from one."""
    words = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    return (int(word >> np.uint64(1)) for word in words)
