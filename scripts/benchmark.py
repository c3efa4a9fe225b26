"""Measure each stage against a plain reference, in the same process and run.

Reads   sentence_model.path, data/audioset; all else (features, sounds, PaSST's weights) is random
Writes  <output_path>/benchmark.json

    python scripts/benchmark.py                               # all stages, at Clotho's size
    python scripts/benchmark.py --stages ranking training
    python scripts/benchmark.py --small                       # takes seconds: a check that it runs

The references, in utils/benchmark/reference.py, work as the original system does: one window,
caption, pair or query at a time, in fp32; those of training run on the CPU. PaSST with cells is
compared with our own PaSST without them. Compare only ratios: machines differ, and so do two runs
on one machine. The share of the ceiling compares with a large matrix product in the same precision
on this machine. A window counts as the 255 GFLOP of the published network; ours skips 17 of them,
which reach no output. Each stage has its own process; memory is that process's peak while the stage
was measured.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import multiprocessing
from dataclasses import asdict
from typing import TYPE_CHECKING

import start

from utils.benchmark.timing import HEADER, Row
from utils.files.writing import atomic_write
from utils.runtime import distributed, terminal
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.settings.config import Config

# Each stage's module; its function there is called measure_<stage>.
STAGES = {
    "ranking": "utils.benchmark.search_stages",
    "million": "utils.benchmark.search_stages",
    "training": "utils.benchmark.training_stages",
    "agreement": "utils.benchmark.training_stages",
    "mpnet": "utils.benchmark.network_stages",
    "passt": "utils.benchmark.network_stages",
    "cells": "utils.benchmark.network_stages",
    "extraction": "utils.benchmark.network_stages",
}


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = options.parser(__doc__)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--small", action="store_true", help="tiny sizes, whose times mean nothing")
    args = parser.parse_args(argv)
    config = options.load_config(args)
    distributed.refuse_team("measuring")
    import torch

    from utils.runtime import devices

    summary = terminal.Summary()
    print(HEADER)
    rows: list[Row] = []
    for stage in args.stages:
        for values in run_stage(stage, config, small=args.small):
            rows.append(Row(**values))
            print(rows[-1].line().rstrip(), flush=True)
    path = config.output_path / "benchmark.json"
    with atomic_write(path, "w") as file:
        json.dump([{**asdict(row), "ratio": row.ratio} for row in rows], file, indent=2)
    summary.writes(path)
    device = devices.choose_device(config.training.device)
    summary.finish(f"measured {len(rows)} rows on {device.type}, {torch.get_num_threads()} threads")


def run_stage(stage: str, config: Config, *, small: bool) -> list[dict]:
    """Measure a stage in its own process, so that no other stage's memory is counted."""
    if small:
        return measure(stage, config, small=True)
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        return pool.submit(measure, stage, config, small=False).result()


def measure(stage: str, config: Config, *, small: bool) -> list[dict]:
    """Measure a stage in this process."""
    from utils.runtime import devices

    function = getattr(importlib.import_module(STAGES[stage]), f"measure_{stage}")
    device = devices.choose_device(config.training.device)
    return [asdict(row) for row in function(config, device, small=small)]


if __name__ == "__main__":
    start.run(main)
