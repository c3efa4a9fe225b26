"""PaSST, MPNet and the dual encoder trained together, from sounds and captions, on Lightning.

Imports `utils.runtime`, `utils.settings`, `utils.files`, `utils.audio`, `utils.evaluation` and
`models`.
"""
