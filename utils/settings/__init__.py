"""conf.yaml and the command line ─► checked settings.

Imports `utils.runtime`.
"""
