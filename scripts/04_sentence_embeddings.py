"""Embed every caption with all-mpnet-base-v2: captions ─► unit sentence vectors.

Reads   <input_path>/{development,validation,evaluation}_captions.json
Writes  train_data.caption_embeddings (HDF5, one row per caption)

    python scripts/04_sentence_embeddings.py --config conf.yaml

Can be stopped at any moment: the same command goes on with the captions that are missing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.sentence_encoder import SentenceEncoder
from utils import cli, datasets, devices, extraction, inputs, weights


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = cli.parser(__doc__).parse_args(argv)
    config = cli.load_config(args)
    data, model = config.train_data, config.sentence_model
    summary = cli.Summary()

    ids, captions = [], []
    for split in datasets.SPLITS:
        summary.reads(datasets.captions_file(data.input_path, split))
        loaded = datasets.load_captions(data.input_path, split)
        ids += loaded.caption_ids
        captions += loaded.captions
    folder = weights.find_sentence_model(model.path, name=model.name, sha256_expected=model.sha256)
    summary.reads(folder)

    device = devices.choose_device(config.training.device)
    precision = devices.choose_precision(config.precision, device)
    with cli.progress(len(ids), "MPNet", "captions") as bar:
        update = extraction.update_text_vectors(
            data.caption_embeddings,
            ids,
            captions,
            what=inputs.CAPTIONS,
            model=model,
            dimension=weights.sentence_dimension(folder),
            load_encoder=lambda: SentenceEncoder(folder),
            device=device,
            precision=precision,
            advance=bar.update,
        )
    if update.written:
        summary.writes(data.caption_embeddings)
    summary.finish(
        f"embedded {update.computed} captions with {model.name} ({device.type}, {precision}); "
        f"{len(ids) - update.computed} were up to date"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
