"""Synthetic sounds with captions, and the tagger that is trained on them.

Imports `utils.runtime`, `utils.files`, `utils.audio` and `utils.datasets`.
"""
