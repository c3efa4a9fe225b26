"""Embed every caption with all-mpnet-base-v2: captions ─► unit sentence vectors.

Reads   <input_path>/{development,validation,evaluation}_captions.json
Writes  train_data.caption_embeddings (HDF5, one row per caption)

    python scripts/04_sentence_embeddings.py --config conf.yaml
    python scripts/04_sentence_embeddings.py --subset audiocaps    # audiocaps instead of train_data
    python scripts/04_sentence_embeddings.py --subset castella     # or clotho-moment

Stop it at any time: the same command resumes with the captions that are missing. Several processes
can share the work, on one machine or on several that see the same folders:

    torchrun --nproc-per-node 2 scripts/04_sentence_embeddings.py
"""

import start

from utils.datasets.corpus import AUDIOCAPS, CLOTHO, MOMENT_SETS
from utils.datasets.corpus import corpus as corpus_of
from utils.runtime import terminal
from utils.settings import options


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = options.parser(__doc__)
    options.add_subset_option(parser, CLOTHO, AUDIOCAPS, *MOMENT_SETS)
    args = parser.parse_args(argv)
    config = options.load_config(args)
    from utils.runs.text_vectors import embed_captions  # takes seconds

    embed_captions(config, corpus_of(config, args.subset), terminal.Summary())


if __name__ == "__main__":
    start.run(main)
