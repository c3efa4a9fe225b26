"""Embeddings ─► ranks ─► metrics ─► tables.

Imports `utils.runtime`, `utils.files`, `utils.datasets` and `utils.features`.
"""
