"""Clotho, AudioCaps, Task 6b, sets of moments and AudioSet: checked, numbered, and read back.

Also the Universal Category System (`ucs`).

Imports `utils.runtime`, `utils.settings`, `utils.files` and `utils.audio`.
"""
