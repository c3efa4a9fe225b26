"""List the clips and captions that splits share, and propose which clips to leave out.

Reads   train_data.dataset_path: clotho_captions_{development,validation,evaluation}.csv and, where
        they are there, clotho_metadata_{development,validation,evaluation}.csv (no wavs); and
        audiocaps.dataset_path: {train,val,test}.csv, where they are there
Writes  train_data.input_path: leakage.csv (every two clips that share something) and
        excluded_clips.txt (the proposal, "split/file name" per line; nothing is left out by itself)

    python scripts/audit_leakage.py --config conf.yaml
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.runtime import interrupts

interrupts.end_quietly_until_run(__name__)

from utils.datasets import audiocaps, clotho, leakage
from utils.datasets.splits import SPLITS
from utils.files import writing
from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.runtime.errors import counted
from utils.settings import options
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
    """List what is shared, and write it down."""
    data, pretraining = config.train_data, config.audiocaps.dataset_path
    summary = terminal.Summary()
    captions_files = {s: data.dataset_path / f"clotho_captions_{s}.csv" for s in SPLITS}
    metadata_files = {s: data.dataset_path / f"clotho_metadata_{s}.csv" for s in SPLITS}
    there = {split: path for split, path in metadata_files.items() if path.exists()}
    summary.reads(*captions_files.values(), *there.values())
    captions = {split: clotho.read_captions_csv(path) for split, path in captions_files.items()}
    sound_ids = {split: leakage.read_metadata_csv(path) for split, path in there.items()}
    if audiocaps.captions_csv(pretraining, audiocaps.SPLITS[0]).exists():
        summary.reads(*(audiocaps.captions_csv(pretraining, split) for split in audiocaps.SPLITS))
        of_audiocaps = audiocaps.read_for_audit(pretraining)
        captions.update(of_audiocaps[0])
        sound_ids.update(of_audiocaps[1])
        print("train, val and test are AudioCaps', whose sounds are YouTube videos")
    else:
        print(f"no AudioCaps in {terminal.shown(pretraining)}: Clotho's splits are compared alone")
    for split, of_split in sound_ids.items():
        unknown = leakage.without_sound(captions[split], of_split)
        print(
            f"{split}: {counted(len(unknown), 'clip')} of {len(captions[split])} without sound id"
        )
    if absent := [path.name for split, path in metadata_files.items() if split not in there]:
        print(
            f"no {', '.join(absent)}: a sound that has another name in another split is not found "
            f"there; Clotho's own files are at https://zenodo.org/records/4783391"
        )
    shared = leakage.find_shared(captions, sound_ids)
    excluded = leakage.proposed_exclusions(shared)
    print(leakage.counts_table(shared, captions, sound_ids))
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
    sys.exit(terminal.run(main))
