"""The table that compares the runs of a sweep.

S seeds, N test captions.
"""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.evaluation.metrics import METRICS, bootstrap_interval, single_relevant
from utils.training.trainer import SELECTED_BY


@dataclass(frozen=True)
class Outcome:
    """The results of one combination, one run for each seed.

    Attributes
    ----------
    validation : ndarray, shape (S,)
        mAP@10 of the best epoch on the validation split.
    ranks : ndarray, shape (S, N), int
        Ranks of each test caption's own clip.

    """

    validation: NDArray[np.float64]
    ranks: NDArray[np.int64]

    @property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """The metrics of each test caption, shape (S, N)."""
        each = [single_relevant(ranks) for ranks in self.ranks]
        return {name: np.stack([values[name] for values in each]) for name in METRICS}


def compare(
    outcomes: Mapping[str, Mapping[str, Outcome]],
    clips: NDArray[np.int64],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Compute the rows of the table.

    Intervals are 95 % bootstrap intervals over the test clips, of values averaged over the seeds:
    they show how far the scores depend on the choice of test clips. The standard deviation shows
    how far they depend on the seed. The difference to the first setting of a question is
    bootstrapped in pairs, since both are scored on the same captions.

    Parameters
    ----------
    outcomes : mapping of question to mapping of setting to Outcome
        The first setting of a question is what the others are compared with.
    clips : ndarray, shape (N,), int
        Each caption's own clip.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of dict
        question, setting, seeds; of each metric X: "X mean", "X sd" (over seeds; None for one),
        "X low", "X high"; "validation mAP@10 mean" and "... sd"; "difference" of mAP@10, and its
        "difference low" and "difference high", None in the first row of a question.

    """
    rows = []
    for question, of_question in outcomes.items():
        reference = next(iter(of_question.values())).values[SELECTED_BY].mean(axis=0)
        for place, (setting, outcome) in enumerate(of_question.items()):
            row: dict[str, Any] = {
                "question": question,
                "setting": setting,
                "seeds": len(outcome.ranks),
            }
            for name, values in outcome.values.items():
                row |= _spread(name, values.mean(axis=1))
                low, high = bootstrap_interval(values.mean(axis=0), clips, seed=seed)
                row |= {f"{name} low": low, f"{name} high": high}
            row |= _spread(f"validation {SELECTED_BY}", outcome.validation)
            difference = outcome.values[SELECTED_BY].mean(axis=0) - reference
            low, high = bootstrap_interval(difference, clips, seed=seed)
            of_difference = (float(difference.mean()), low, high) if place else (None,) * 3
            names = ("difference", "difference low", "difference high")
            rows.append(row | dict(zip(names, of_difference, strict=True)))
    return rows


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the table as CSV; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()


def table_markdown(rows: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Write the table as Markdown, one section for each question."""
    lines = [
        f"# {title}",
        "",
        "Mean ± standard deviation over seeds, [95 % bootstrap interval over test clips]. Settings "
        "are to be chosen by the validation column: picking the best of several test scores "
        "overstates it.",
    ]
    header = ["setting", f"validation {SELECTED_BY}", *METRICS, f"{SELECTED_BY} against the first"]
    for question, group in itertools.groupby(rows, key=lambda row: row["question"]):
        lines += ["", f"## {question}", ""]
        lines += ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        for row in group:
            cells = [row["setting"], _mean_sd(row, f"validation {SELECTED_BY}")]
            cells += [
                f"{_mean_sd(row, name)} {_interval(row[f'{name} low'], row[f'{name} high'])}"
                for name in METRICS
            ]
            cells.append(
                "–"
                if row["difference"] is None
                else f"{row['difference']:+.4f} "
                f"{_interval(row['difference low'], row['difference high'], sign='+')}"
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(name: str, values: NDArray[np.float64]) -> dict[str, float | None]:
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return {f"{name} mean": float(values.mean()), f"{name} sd": sd}


def _mean_sd(row: Mapping[str, Any], name: str) -> str:
    sd = row[f"{name} sd"]
    return f"{row[f'{name} mean']:.4f}" + ("" if sd is None else f" ± {sd:.4f}")


def _interval(low: float, high: float, *, sign: str = "") -> str:
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"
