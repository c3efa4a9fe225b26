"""Time and memory of calls, and the table that compares them with a reference."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One stage: seconds per unit and MB of memory, ours and the reference's."""

    stage: str
    unit: str
    ours: float
    reference: float | None  # None: it has none
    share_of_ceiling: float | None = None
    ours_mb: float | None = None
    reference_mb: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Speed-up of ours over the reference."""
        return None if self.reference is None else self.reference / self.ours

    def line(self) -> str:
        """Format the row in the columns of `HEADER`."""

        def or_blank(value: float | None, text: str) -> str:
            return "" if value is None else text.format(value)

        return (
            f"{self.stage:28}{self.unit:>12}{1e3 * self.ours:>12.3f}"
            f"{or_blank(self.reference and 1e3 * self.reference, '{:.1f}'):>12}"
            f"{or_blank(self.ratio, '{:.1f}'):>8}{or_blank(self.share_of_ceiling, '{:.0%}'):>12}"
            f"{or_blank(self.ours_mb, '{:.0f}'):>9}{or_blank(self.reference_mb, '{:.0f}'):>11}"
            f"  {self.note}"
        )


HEADER = (
    f"{'stage':28}{'unit':>12}{'ours, ms':>12}{'reference':>12}{'ratio':>8}{'of ceiling':>12}"
    f"{'MB':>9}{'reference':>11}"
)


def seconds(function: Callable[[], object], *, at_least: float = 0.3) -> float:
    """Time a call, in seconds: the fastest of five rounds, after one call to warm up."""
    function()
    rounds = []
    for _ in range(5):
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < at_least:
            function()
            calls += 1
        rounds.append((time.perf_counter() - started) / calls)
    return min(rounds)


def once(function: Callable[[], object]) -> float:
    """Time a single long call, in seconds."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def latencies(function: Callable[[Any], object], items: Iterable[Any]) -> tuple[float, float]:
    """Time a call with each item, in seconds: the median and the 99th percentile."""
    each = [once(lambda item=item: function(item)) for item in items]
    return float(np.median(each)), float(np.quantile(each, 0.99))


def timed_with(load: Callable[[], Any], function: Callable[[Any], object]) -> float:
    """Time a single call with the result of `load`; the loading is not timed."""
    loaded = load()
    return once(lambda: function(loaded))


def with_peak(function: Callable[[], Any]) -> tuple[Any, float | None]:
    """Call a function; returns its result and the peak memory of this process, in MB."""
    with contextlib.suppress(FileNotFoundError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    return function(), peak_memory("self")


def peak_memory(process: int | str) -> float | None:
    """Read the peak memory of a process, in MB; None if it cannot be read."""
    return _status(process, "VmHWM")


def anonymous_memory(process: int | str) -> float | None:
    """Read the memory of a process that is not mapped from files, in MB; None if it cannot."""
    return _status(process, "RssAnon")


def _status(process: int | str, key: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    return None
