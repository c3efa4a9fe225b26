"""Make a demo set: synthetic sounds with captions, in the layout of Clotho or of AudioCaps.

Reads   nothing but the settings (train_data.dataset_path, audiocaps.dataset_path)
Writes  OUTPUT/{development,validation,evaluation}/*.wav
        OUTPUT/clotho_captions_{development,validation,evaluation}.csv
        OUTPUT/demo_set.json
With --audiocaps: OUTPUT/{train,val,test}.csv and OUTPUT/audio/{train,val,test}/*.{wav,flac}

    python scripts/00_make_demo_data.py --config conf.yaml
    python scripts/00_make_demo_data.py --audiocaps

A complete set is left alone and an interrupted one is resumed. A folder that holds anything else,
such as the real Clotho, is refused.
"""

import os
from functools import partial
from pathlib import Path

import start

from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.settings import options


def main(argv: list[str] | None = None) -> None:
    """Write the demo set and print one line about it."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--audiocaps", action="store_true", help="AudioCaps' layout, with other sounds"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder to write to (default: dataset_path in the settings)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="clips in each split (default: 240 60 60; 300 20 40 with --audiocaps)",
    )
    parser.add_argument("--seed", type=int, default=2022, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    distributed.refuse_team("scripts/00_make_demo_data.py")
    config = options.load_config(args)
    run = terminal.Summary()
    from utils.demo import scenes  # takes seconds to import, which --help need not wait for

    layout = scenes.AUDIOCAPS if args.audiocaps else scenes.CLOTHO
    data = config.audiocaps if args.audiocaps else config.train_data
    folder = args.output or data.dataset_path
    with only_run("00_make_demo_data", folder):
        report = scenes.write_demo_set(
            folder,
            clips=args.clips and tuple(args.clips),
            seed=args.seed,
            jobs=args.jobs,
            layout=layout,
            progress=partial(terminal.progress, description="demo set", unit="clips"),
        )
    if report.up_to_date:
        run.finish(
            f"{terminal.shown(folder)} holds this demo set already ({report.kept} clips): "
            "nothing to do"
        )
    else:
        run.writes(folder)
        kept = f", {report.kept} were there already" if report.kept else ""
        run.finish(
            f"wrote {report.written} synthetic clips with captions to "
            f"{terminal.shown(folder)}{kept}"
        )


if __name__ == "__main__":
    start.run(main)
