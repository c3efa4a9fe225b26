"""The steps of a fine-tuning, as a module of PyTorch Lightning.

Shapes: B pairs of a batch, C clips and P captions of a split, D dimension of the shared space.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import Distillation, InfoNCE
from utils.evaluation.metrics import CUTOFF, single_relevant
from utils.evaluation.ranking import rank_clips
from utils.finetuning.batches import Pairs, Windows
from utils.finetuning.network import EndToEnd
from utils.finetuning.schedule import make_optimizer, make_scheduler
from utils.finetuning.sound_cache import FULL_SCALE
from utils.runtime.errors import InputError
from utils.settings.config import Finetuning

SELECTED_BY = f"mAP@{CUTOFF}"
CLIPS, CAPTIONS = 0, 1  # the parts of a validation


@dataclass(frozen=True)
class Captions:
    """The captions of a split: as lists of tokens, or as sentence vectors, shape (P, D)."""

    inputs: Sequence[list[int]] | Tensor

    def take(self, rows: Tensor, device: torch.device) -> list[list[int]] | Tensor:
        """Take the captions of a batch."""
        if isinstance(self.inputs, Tensor):
            return self.inputs[rows.cpu()].to(device)
        return [self.inputs[row] for row in rows.tolist()]


class Teachers:
    """The embeddings of all clips and captions of a split, by several models."""

    def __init__(self, embeddings: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._embeddings = embeddings

    def scores(self, clips: Tensor, captions: Tensor) -> Tensor:
        """Average the teachers' cosines between clips and captions, by number: (B, B)."""
        clips, captions = clips.cpu(), captions.cpu()
        found = [audio[clips] @ text[captions].T for audio, text in self._embeddings]
        return torch.stack(found).mean(dim=0)


