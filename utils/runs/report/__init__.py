"""report.html of a run: scores, curves, queries, tags, a map, and how to reproduce it."""

from utils.runs.report.writing import write_report

__all__ = ["write_report"]
