"""Fine-tuning from a first step, or from where it was interrupted, to the best weights."""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

from utils.finetuning.batches import CaptionedClips, Clips, collate_clips, collate_pairs
from utils.finetuning.network import EndToEnd
from utils.finetuning.system import SELECTED_BY, Captions, FineTuning, Teachers
from utils.runtime import distributed
from utils.settings.config import Finetuning

_BEST, _LAST = "best", "last"
# What Lightning remarks about our choices.
_REMARKS = (
    ".*does not have many workers.*",
    ".*number of training batches.*smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*isinstance.treespec, LeafSpec.*",
)


@dataclass(frozen=True)
class Part:
    """The clips and captions of a split.

    Attributes
    ----------
    clip_of_caption : ndarray, shape (P,)

    """

    clips: Clips
    captions: Captions
    clip_of_caption: NDArray


def fit(
    network: EndToEnd,
    settings: Finetuning,
    training: Part,
    validation: Part,
    *,
    folder: Path,
    device: torch.device,
    precision: str,
    seed: int,
    teachers: Teachers | None = None,
    after_epoch: Callable[[dict[str, float]], Any],
    progress: Callable[[int], Any],
) -> None:
    """Train, and leave the network with the weights of the best epoch.

    Parameters
    ----------
    network : EndToEnd
        As it begins.
    folder : Path
        Of the checkpoints: the training goes on from the last one in it.
    precision : {'fp32', 'bf16'}
    teachers : Teachers, optional
        Of the training split.
    after_epoch : callable
        Called with the row of the history of each epoch.
    progress : callable
        Called with the number of passes of an epoch; returns a context manager, whose ``update`` is
        called with passes that are done.

    Raises
    ------
    InputError
        If it diverges.

    """
    network.freeze(audio_layers=settings.audio_layers, text_layers=settings.text_layers)
    network.passt.net.s_patchout_t = settings.patchout_time
    network.passt.net.s_patchout_f = settings.patchout_bands
    network.train()  # Lightning leaves what was loaded for inference as it is
    if settings.recompute:
        network.recompute_activations()
    module = FineTuning(
        network,
        settings,
        training=training.captions,
        validation=validation.captions,
        clip_of_caption=torch.from_numpy(validation.clip_of_caption),
        seed=seed,
        teachers=teachers,
        after_epoch=after_epoch,
    )
    best = ModelCheckpoint(
        folder,
        _BEST,
        monitor=SELECTED_BY,
        mode="max",
        save_last=True,
        save_on_train_epoch_end=True,  # after the history has its row
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [best, _Progress(progress)]
    if settings.ema_decay:
        callbacks.insert(0, EMAWeightAveraging(decay=settings.ema_decay, use_buffers=False))
    with _quiet():
        lightning.seed_everything(seed, verbose=False)
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=_processes_here(),
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            max_epochs=settings.epochs,
            accumulate_grad_batches=settings.accumulate,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        last = folder / f"{_LAST}.ckpt"
        trainer.fit(
            module,
            datamodule=_Data(training, validation, settings, seed=seed),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    state = torch.load(folder / f"{_BEST}.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(state["state_dict"])


def _processes_here() -> int:
    """Count the processes that torchrun has started on this machine, one for each GPU."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


class _Data(lightning.LightningDataModule):
    """Makes the batches of each epoch."""

    def __init__(self, training: Part, validation: Part, settings: Finetuning, *, seed: int):
        super().__init__()
        self._training, self._validation = training, validation
        self._settings, self._seed = settings, seed

    def train_dataloader(self) -> DataLoader:
        part, settings = self._training, self._settings
        pairs = CaptionedClips(
            part.clips,
            part.clip_of_caption,
            seed=1_000_003 * self._seed + self.trainer.current_epoch,
            one_each=settings.captions == "one",
        )
        return self._loader(pairs, partial(collate_pairs, part.clips.window))

    def val_dataloader(self) -> list[DataLoader]:
        part = self._validation
        captions = torch.arange(len(part.clip_of_caption))
        return [
            self._loader(part.clips, partial(collate_clips, part.clips.window)),
            DataLoader(captions, self._settings.batch_size),
        ]

    def _loader(self, dataset: Any, collate: Callable[..., Any]) -> DataLoader:
        return DataLoader(
            dataset,
            self._settings.batch_size,
            num_workers=self._settings.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )


class _Progress(Callback):
    """Shows how far an epoch is."""

    def __init__(self, progress: Callable[[int], Any]) -> None:
        self._progress = progress
        self._stack = contextlib.ExitStack()

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if distributed.team().is_first:
            bar = self._progress(trainer.num_training_batches)
            self._bar = self._stack.enter_context(bar)

    def on_train_batch_end(self, *_: Any) -> None:
        if distributed.team().is_first:
            self._bar.update(1)

    def on_validation_start(self, *_: Any) -> None:
        self._stack.close()

    def on_exception(self, *_: Any) -> None:
        self._stack.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for remark in _REMARKS:
                warnings.filterwarnings("ignore", message=remark)
            yield
    finally:
        logger.setLevel(level)
