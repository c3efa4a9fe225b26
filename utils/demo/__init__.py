"""Synthetic sounds with captions, and the tagger that is trained on them.

Imports `utils.runtime`, `utils.files` and `utils.datasets`.
"""
