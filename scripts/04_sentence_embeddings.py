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
from utils import cli, datasets, inputs, sentences


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = cli.parser(__doc__).parse_args(argv)
    config = cli.load_config(args)
    data = config.train_data
    summary = cli.Summary()

    ids, captions = [], []
    for split in datasets.SPLITS:
        summary.reads(datasets.captions_file(data.input_path, split))
        loaded = datasets.load_captions(data.input_path, split)
        ids += loaded.caption_ids
        captions += loaded.captions
    sentences.embed(
        data.caption_embeddings,
        ids,
        captions,
        what=inputs.CAPTIONS,
        unit="captions",
        config=config,
        load_encoder=SentenceEncoder,
        summary=summary,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
