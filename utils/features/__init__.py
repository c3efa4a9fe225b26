"""PaSST and MPNet over sounds and texts; their vectors in files that resume.

Imports `utils.runtime`, `utils.settings`, `utils.files`, `utils.audio` and `models`.
"""
