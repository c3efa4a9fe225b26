"""Embed the texts of the 527 AudioSet tags with all-mpnet-base-v2.

Reads   data/audioset/class_labels_indices.csv and, for sentences, audioset_ontology.json beside it
Writes  train_data.tag_embeddings (HDF5, one row per tag, in the order of AudioSet's indices)

    python scripts/06_audioset_tag_embeddings.py --config conf.yaml

model.audioset_info chooses the text of a tag: its name (tags), "the sound of" and its name
(sounds), its name and the first sentence of its description (sent_tags), or that sentence alone
(sent_notags). Several processes can share the work: see script 04.
"""

import start

from utils.runtime import terminal
from utils.settings import options


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = options.parser(__doc__).parse_args(argv)
    config = options.load_config(args)
    summary = terminal.Summary()
    if config.model.audioset_info == "none":
        summary.finish("model.audioset_info is none: there are no tag texts to embed")
        return

    from utils.runs.text_vectors import embed_tags  # takes seconds

    embed_tags(config, summary)


if __name__ == "__main__":
    start.run(main)
