"""Trained models on disk: checkpoints, and folders to share.

Imports `utils.runtime`, `utils.settings`, `utils.files`, `utils.datasets` and `models`.
"""
