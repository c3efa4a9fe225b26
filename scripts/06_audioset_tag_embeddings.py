"""Embed the texts of the 527 AudioSet tags with all-mpnet-base-v2.

Reads   data/audioset/class_labels_indices.csv and, for the sentences, audioset_ontology.json there
Writes  train_data.tag_embeddings (HDF5, one row per tag, in the order of AudioSet's indices)

    python scripts/06_audioset_tag_embeddings.py --config conf.yaml

model.audioset_info says which text stands for a tag: its name (tags), its name and the first
sentence of its description (sent_tags), or that sentence alone (sent_notags).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.sentence_encoder import SentenceEncoder
from utils import audioset, cli, devices, extraction, inputs, weights


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = cli.parser(__doc__).parse_args(argv)
    config = cli.load_config(args)
    info, model = config.model.audioset_info, config.sentence_model
    summary = cli.Summary()
    if info == "none":
        summary.finish("model.audioset_info is none: there are no tag texts to embed")
        return
    output = config.tag_embeddings

    summary.reads(audioset.LABELS_CSV)
    if info != "tags":
        summary.reads(audioset.ONTOLOGY_JSON)
    texts = audioset.tag_texts(info, audioset.read_labels())
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    summary.reads(folder)

    device = devices.choose_device(config.training.device)
    precision = devices.choose_precision(config.precision, device)
    with cli.progress(len(texts), "MPNet", "tags") as bar:
        update = extraction.update_text_vectors(
            output,
            [str(index) for index in range(len(texts))],
            texts,
            what=inputs.tags_of(info),
            model=model,
            dimension=weights.sentence_dimension(folder),
            load_encoder=lambda: SentenceEncoder(folder),
            device=device,
            precision=precision,
            advance=bar.update,
        )
    if update.written:
        summary.writes(output)
    summary.finish(
        f"embedded {update.computed} tags ({info}) with {model.name} ({device.type}, {precision}); "
        f"{len(texts) - update.computed} were up to date"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
