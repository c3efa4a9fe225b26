"""Rounds in which builds are measured in alternation, and the table of their medians."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.benchmark.build_stages import Plan, Step
from utils.benchmark.builds import Sample
from utils.benchmark.timing import Row


@dataclass(frozen=True)
class Comparison:
    """Samples of one stage, of each build by its name: this checkout first, then the other."""

    stage: str
    unit: str
    samples: dict[str, list[Sample]]

    @property
    def ratio(self) -> float | None:
        """How many times as long the other build takes."""
        return _ratio(self.seconds)

    @property
    def ratio_mb(self) -> float | None:
        """How many times as much memory the other build takes."""
        return _ratio(self.mb)

    @property
    def seconds(self) -> dict[str, list[float]]:
        """The times."""
        return {name: [s.seconds for s in samples] for name, samples in self.samples.items()}

    @property
    def mb(self) -> dict[str, list[float]]:
        """The memory, where it was measured."""
        return {
            name: [s.mb for s in samples if s.mb is not None]
            for name, samples in self.samples.items()
        }

    @property
    def notes(self) -> str:
        """What the last samples say."""
        notes = {name: samples[-1].note for name, samples in self.samples.items()}
        if len(set(notes.values())) == 1:
            return next(iter(notes.values()))
        return "; ".join(f"{name}: {note}" for name, note in notes.items() if note)

    def line(self) -> str:
        """Format it in the columns of `HEADER`."""
        times = [_spread(self.seconds[name]) for name in self.samples]
        memory = [_spread(self.mb[name], "z.0f") for name in self.samples]
        columns = [*times, _factor(self.ratio), *memory, _factor(self.ratio_mb)]
        widths = (26, 26, 8, 20, 20, 8)
        cells = "".join(f"{text:>{width}}" for text, width in zip(columns, widths, strict=True))
        return f"{self.stage:32}{self.unit:>14}{cells}  {self.notes}".rstrip()

    def as_row(self) -> Row:
        """Write the medians of this checkout alone."""
        name = next(iter(self.samples))
        mb = float(np.median(self.mb[name])) if self.mb[name] else None
        note = f"{_spread(self.seconds[name])} s; {self.notes}".removesuffix("; ")
        median = float(np.median(self.seconds[name]))
        return Row(self.stage, self.unit, median, None, ours_mb=mb, note=note)

    def as_json(self) -> dict[str, Any]:
        """Describe it for JSON."""
        return {
            "stage": self.stage,
            "unit": self.unit,
            "seconds": {name: _summary(values) for name, values in self.seconds.items()},
            "mb": {name: _summary(values) for name, values in self.mb.items()},
            "ratio": self.ratio,
            "ratio_mb": self.ratio_mb,
            "notes": self.notes,
        }


HEADER = (
    f"{'stage':32}{'unit':>14}{'this, s [least-most]':>26}{'other':>26}{'ratio':>8}"
    f"{'this, MB':>20}{'other':>20}{'ratio':>8}"
)


def compare(
    plan: Plan, stage: AbstractContextManager[list[Step]], *, rounds: int
) -> Iterator[Comparison]:
    """Measure the builds of a plan in alternation, round by round."""
    collected: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    with stage as steps:
        for _ in range(rounds):
            for step in steps:
                step.before()
                for build in plan.builds:
                    for what, sample in step.measure(build).items():
                        samples = collected.setdefault(what, {b.name: [] for b in plan.builds})
                        samples[build.name].append(sample)
                        plan.report(f"{build.name}: {what[0]}: {_described(sample)}")
    for what, samples in collected.items():
        if all(samples.values()):  # all builds measure it
            yield Comparison(*what, samples)


def _described(sample: Sample) -> str:
    memory = "" if sample.mb is None else f", {sample.mb:.0f} MB"
    return f"{sample.seconds:.4g} s{memory}"


def _ratio(values: dict[str, list[float]]) -> float | None:
    """Divide the medians of two builds; None if one has none, or no memory beyond."""
    medians = [float(np.median(of_build)) for of_build in values.values() if of_build]
    if len(medians) < 2 or min(medians) <= 0:
        return None
    this, other = medians
    return other / this


def _summary(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {
        "median": float(np.median(values)),
        "least": min(values),
        "most": max(values),
        "all": list(values),
    }


def _spread(values: Sequence[float], form: str = ".4g") -> str:
    """Write the median, the least and the most."""
    if not values:
        return ""
    median, least, most = (f"{x:{form}}" for x in (np.median(values), min(values), max(values)))
    return f"{median} [{least}-{most}]"


def _factor(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
