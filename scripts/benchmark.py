"""Measure each stage against a plain reference, in the same run, or against another build.

Reads   sentence_model.path, data/audioset; for cold_start, query and library a model (--model); all
        else (features, sounds, PaSST's weights) is random
Writes  <output_path>/benchmark.json

    python scripts/benchmark.py                               # all but library, at Clotho's size
    python scripts/benchmark.py --stages ranking training
    python scripts/benchmark.py --stages library              # a million sounds: an hour or more
    python scripts/benchmark.py --small                       # a check that it runs
    git worktree add ../before main
    python scripts/benchmark.py --against ../before --stages cold_start query

The references, in utils/benchmark/reference.py, work as the original system does: one window,
caption, pair or query at a time, in fp32; those of training run on the CPU. PaSST with cells is
compared with our own PaSST without them. Compare only ratios: machines differ, and so do two runs
on one machine. The share of the ceiling compares with a large matrix product in the same precision
on this machine. A window counts as the 255 GFLOP of the published network; ours skips 17 of them,
which reach no output. Each stage has its own process; memory is that process's peak while the stage
was measured.

With --against each stage is measured in this checkout and in the other in turn, --rounds times, in
new processes with this Python environment and that checkout's code and settings. The table has
medians, the least and the most, and the ratio of the medians: above 1, this checkout is faster, or
smaller. cold_start, query and library run the same commands in any build; other stages are those of
each build's own scripts/benchmark.py. They have no reference.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import json
import multiprocessing
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import start

from utils.benchmark.timing import HEADER, Row
from utils.files.writing import atomic_write
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.settings import options

if TYPE_CHECKING:  # its import takes a moment, which --help need not wait for
    from utils.benchmark.build_stages import Plan
    from utils.benchmark.builds import Build
    from utils.benchmark.comparing import Comparison
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


# Those that run commands of a build: each is a function of utils.benchmark.build_stages.
OF_BUILDS = ("cold_start", "query", "library")
UNLESS_NAMED = ("library",)  # are not measured


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    args = parse_arguments(argv)
    config = options.load_config(args)
    distributed.refuse_team("measuring")
    summary = terminal.Summary()
    report = measure_builds if args.against else measure_this
    result, done = report(args, config)
    path = config.output_path / "benchmark.json"
    with atomic_write(path, "w") as file:
        json.dump(result, file, indent=2)
    summary.writes(path)
    summary.finish(done)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser(__doc__)
    parser.add_argument("--stages", nargs="+", choices=[*STAGES, *OF_BUILDS], help="default: all")
    parser.add_argument("--small", action="store_true", help="tiny sizes, whose times mean nothing")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="another checkout to compare this one with"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="how often each build is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="of cold_start, query and library (default: the newest finished run)",
    )
    parser.add_argument("--sounds", type=int, metavar="N", help="of library (default: a million)")
    args = parser.parse_args(argv)
    for name, least in (("rounds", 1), ("sounds", 20)):
        if (value := getattr(args, name)) is not None and value < least:
            raise InputError(f"--{name} {value}: give {least} or more.")
    return args


def measure_this(args: argparse.Namespace, config: Config) -> tuple[list[dict], str]:
    """Measure this checkout; returns the rows, and what was done."""
    import torch

    from utils.benchmark.builds import Build
    from utils.runtime import devices

    stages = args.stages or [name for name in (*STAGES, *OF_BUILDS) if name not in UNLESS_NAMED]
    build = Build.at(PROJECT_ROOT, "this")
    plan = None
    print(HEADER)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        print(row.line().rstrip(), flush=True)

    for stage in stages:
        if stage in STAGES:
            for values in run_stage(stage, config, small=args.small):
                add(Row(**values))
        else:
            plan = plan or plan_of(args, config, [build])
            for compared in comparisons(stage, plan, args.rounds):
                add(compared.as_row())
    device = devices.choose_device(config.training.device)
    done = f"measured {len(rows)} rows on {device.type}, {torch.get_num_threads()} threads"
    return [{**asdict(row), "ratio": row.ratio} for row in rows], done


def measure_builds(args: argparse.Namespace, config: Config) -> tuple[dict[str, Any], str]:
    """Compare this checkout with another; returns what was found, and what was done."""
    from utils.benchmark.builds import Build
    from utils.benchmark.comparing import HEADER

    builds = [Build.at(PROJECT_ROOT, "this"), Build.at(args.against, "other")]
    plan = plan_of(args, config, builds)
    print(HEADER)
    rows = []
    for stage in stages_of(args, builds[1]):
        for compared in comparisons(stage, plan, args.rounds):
            rows.append(compared.as_json())
            print(compared.line(), flush=True)
    described = [build.as_json() for build in builds]
    result = {"builds": described, "rounds": args.rounds, "rows": rows}
    return result, f"compared {len(rows)} rows with {builds[1].commit or builds[1].root}"


def stages_of(args: argparse.Namespace, other: Build) -> list[str]:
    """List the stages that can be compared; an InputError if one is named that cannot."""
    found = re.search(r"--stages \{([^}]*)\}", other.run("scripts/benchmark.py", "--help"))
    shared = {*(found[1].split(",") if found else ()), *OF_BUILDS}
    every = [stage for stage in (*STAGES, *OF_BUILDS) if stage not in UNLESS_NAMED]
    if missing := [stage for stage in args.stages or () if stage not in shared]:
        raise InputError(f"--stages {' '.join(missing)}: {other.root} does not have them.")
    if left_out := [stage for stage in every if stage not in shared and not args.stages]:
        print(f"not compared, because the other build has no such stage: {', '.join(left_out)}")
    return args.stages or [stage for stage in every if stage in shared]


def plan_of(args: argparse.Namespace, config: Config, builds: list[Build]) -> Plan:
    """Gather what builds are measured with."""
    from utils.benchmark.build_stages import Plan
    from utils.checkpoints.trained_model import newest_run

    return Plan(
        builds=builds,
        config=config,
        model=(args.model or newest_run(config)).resolve(),
        config_file=args.config and args.config.resolve(),
        overrides=[*args.overrides, f"sentence_model.path={config.sentence_model.path.resolve()}"],
        sounds=args.sounds,
        small=args.small,
        report=partial(print, file=sys.stderr, flush=True),
    )


def comparisons(stage: str, plan: Plan, rounds: int) -> Iterator[Comparison]:
    """Measure a stage of all builds."""
    from utils.benchmark import build_stages
    from utils.benchmark.comparing import compare

    function = build_stages.STAGES.get(stage) or partial(build_stages.own, stage=stage)
    return compare(plan, function(plan), rounds=rounds)


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
