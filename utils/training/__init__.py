"""Pairs ─► batches ─► epochs. Without settings and files.

Imports `utils.runtime`, `utils.features`, `utils.evaluation` and `models`.
"""
