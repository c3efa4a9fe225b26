"""Download Clotho v2.1 or the Task 6b evaluation subset, verify it and unpack it.

Reads   https://zenodo.org/records/4783391, or 6590983 with --subset task6b
Writes  train_data.dataset_path: {development,validation,evaluation}/*.wav,
        clotho_captions_*.csv and clotho_metadata_*.csv
With --subset task6b: the folder of eval_data.audio_path: test/*.wav, retrieval_captions.csv and
        retrieval_audio_metadata.csv

    python scripts/00_get_clotho.py
    python scripts/00_get_clotho.py --subset task6b

The settings are those of clotho.yaml, unless --config names others. Clotho takes 12 GB, and about
15 GB while it is unpacked; the Task 6b subset takes 2 and 4 GB.

Only what is missing is downloaded, and everything is verified by the published MD5s. Stop it at any
time: the same command resumes. An archive that you put into the folder is used, and removed like
the others unless you give --keep-archives. Proxies come from the usual environment variables
(HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import start

from utils.datasets import published
from utils.datasets.splits import synthetic_note
from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import Config

CONFIG = PROJECT_ROOT / "clotho.yaml"


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    distributed.refuse_team("scripts/00_get_clotho.py")
    parser = options.parser(__doc__)
    options.add_subset_option(parser, "clotho", "task6b")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="folder to write to (default: as in the settings)"
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="keep the .7z files after unpacking them"
    )
    parser.add_argument("--url", metavar="URL", help="folder on another server with the same files")
    args = parser.parse_args(argv)
    config = options.load_config(args, default=CONFIG)
    release = published.TASK6B if args.subset == "task6b" else published.CLOTHO
    folder = args.to or folder_of(config, args.subset)
    if synthetic_note(folder):
        raise InputError(f"{folder} holds the synthetic demo set. Give another folder by --to DIR.")
    summary = terminal.Summary()
    with only_run("00_get_clotho", folder):
        getting = published.Getting(
            release,
            folder,
            url=args.url,
            keep_archives=args.keep_archives,
            summary=summary,
            progress=lambda what: partial(
                terminal.progress, description=what, unit="B", scaled=True
            ),
        )
        wavs = getting.run()
    counts = ", ".join(f"{name} {count} wavs" for name, count in wavs.items())
    already = "" if getting.done else " already; nothing to do"
    summary.finish(f"{terminal.shown(folder)} holds {release.title}{already} ({counts})")


def folder_of(config: Config, subset: str) -> Path:
    """Find the folder that the settings name for a data set."""
    if subset == "clotho":
        return config.train_data.dataset_path
    audio, captions = config.eval_data.audio_path, config.eval_data.captions_file
    folder = audio.parent
    if (audio, captions) != (folder / "test", folder / "retrieval_captions.csv"):
        raise InputError(
            f"the Task 6b subset is written to DIR/test and DIR/retrieval_captions.csv, and the "
            f"settings name {audio} (eval_data.audio_path) and {captions} "
            "(eval_data.captions_file). Change them, or name the folder by --to DIR."
        )
    return folder


if __name__ == "__main__":
    start.run(main)
