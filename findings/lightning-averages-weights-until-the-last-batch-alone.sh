#!/usr/bin/env bash
# Averaged weights (EMA) are exchanged before a module's on_validation_epoch_end runs.
#
# Retrieval is scored there as a rule: sounds and texts are embedded batch by batch, and ranked when
# all are there. Expected: with EMAWeightAveraging, all of a validation sees the averaged weights.
# Seen with pytorch-lightning 2.6.6: validation_step sees them, on_validation_epoch_end the weights
# of the last step. A text encoder that runs there is not the one whose checkpoint is kept: what is
# saved as state_dict are the averaged weights.
#     weight in validation_step 0.5, in on_validation_epoch_end 1.0, in the checkpoint 0.5
# Score in the last validation_step instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet pytorch-lightning==2.6.6 torch==2.11.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import logging
import warnings

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
seen = {}


class OneWeight(lightning.LightningModule):
    """A weight that is 0 at first, and that the only step raises to 1."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch, batch_idx):
        return -self.weight.sum()

    def validation_step(self, batch, batch_idx):
        seen["validation_step"] = self.weight.item()

    def on_validation_epoch_end(self):
        seen["on_validation_epoch_end"] = self.weight.item()


class Averaging(EMAWeightAveraging):
    """The average of the weights at the beginning and after the step."""

    def setup(self, trainer, module, stage):
        super().setup(trainer, module, stage)
        if stage == "fit":
            self._average_model.update_parameters(module)


data = torch.utils.data.DataLoader(torch.zeros(1))
saving = ModelCheckpoint(".", "last")
trainer = lightning.Trainer(
    accelerator="cpu",
    max_epochs=1,
    callbacks=[Averaging(decay=0.5), saving],
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    num_sanity_val_steps=0,
)
trainer.fit(OneWeight(), data, data)
saved = torch.load("last.ckpt", weights_only=True)["state_dict"]["weight"].item()
print(f"pytorch-lightning {lightning.__version__}")
print("expected: weight 0.5 in validation_step, in on_validation_epoch_end and in the checkpoint")
print(
    f"weight in validation_step {seen['validation_step']}, in on_validation_epoch_end "
    f"{seen['on_validation_epoch_end']}, in the checkpoint {saved}"
)
assert seen["validation_step"] == saved == 0.5, "the validation does not see averaged weights"
assert seen["on_validation_epoch_end"] == 1.0, "all of the validation sees averaged weights now"
PYTHON
