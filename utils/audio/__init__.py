"""Sound files ─► samples ─► windows, log-mels and pictures.

Imports `utils.runtime`.
"""
