"""Sound files ─► samples ─► windows, log-mels and pictures; what the files say about themselves.

Imports `utils.runtime`.
"""
