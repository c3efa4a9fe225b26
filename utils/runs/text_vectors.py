"""Sentence vectors of a data set's captions and of the tags, in the files that settings name."""

from utils.datasets import audioset
from utils.datasets.corpus import Corpus
from utils.features import sentences, vector_file
from utils.runtime import terminal
from utils.settings.config import Config


def embed_captions(config: Config, corpus: Corpus, summary: terminal.Summary) -> None:
    """Bring the vectors of all captions of a data set up to date, and print what was done."""
    ids, captions = [], []
    for split in corpus.splits:
        summary.reads(corpus.captions_file(split))
        loaded = corpus.load(split)
        ids += loaded.caption_ids
        captions += loaded.captions
    sentences.embed(
        corpus.files.caption_embeddings,
        ids,
        captions,
        what=vector_file.CAPTIONS,
        unit="captions",
        config=config,
        summary=summary,
    )


def embed_tags(config: Config, summary: terminal.Summary) -> None:
    """Bring the vectors of the tag texts up to date, and print what was done."""
    info = config.model.audioset_info
    summary.reads(audioset.LABELS_CSV)
    if info.startswith("sent_"):
        summary.reads(audioset.ONTOLOGY_JSON)
    texts = audioset.tag_texts(info, audioset.read_labels())
    sentences.embed(
        config.tag_embeddings,
        [str(index) for index in range(len(texts))],
        texts,
        what=vector_file.tags_of(info),
        unit="tags",
        config=config,
        summary=summary,
    )
