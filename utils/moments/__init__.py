"""The moments of a recording that match a text: cells of the grid ─► curve ─► ranked windows.

May import runtime, settings, files, datasets, features, evaluation, checkpoints and models.
"""
