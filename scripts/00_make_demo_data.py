"""Make the demo set: synthetic sounds with captions, in Clotho's folder layout.

Reads   nothing but the settings (train_data.dataset_path)
Writes  OUTPUT/{development,validation,evaluation}/*.wav
        OUTPUT/clotho_captions_{development,validation,evaluation}.csv
        OUTPUT/demo_set.json

    python scripts/00_make_demo_data.py --config conf.yaml

A complete set is left alone, an interrupted one is continued, and a folder that holds anything
else, such as the real Clotho, is refused.
"""

import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli, scenes


def main(argv: list[str] | None = None) -> None:
    """Write the demo set and print one line about it."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: train_data.dataset_path"
    )
    parser.add_argument(
        "--clips",
        type=int,
        nargs=3,
        default=scenes.DEFAULT_CLIPS,
        metavar=("DEV", "VAL", "EVAL"),
        help="clips in each split (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=scenes.DEFAULT_SEED, help="default: %(default)s"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    config = cli.load_config(args)
    run = cli.Summary()
    folder = args.output or config.train_data.dataset_path
    report = scenes.write_demo_set(
        folder,
        clips=tuple(args.clips),
        seed=args.seed,
        jobs=args.jobs,
        progress=partial(cli.progress, description="demo set", unit="clips"),
    )
    if report.up_to_date:
        run.finish(
            f"{cli.shown(folder)} holds this demo set already ({report.kept} clips), nothing to do"
        )
    else:
        run.writes(folder)
        kept = f", {report.kept} were there already" if report.kept else ""
        run.finish(
            f"wrote {report.written} synthetic clips with captions to {cli.shown(folder)}{kept}"
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
