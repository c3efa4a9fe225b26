"""Sound files of demo sets: each holds a comment that says what it is, and is written whole."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from utils.files.writing import atomic_write
from utils.runtime.errors import InputError

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")  # what `atomic_write` leaves when it is killed


@dataclass(frozen=True)
class DemoSetReport:
    """What `write_demo_set` did."""

    written: int  # clips rendered now
    kept: int  # clips of an interrupted run
    up_to_date: bool  # the set was complete, and nothing was done


def problems_of_arguments(folder: Path, seed: int, jobs: int) -> list[str]:
    """List what is wrong with arguments that all sets have."""
    problems = []
    if seed < 0:
        problems.append(f"seed must not be negative, got {seed}")
    if jobs < 1:
        problems.append(f"jobs must be at least 1, got {jobs}")
    if folder.exists() and not folder.is_dir():
        problems.append(f"{folder} is not a folder: choose another")
    return problems


def refuse_foreign(folder: Path, *, lacking: str, choose: str) -> None:
    """Raise an InputError if a folder without a set of ours has files that are not hidden."""
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign:
        shown = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise InputError(
            f"{folder} is not empty ({shown}) and has no {lacking}. Nothing was written, so that "
            f"no data is lost: choose {choose}"
        )


def comment_of(path: Path) -> str:
    """Read the comment in a sound file; empty if it has none or is not a sound file."""
    try:
        with soundfile.SoundFile(path) as file:
            return file.comment
    except (soundfile.LibsndfileError, OSError):
        return ""


def write_sound(path: Path, samples: np.ndarray, rate: int, subtype: str, comment: str) -> None:
    """Write `samples` (N,) or (N, 2) as a sound file that appears only when it is whole."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    kind = path.suffix[1:]
    with atomic_write(path) as stream:
        content = io.BytesIO()  # libsndfile hides why a write to a file fails
        with soundfile.SoundFile(content, "w", rate, channels, subtype, format=kind) as file:
            file.comment = comment
            file.write(samples)
        stream.write(content.getbuffer())