class FineTuning(lightning.LightningModule):
    """Trains the networks on pairs, and validates by retrieval.

    Parameters
    ----------
    network : EndToEnd
    settings : Finetuning
    training, validation : Captions
    clip_of_caption : Tensor, shape (P,)
        Of the validation split.
    seed : int
        Of patchout and dropout.
    teachers : Teachers, optional
        Of the training split.
    after_epoch : callable
        Called with the row of the history of each epoch.

    """

    def __init__(
        self,
        network: EndToEnd,
        settings: Finetuning,
        *,
        training: Captions,
        validation: Captions,
        clip_of_caption: Tensor,
        seed: int,
        teachers: Teachers | None = None,
        after_epoch: Callable[[dict[str, float]], Any] = lambda row: None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = InfoNCE(
            temperature=settings.temperature, learnable=settings.learnable_temperature
        )
        self._settings = settings
        self._training, self._validation = training, validation
        self._clip_of_caption = clip_of_caption
        self._teachers, self._seed = teachers, seed
        self._distillation = Distillation(temperature=settings.distillation_temperature)
        self._after_epoch = after_epoch
        self._losses: list[Tensor] = []
        self._embedded: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._validated: dict[str, float] = {}
        self._began = time.perf_counter()

    def configure_optimizers(self) -> dict[str, Any]:
        """Make the optimiser, whose rates change after each step."""
        optimizer = make_optimizer(self.network, self.loss, self._settings)
        steps = self.trainer.estimated_stepping_batches / self._settings.epochs
        scheduler = make_scheduler(optimizer, self._settings, steps_of_epoch=steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Begin to collect what is reported of an epoch."""
        self._losses, self._began = [], time.perf_counter()

    def on_train_batch_start(self, batch: Pairs, batch_idx: int) -> None:
        """Draw what is random in a batch from its number, so that a resumed run is the same."""
        place = (self.trainer.current_epoch, batch_idx, self.trainer.global_rank)
        torch.manual_seed(_seed_of(self._seed, *place))

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        """Compute the loss of a batch; with several GPUs, all pairs are negatives of each other."""
        audio = self._embed_clips(batch.windows, len(batch.captions))
        text = self.network.encode_text(self._training.take(batch.captions, self.device))
        clips, captions = self._all(batch.windows.numbers), self._all(batch.captions)
        with torch.autocast(self.device.type, enabled=False):
            loss = self._loss(self._all(audio), self._all(text), clips, captions)
        if not loss.isfinite():
            raise InputError(
                f"fine-tuning diverged in epoch {self.trainer.current_epoch + 1}: the loss is "
                f"{loss.item()}. Lower the learning rates of `finetuning`."
            )
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Windows | Tensor, batch_idx: int, dataloader_idx: int) -> None:
        """Embed clips or captions; the last batch of captions is followed by the scores.

        Not at the end of the epoch: weights that `EMAWeightAveraging` has averaged are exchanged
        again before it.
        """
        if dataloader_idx == CLIPS:
            found = batch.numbers, self._embed_clips(batch, len(batch.numbers))
        else:
            found = batch, self.network.encode_text(self._validation.take(batch, self.device))
        if batch_idx == 0:
            self._embedded[dataloader_idx] = []
        self._embedded[dataloader_idx].append(tuple(map(self._all, found)))
        if dataloader_idx == CAPTIONS and batch_idx + 1 == self.trainer.num_val_batches[CAPTIONS]:
            self._score()

    def on_train_epoch_end(self) -> None:
        """Report the epoch."""
        rates = {group["lr"] for group in self.trainer.optimizers[0].param_groups}
        row = {
            "epoch": self.trainer.current_epoch + 1,
            "train_loss": torch.stack(self._losses).mean().item(),
            "validation_loss": self._validated["validation_loss"],
            "learning_rate": max(rates),
            **self._validated,
            "temperature": self.loss.temperature.item(),
            "seconds": time.perf_counter() - self._began,
        }
        self._after_epoch(row)

    def _loss(self, audio: Tensor, text: Tensor, clips: Tensor, captions: Tensor) -> Tensor:
        hard = self.loss(audio, text, clips)
        weight = self._settings.distillation_weight if self._teachers else 0.0
        if not weight:
            return hard
        scores = audio @ text.T / self.loss.temperature.to(audio.dtype)
        soft = self._distillation(scores, self._teachers.scores(clips, captions).to(scores))
        return weight * soft + (1 - weight) * hard

    def _embed_clips(self, windows: Windows, count: int) -> Tensor:
        samples = windows.samples.float() / FULL_SCALE
        return self.network.encode_audio(samples, windows.weights, windows.clips, count)

    def _all(self, values: Tensor) -> Tensor:
        """Gather the rows of all processes."""
        if self.trainer.world_size == 1:
            return values
        return self.all_gather(values, sync_grads=values.requires_grad).flatten(0, 1)

    def _score(self) -> None:
        audio, text = map(self._table, (CLIPS, CAPTIONS))
        clips = self._clip_of_caption.to(audio.device)
        if not (audio.isfinite().all() and text.isfinite().all()):
            raise InputError(
                f"fine-tuning diverged in epoch {self.trainer.current_epoch + 1}: an embedding is "
                "not finite. Lower the learning rates of `finetuning`."
            )
        scores = single_relevant(rank_clips(audio, text, clips))
        order = torch.randperm(len(text), generator=torch.Generator().manual_seed(0))
        batches = order.to(clips.device).split(self._settings.batch_size)
        losses = [self.loss(audio[clips[rows]], text[rows], clips[rows]) for rows in batches]
        total = sum(len(rows) * loss for rows, loss in zip(batches, losses, strict=True))
        self._validated = {
            "validation_loss": (total / len(text)).item(),
            **{name: float(values.mean()) for name, values in scores.items()},
        }
        self.log(SELECTED_BY, self._validated[SELECTED_BY], add_dataloader_idx=False)

    def _table(self, part: int) -> Tensor:
        """Put what was embedded into the order of the split; several processes repeat some."""
        numbers, rows = map(torch.cat, zip(*self._embedded[part], strict=True))
        table = rows.new_full((int(numbers.max()) + 1, rows.shape[1]), math.nan)
        table[numbers] = rows
        return F.normalize(table.float(), dim=-1)


def _seed_of(*numbers: int) -> int:
    """Make one seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
