"""Builds of the project: checkouts whose commands are run, each in a process of its own.

All of them run with this Python environment. What is run is what every build has: its scripts, and
`utils/benchmark/build_driver.py` of this checkout with the modules of the other.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from utils.benchmark.timing import anonymous_memory
from utils.runtime.errors import InputError

_DRIVER = Path(__file__).with_name("build_driver.py")
_SCRIPTS = ("scripts/07_search.py", "scripts/benchmark.py")
_SHOWN = 15  # lines of a build that failed
_SAMPLED_EVERY = 0.02  # seconds


class Sample(NamedTuple):
    """What one run of a build took."""

    seconds: float
    mb: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Build:
    """A checkout of the project.

    Attributes
    ----------
    name : str
        In the table.
    root : Path
    commit : str or None
        None if the folder is not the root of a git working tree.
    dirty : bool
        Whether tracked files differ from the commit.

    """

    name: str
    root: Path
    commit: str | None
    dirty: bool

    @classmethod
    def at(cls, root: Path, name: str) -> "Build":
        """Look at a checkout; an InputError if it is none."""
        root = root.resolve()
        for script in _SCRIPTS:
            if not (root / script).is_file():
                raise InputError(
                    f"{root} is no checkout of this project: it has no {script}. Make one with "
                    "`git worktree add FOLDER COMMIT`."
                )
        if _git(root, "rev-parse", "--show-toplevel") != str(root):
            return cls(name, root, None, False)
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
        return cls(name, root, _git(root, "rev-parse", "HEAD"), bool(changes))

    def as_json(self) -> dict[str, Any]:
        """Describe it for JSON."""
        return {**asdict(self), "root": str(self.root)}

    def search(self, *arguments: str | Path, known: bool = False) -> tuple[Sample, str]:
        """Run script 07; returns the time to its first answer, and the answer.

        With `known` it is asked not to look through the folder, if this build can do that. The
        memory is the most that was not mapped from files.
        """
        options = ["--no-update"] if known and "--no-update" in self._search_options else []
        started = time.perf_counter()
        command = ("scripts/07_search.py", *options, "--json", *arguments)
        with self._running(command) as process, _Watched(process.pid) as memory:
            answer = process.stdout.readline()
            seconds = time.perf_counter() - started
            process.stdout.read()
        return Sample(seconds, memory.largest), answer

    def run(self, *command: str | Path) -> str:
        """Run a script; returns what it printed."""
        with self._running(command) as process:
            return process.stdout.read()

    def drive(self, task: str, **values: Any) -> Any:
        """Let the driver do a task with this build's modules; returns its result."""
        printed = self.run(_DRIVER, self.root, task, json.dumps(values, default=str))
        return json.loads(printed.splitlines()[-1])

    @cached_property
    def _search_options(self) -> str:
        return self.run("scripts/07_search.py", "--help")

    @contextlib.contextmanager
    def _running(self, command: Sequence[str | Path]) -> Iterator[subprocess.Popen]:
        """Run a script while the block reads what it prints; an InputError if it fails."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                [sys.executable, *command],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process:
                yield process
            if process.returncode:
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                raise InputError(
                    f"{self.root}: {Path(command[0]).name} ended with status {process.returncode}; "
                    "its last lines were:\n" + "\n".join(lines[-_SHOWN:])
                )


class _Watched:
    """Samples the memory of a process while a block runs."""

    def __init__(self, process: int) -> None:
        self.largest: float | None = None
        self._process, self._ended = process, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "_Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLED_EVERY):
            if (now := anonymous_memory(self._process)) is not None:
                self.largest = max(now, self.largest or 0.0)


def _git(root: Path, *arguments: str) -> str:
    """Ask git about a folder; empty if it knows nothing."""
    with contextlib.suppress(FileNotFoundError):  # no git
        found = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()
    return ""
