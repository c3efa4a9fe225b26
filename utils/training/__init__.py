"""Pairs ─► batches ─► epochs. Knows no settings and no disk.

Imports `utils.runtime`, `utils.features` and `utils.evaluation`.
"""
