"""The moments of a recording that match a text: half seconds ─► curves ─► ranked windows.

Imports `utils.runtime`, `utils.files`, `utils.datasets` and `models`.
"""
