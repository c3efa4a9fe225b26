"""README.md of a model folder: what the model is, how good, from which data, on which terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.checkpoints.checkpoint import load_checkpoint
from utils.checkpoints.model_folder import CONFIG, SUMS, TAGS, ExportedConfig
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, corpus
from utils.evaluation.metrics import METRICS
from utils.settings.config import Config

_TEMPLATE = Path(__file__).with_name("model_card.md")
_NAMES = {CLOTHO: "Clotho", AUDIOCAPS: "AudioCaps"}
_TASK = "text-to-audio-retrieval"


@dataclass(frozen=True)
class Source:
    """Data that a model was trained on: 'clotho', 'audiocaps', or None if it is unknown."""

    subset: str | None
    synthetic: bool = False


def sources_of(config: Config, trained_on: str) -> list[Source]:
    """List what a run was trained on, after the data of the run whose weights it started from."""

    def source(subset: str) -> Source:
        return Source(subset, corpus(config, subset).synthetic_note is not None)

    sources = [source(trained_on)]
    start = config.training.init_checkpoint
    if start is not None:
        before = load_checkpoint(start).trained_on if start.is_file() else None
        sources.insert(0, Source(None) if before is None else source(before))
    return sources


def model_card(
    config: ExportedConfig, metrics: Mapping[str, Any] | None, sources: Sequence[Source]
) -> str:
    """Write the card: its text, and before it a head of YAML for the Hugging Face hub.

    `metrics` is metrics.json of the run, if there is one; `sources` come in order of training.
    """
    # Slow to import, and only an export needs it. It asks the hub nothing.
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    scores = (metrics or {}).get("scores")
    real = [source.subset for source in sources if source.subset and not source.synthetic]
    synthetic = any(source.synthetic for source in sources) or bool((metrics or {}).get("note"))
    name = _NAMES[config.trained_on]
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type="synthetic" if synthetic else config.trained_on,
            dataset_name=f"synthetic sounds in the layout of {name}" if synthetic else name,
            dataset_split=metrics["split"],
            metric_type=metric,
            metric_value=scores[metric],
        )
        for metric in METRICS
        if scores
    ]
    head = ModelCardData(
        language="en",
        license="other",
        license_name="terms-of-the-data",
        license_link="LICENSE",
        pipeline_tag="feature-extraction",
        tags=["audio", "audio-retrieval", _TASK, *(["synthetic"] if synthetic else [])],
        datasets=real or None,
        metrics=list(METRICS) if scores else None,
        model_name=f"{_TASK}-{config.trained_on}",
        eval_results=results or None,
    )
    card = ModelCard.from_template(
        head,
        template_path=_TEMPLATE,
        config=config,
        files={"config": CONFIG, "sums": SUMS, "tags": TAGS},
        scores=scores,
        run=metrics,
        metric_names=METRICS,
        names=_NAMES,
        sources=sources,
        real=real,
        synthetic=synthetic,
    )
    return f"{card}\n"
