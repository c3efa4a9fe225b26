"""What a run trains on, chooses its epoch by, and is scored on.

Shapes: C clips, K AudioSet classes, D dimension of the shared space.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.dual_encoder import tag_embedding
from utils.datasets.corpus import corpus
from utils.datasets.splits import CaptionSplit, QuerySplit, Split
from utils.evaluation.evaluate import LoadedSplit
from utils.features.pairs import Pairs
from utils.files.tensors import digest_of
from utils.runs.left_out import report_left_out
from utils.runs.model_inputs import Inputs, read_inputs, require_one_source
from utils.runs.plans import Plan, load_split
from utils.runtime import terminal
from utils.runtime.errors import InputError
from utils.settings.config import Config

# The name of the digest of a run's first weights.
INITIAL_WEIGHTS = "initial weights"


@dataclass(frozen=True)
class RunData:
    """All that a run reads.

    Attributes
    ----------
    test : LoadedSplit or None
        None if none of its clips are here.
    inputs : Inputs
        The vector files of the data that is trained on.

    """

    training: LoadedSplit
    validation: LoadedSplit
    test: LoadedSplit | None
    inputs: Inputs

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.training.pairs.features.device

    def digests(self, model: nn.Module) -> dict[str, str]:
        """Compute the SHA-256 of all that a run begins with, by name: data and first weights.

        The data are the training and the validation split. Tag embeddings are left out, because
        processors may round them differently: logits and tag vectors determine them.
        """
        tensors = {"tag vectors": self.inputs.tag_table()}
        for name, part in (("training", self.training), ("validation", self.validation)):
            tensors[f"{name} features"] = part.pairs.features
            tensors[f"{name} logits"] = part.pairs.logits
            tensors[f"{name} sentence vectors"] = part.pairs.sentences
            tensors[f"{name} clips of the captions"] = part.pairs.clips
        return {
            INITIAL_WEIGHTS: digest_of(model.parameters()),
            **{name: digest_of([tensor]) for name, tensor in tensors.items() if tensor is not None},
        }


def load_data(
    config: Config, plan: Plan, *, device: torch.device, summary: terminal.Summary
) -> RunData:
    """Read the splits of a plan and line up their vectors on the device.

    Raises
    ------
    InputError
        If a file is missing or does not fit, or a split to train or validate on has no captions.

    """
    corpora = {
        subset: corpus(config, subset) for subset, _ in (plan.training, plan.validation, plan.test)
    }
    inputs = {subset: read_inputs(config, of, summary) for subset, of in corpora.items()}
    require_one_source(list(inputs.values()))

    def part(subset: str, split_name: str) -> LoadedSplit | None:
        split = load_split(config, corpora[subset], split_name, summary)
        split = leave_out_failed(split, inputs[subset], summary)
        if not split.captions:
            return None
        return LoadedSplit(split, load_pairs(split, inputs[subset], device))

    training, validation = part(*plan.training), part(*plan.validation)
    for found, (subset, split) in ((training, plan.training), (validation, plan.validation)):
        if found is None:
            raise InputError(
                f"the {split} split in {corpora[subset].files.input_path} has no captions. Put its "
                "sound files in place and run scripts/01_preprocess.py again."
            )
    return RunData(training, validation, part(*plan.test), inputs[plan.training[0]])


def describe_data(config: Config, plan: Plan, data: RunData) -> dict[str, dict[str, Any]]:
    """Describe the training and validation data: splits, counts, synthetic or not."""
    parts = {
        "training": (plan.training, data.training),
        "validation": (plan.validation, data.validation),
    }
    return {
        role: {
            "subset": subset,
            "split": split,
            "captions": len(part.split.captions),
            "clips": len(part.split.clip_names),
            "note": corpus(config, subset).synthetic_note,
        }
        for role, ((subset, split), part) in parts.items()
    }


def leave_out_failed(split: Split, inputs: Inputs, summary: terminal.Summary) -> Split:
    """Leave out the clips whose sound files could not be used, and report their number."""
    usable = inputs.usable(split)
    report_left_out(split, usable, inputs.of, summary)
    return usable


def load_clips(
    split: QuerySplit, inputs: Inputs, device: torch.device
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Line up features, logits and tag embeddings of the clips of a split."""
    logits, table = inputs.clip_logits(split), inputs.tag_table()
    tags = None
    if logits is not None:
        logits = logits.to(device)
        tags = tag_embedding(logits, table.to(device))
    return inputs.clip_features(split).to(device), logits, tags


def load_pairs(split: CaptionSplit, inputs: Inputs, device: torch.device) -> Pairs:
    """Line up the vectors of a split, tag embeddings computed once."""
    features, logits, tags = load_clips(split, inputs, device)
    return Pairs(
        features=features,
        logits=logits,
        tags=tags,
        sentences=inputs.sentences(split).to(device),
        clips=torch.from_numpy(split.clip_of_caption).to(device),
    )
