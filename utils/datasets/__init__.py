"""Clotho, AudioCaps, Task 6b and AudioSet: checked, numbered, and read back.

Imports `utils.runtime`, `utils.settings`, `utils.files` and `utils.audio`.
"""
