"""README.md of a model folder: what it is, how good, from which data, under which terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.checkpoints.checkpoint import load_checkpoint
from utils.checkpoints.model_folder import CONFIG, SUMS, TAGS, ExportedConfig
from utils.datasets.corpus import AUDIOCAPS, CLOTHO, corpus
from utils.evaluation.metrics import METRICS
from utils.settings.config import Config, Model

_TERMS = {
    CLOTHO: "Clotho v2.1, development split (https://zenodo.org/records/4783391). Captions: the "
    "licence of Tampere University that comes with them, which asks for attribution and forbids "
    "commercial use; sounds: the Creative Commons licence of each, in Clotho's metadata tables. "
    "Read both before any commercial use of this model.",
    AUDIOCAPS: "AudioCaps, train split (https://github.com/cdjkim/audiocaps). Captions: the "
    "licence in its repository; sounds: excerpts of YouTube videos, whose rights remain with their "
    "owners.",
}
_SYNTHETIC = "Synthetic sounds with captions, in the layout of {}, made by this project."
_UNKNOWN = (
    "Weights of an earlier run whose checkpoint is gone: what that was trained on is unknown."
)
_TAG_TERMS = (
    "AudioSet's tag names (https://research.google.com/audioset): CC BY 4.0, Google. Their "
    "sentence vectors are part of the model."
)
_DESCRIPTION_TERMS = (
    "AudioSet's ontology (https://github.com/audioset/ontology): CC BY-SA 4.0, Google. The "
    "sentence vectors of its descriptions are part of the model."
)
_FEATURES = {
    "logits": "PaSST's 527 logits",
    "scene": "PaSST's scene embedding",
    "both": "PaSST's 527 logits and scene embedding, in this order",
}


@dataclass(frozen=True)
class Source:
    """Data that a model was trained on.

    Attributes
    ----------
    subset : {'clotho', 'audiocaps'} or None
        None where it is unknown.
    synthetic : bool

    """

    subset: str | None
    synthetic: bool = False


def sources_of(config: Config, trained_on: str) -> list[Source]:
    """Say what a run was trained on, and before it the run whose weights it started from."""

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
    """Write the card.

    Parameters
    ----------
    config : ExportedConfig
    metrics : mapping or None
        metrics.json of the run; None where there is none.
    sources : sequence of Source
        What the model was trained on, in order.

    """
    parts = [
        "# Text-to-audio retrieval model",
        "A dual encoder: sentence vectors of captions on one side, PaSST's view of sounds on the "
        "other, in one space where the score is the dot product. It finds sounds for a text.",
    ]
    if any(source.synthetic for source in sources) or (metrics or {}).get("note"):
        parts.append(
            "**Synthetic sounds.** This model was trained or scored on computed sounds. It shows "
            "that the pipeline works; do not expect it to understand real recordings."
        )
    parts += ["## Scores", *_scores(metrics)]
    parts += ["## Use", *_use(config)]
    parts += ["## Data and terms", _bullets(_terms(config.model, sources))]
    parts += [
        "## Limits",
        _bullets(
            [
                "English captions of everyday sounds. Music, speech content, names and numbers are "
                "beyond what it was taught.",
                "It ranks; it does not say whether any sound fits. Scores of different queries are "
                "not comparable.",
                "Scores on other collections are usually lower than on the test split of the "
                "collection it was trained on.",
                "PaSST and the captions carry the biases of their collections: of who recorded, "
                "what, and where.",
            ]
        ),
        "## Files",
        f"`{SUMS}` names every file with its SHA-256: `sha256sum -c {SUMS}`. `{CONFIG}` holds "
        f"format, sizes and how sounds and texts were embedded, `{TAGS}` the names of the 527 "
        "tags in the order of the logits. Weights are safetensors.",
        "## Citing",
        "T. Pellegrini. Language-based audio retrieval with textual embeddings of tag names. In "
        "*Proc. DCASE Workshop*, Nancy, November 2022. https://hal.science/hal-03812737",
        *_citations(sources),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(metrics: Mapping[str, Any] | None) -> list[str]:
    if metrics is None or "scores" not in metrics:
        return ["Not scored."]
    header = ["", *METRICS]
    scored = {**metrics["compared_with"], "**this model**": metrics["scores"]}
    rows = [
        [name, *(f"{scores[metric]:.3f}" for metric in METRICS)] for name, scores in scored.items()
    ]
    bounds = (metrics["intervals_95"][metric] for metric in METRICS)
    rows.append(["95 % interval", *(f"{low:.3f}–{high:.3f}" for low, high in bounds)])
    table = [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]
    return [
        f"Test split ({metrics['split']}): {metrics['captions']} captions of {metrics['clips']} "
        "clips, scored once, with the epoch that validation chose.",
        "\n".join(table),
        "R@k is the share of captions whose clip is among the first k, mAP@10 the mean of 1/rank "
        "(0 beyond rank 10). Intervals are bootstrapped over clips.",
    ]


def _use(config: ExportedConfig) -> list[str]:
    tags = config.model.audioset_info != "none"
    lines = [
        "from utils.checkpoints.model_folder import load_exported",
        "",
        'model = load_exported("FOLDER").build()',
        f"audio = model.encode_audio(features, {'model.embed_tags(logits)' if tags else 'None'})",
        "scores = model.encode_text(sentences) @ audio.T  # (texts, sounds)",
    ]
    features = _FEATURES[config.model.audio_features]
    inputs = [f"`features` ({config.audio_size} numbers a sound): {features}"]
    if tags:
        inputs.append("`logits`: PaSST's 527 logits")
    inputs.append(f"`sentences` ({config.text_size} numbers a text): {_sentence_model(config)}")
    return [
        "In the project that wrote it:",
        "```python\n" + "\n".join(lines) + "\n```",
        _bullets(inputs),
        f"PaSST: {_passt(config)}.",
    ]


def _passt(config: ExportedConfig) -> str:
    used = config.passt
    if used.model is None:
        return "not recorded; the vectors came from files in the original system's layout"
    return (
        f"`{used.model}`, weights with SHA-256 `{used.weights_sha256}`, mono at {used.sample_rate} "
        f"Hz, windows of {used.window_seconds:g} s every {used.hop_seconds:g} s and the mean over "
        f"them (trained on vectors in {used.precision})"
    )


def _sentence_model(config: ExportedConfig) -> str:
    used = config.sentence_model
    if used.model is None:
        return "sentence vectors, of a model that was not recorded"
    return (
        f"`{used.model}`, weights with SHA-256 `{used.weights_sha256}` (trained on vectors in "
        f"{used.precision})"
    )


def _terms(model: Model, sources: Sequence[Source]) -> list[str]:
    names = {CLOTHO: "Clotho", AUDIOCAPS: "AudioCaps"}
    terms = [
        _UNKNOWN
        if source.subset is None
        else _SYNTHETIC.format(names[source.subset])
        if source.synthetic
        else _TERMS[source.subset]
        for source in sources
    ]
    if model.audioset_info in ("tags", "sent_tags"):
        terms.append(_TAG_TERMS)
    if model.audioset_info in ("sent_tags", "sent_notags"):
        terms.append(_DESCRIPTION_TERMS)
    return [*terms, "The project's code: see LICENSE, which comes with this folder."]


def _citations(sources: Sequence[Source]) -> list[str]:
    papers = [
        "PaSST: K. Koutini, J. Schlüter, H. Eghbal-zadeh, G. Widmer, Interspeech 2022. MPNet: "
        "sentence-transformers/all-mpnet-base-v2. AudioSet: J. F. Gemmeke et al., ICASSP 2017."
    ]
    real = {source.subset for source in sources if not source.synthetic}
    if CLOTHO in real:
        papers.append("Clotho: K. Drossos, S. Lipping, T. Virtanen, ICASSP 2020.")
    if AUDIOCAPS in real:
        papers.append("AudioCaps: C. D. Kim, B. Kim, H. Lee, G. Kim, NAACL-HLT 2019.")
    return [" ".join(papers)]


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
