"""Make a demo set: synthetic sounds with captions, in the layout of Clotho, AudioCaps or moments.

Reads   nothing but the settings (train_data, audiocaps or clotho_moment: dataset_path)
Writes  OUTPUT/{development,validation,evaluation}/*.wav
        OUTPUT/clotho_captions_{development,validation,evaluation}.csv
        OUTPUT/demo_set.json
With --audiocaps: OUTPUT/{train,val,test}.csv and OUTPUT/audio/{train,val,test}/*.{wav,flac}
With --moments: OUTPUT/clotho_moment_{train,val,test}_release.jsonl and
        OUTPUT/audio/{train,val,test}/*.flac, recordings of 60 to 300 s with queries whose
        windows are known
With --moments --clips and --backgrounds: the same, as Clotho-Moment was made, of clips in
        Clotho's layout over real backgrounds

    python scripts/00_make_demo_data.py --config conf.yaml
    python scripts/00_make_demo_data.py --audiocaps
    python scripts/00_make_demo_data.py --hard --config data/demo/hard.yaml
    python scripts/00_make_demo_data.py --moments
    python scripts/00_make_demo_data.py --moments --clips data/clotho --backgrounds my_streets/ \
        --output data/my_moments

A complete set is left alone and an interrupted one is resumed. A folder that holds anything else,
such as the real Clotho, is refused.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import start

from utils.files.locks import only_run
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError, counted
from utils.settings import options
from utils.settings.config import Config

if TYPE_CHECKING:  # its import takes seconds, which --help need not wait for
    from utils.demo.scenes import DemoSetReport


def main(argv: list[str] | None = None) -> None:
    """Write the demo set and print one line about it."""
    args = _parser().parse_args(argv)
    distributed.refuse_team("scripts/00_make_demo_data.py")
    config = options.load_config(args)
    run = terminal.Summary()
    _check_options(args)
    if args.moments:
        _make_moments(args, config, run)
    else:
        _make_clips(args, config, run)


def _parser() -> argparse.ArgumentParser:
    parser = options.parser(__doc__)
    layouts = parser.add_mutually_exclusive_group()
    layouts.add_argument(
        "--audiocaps", action="store_true", help="AudioCaps' layout, with other sounds"
    )
    layouts.add_argument(
        "--hard",
        action="store_true",
        help="Clotho's layout, with other sounds in loud noise: for fine-tuning",
    )
    layouts.add_argument(
        "--moments",
        action="store_true",
        help="long recordings with queries and the windows that they describe",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder to write to (default: dataset_path in the settings)",
    )
    parser.add_argument(
        "--clips",
        nargs="+",
        metavar="TRAIN VAL TEST | DIR",
        help="clips in each split (default: 240 60 60; 300 20 40 with --audiocaps; 480 100 200 "
        "with --hard); with --moments, a folder in Clotho's layout: its clips are used instead of "
        "synthetic sounds",
    )
    parser.add_argument(
        "--backgrounds",
        type=Path,
        metavar="DIR",
        help="folder of sounds that the clips of --moments --clips are mixed into",
    )
    parser.add_argument(
        "--recordings",
        type=int,
        nargs="+",
        metavar="N",
        help="recordings of --moments: in each split, or a number for each (default: 120 8 20)",
    )
    parser.add_argument("--seed", type=int, default=2022, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)"
    )
    return parser


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if not args.moments and (args.backgrounds or args.recordings):
        raise InputError("--backgrounds and --recordings need --moments")
    if args.moments and (args.clips is None) != (args.backgrounds is None):
        raise InputError("--moments takes --clips and --backgrounds together, or neither")
    if args.moments and args.clips and len(args.clips) > 1:
        raise InputError(
            "with --moments, --clips is one folder in Clotho's layout; --recordings says how many"
        )
    if not args.moments and args.clips:
        try:
            args.clips = tuple(map(int, args.clips))
        except ValueError:
            raise InputError(
                f"--clips must be three whole numbers, got {' '.join(args.clips)}; a folder needs "
                "--moments"
            ) from None


def _make_clips(args: argparse.Namespace, config: Config, run: terminal.Summary) -> None:
    from utils.demo import scenes  # takes seconds to import, which --help need not wait for

    layout = scenes.HARD if args.hard else scenes.AUDIOCAPS if args.audiocaps else scenes.CLOTHO
    data = config.audiocaps if args.audiocaps else config.train_data
    folder = args.output or data.dataset_path
    with only_run("00_make_demo_data", folder):
        report = scenes.write_demo_set(
            folder,
            clips=args.clips,
            seed=args.seed,
            jobs=args.jobs,
            layout=layout,
            progress=partial(terminal.progress, description="demo set", unit="clips"),
        )
    _finish(run, folder, report, "synthetic clip", "with captions")


def _make_moments(args: argparse.Namespace, config: Config, run: terminal.Summary) -> None:
    from utils.demo import moments

    source = moments.SyntheticSource()
    if args.clips:
        run.reads(Path(args.clips[0]), args.backgrounds)
        source = moments.ClipSource.open(Path(args.clips[0]), args.backgrounds)
        if source.missing:
            run.notes(f"{counted(source.missing, 'clip')} without a wav: not used")
    folder = args.output or config.clotho_moment.dataset_path
    with only_run("00_make_demo_data", folder):
        report = moments.write_moment_set(
            folder,
            source,
            recordings=args.recordings,
            seed=args.seed,
            jobs=args.jobs,
            progress=partial(terminal.progress, description="moments", unit="recordings"),
        )
    _finish(run, folder, report, "recording", "and the lists of queries")


def _finish(
    run: terminal.Summary, folder: Path, report: DemoSetReport, unit: str, others: str
) -> None:
    """Say what was made, and what was there already."""
    if report.up_to_date:
        held = counted(report.kept, unit)
        run.finish(f"{terminal.shown(folder)} holds this set already ({held}): nothing to do")
        return
    run.writes(folder)
    kept = f", {report.kept} were there already" if report.kept else ""
    run.finish(f"wrote {counted(report.written, unit)} {others} to {terminal.shown(folder)}{kept}")


if __name__ == "__main__":
    start.run(main)
