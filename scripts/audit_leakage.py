"""List the clips and captions that splits share, and propose which clips to leave out.

Reads   train_data.dataset_path: clotho_captions_{development,validation,evaluation}.csv and, if
        present, clotho_metadata_{development,validation,evaluation}.csv (no wavs); and, if present,
        audiocaps.dataset_path: {train,val,test}.csv
Writes  train_data.input_path: leakage.csv (every two clips that share something) and
        excluded_clips.txt (a proposal, "split/file name" per line: training leaves out these clips
        only if train_data.excluded_clips names the file)

    python scripts/audit_leakage.py --config conf.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import start

from utils.datasets import audiocaps, clotho, leakage
from utils.datasets.splits import SPLITS
from utils.files import writing
from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.runtime.errors import counted
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import Config

LEAKAGE_FILE = "leakage.csv"
EXCLUSIONS_FILE = "excluded_clips.txt"


def main(argv: list[str] | None = None) -> None:
    """Audit the data set that the settings name."""
    distributed.refuse_team("scripts/audit_leakage.py")
    config = options.load_config(options.parser(__doc__).parse_args(argv))
    with only_run("audit_leakage", config.train_data.input_path):
        audit(config)


def audit(config: Config) -> None:
    """Print what is shared, and write it to the files."""
    data, pretraining = config.train_data, config.audiocaps.dataset_path
    summary = terminal.Summary()
    captions, sound_ids = {}, {}
    for split in SPLITS:
        captions_file = clotho.captions_csv(data.dataset_path, split)
        summary.reads(captions_file)
        captions[split] = clotho.read_captions_csv(
            captions_file, blank_captions=data.blank_captions
        )
        metadata_file = data.dataset_path / f"clotho_metadata_{split}.csv"
        if not metadata_file.exists():
            print(
                f"no {metadata_file.name}: sounds of {split} that have another name elsewhere are "
                "not found; Clotho's own files are at https://zenodo.org/records/4783391"
            )
            continue
        summary.reads(metadata_file)
        sound_ids[split] = leakage.read_metadata_csv(metadata_file)
        unknown = captions[split].keys() - sound_ids[split].keys()
        clips = f"{counted(len(unknown), 'clip')} of {len(captions[split])}"
        print(f"{split}: {clips} without sound id")
    if audiocaps.captions_csv(pretraining, audiocaps.SPLITS[0]).exists():
        summary.reads(*(audiocaps.captions_csv(pretraining, split) for split in audiocaps.SPLITS))
        captions_of_clips, videos = audiocaps.read_for_audit(pretraining)
        captions |= captions_of_clips
        sound_ids |= videos
        print("train, val and test are AudioCaps', whose sounds are YouTube videos")
    else:
        print(f"no AudioCaps in {terminal.shown(pretraining)}: only Clotho's splits are compared")
    shared = leakage.find_shared(captions, sound_ids)
    excluded = leakage.proposed_exclusions(shared)
    if shared:
        print(leakage.listing(shared))
    contents = {
        data.input_path / LEAKAGE_FILE: leakage.csv_text(shared),
        data.input_path / EXCLUSIONS_FILE: leakage.exclusions_text(excluded),
    }
    for path, content in contents.items():
        if writing.write_if_changed(path, content.encode()):
            summary.writes(path)
    between = sum(one.splits[0] != one.splits[1] for one in shared)
    summary.finish(
        f"{between} shared between splits, {len(shared) - between} within a split; "
        f"{counted(len(excluded), 'clip')} proposed for exclusion"
    )


if __name__ == "__main__":
    start.run(main)
