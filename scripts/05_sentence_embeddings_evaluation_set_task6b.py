"""Embed the queries of the official Task 6b evaluation subset with all-mpnet-base-v2.

Reads   eval_data.input_path: test_captions.json and audio_info.pkl
Writes  eval_data.caption_embeddings (HDF5, one row per query)

    python scripts/05_sentence_embeddings_evaluation_set_task6b.py --config conf.yaml

Several processes can share the work: see script 04.
"""

import start

from utils.datasets import splits, task6b
from utils.runtime import terminal
from utils.settings import options


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    config = options.load_config(options.parser(__doc__).parse_args(argv))
    from utils.features import sentences, vector_file  # takes seconds

    data = config.eval_data
    summary = terminal.Summary()
    summary.reads(splits.captions_file(data.input_path, task6b.SPLIT))
    queries = task6b.load_queries(data.input_path)
    sentences.embed(
        data.caption_embeddings,
        queries.caption_ids,
        queries.captions,
        what=vector_file.CAPTIONS,
        unit="queries",
        config=config,
        summary=summary,
    )


if __name__ == "__main__":
    start.run(main)
