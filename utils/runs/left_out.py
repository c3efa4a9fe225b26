"""Clips that are left out of what is scored, because their sound files could not be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from utils.datasets.corpus import AUDIO, Corpus
from utils.datasets.splits import CaptionSplit, Split, without_clips
from utils.runtime import terminal


def report_left_out(split: Split, usable: Split, of: Corpus, summary: terminal.Summary) -> None:
    """Print how many clips of a split are left out, if any."""
    if left_out := len(split.clip_names) - len(usable.clip_names):
        summary.notes(
            f"leaves out {left_out} of {len(split.clip_names)} clips of {split.split}, whose sound "
            f"files {of.script(AUDIO)} could not use (see failed_files.csv)"
        )


def leave_out_as_runs_do(
    split: CaptionSplit, queries: Sequence[str], of: Corpus, summary: terminal.Summary
) -> CaptionSplit:
    """Leave out the clips that script 03 could not use if these are the queries of the others.

    Then a run has written them. A table of another system may have all queries.
    """
    if Counter(queries) == Counter(split.captions):
        return split
    from utils.features.vector_file import read_vectors  # takes a moment

    files = [of.files.audio_logits, of.files.audio_scene]
    failed = {id for path in files if path.exists() for id in read_vectors(path).failed_ids}
    usable = without_clips(split, failed)
    if Counter(queries) != Counter(usable.captions):
        return split
    report_left_out(split, usable, of, summary)
    return usable
