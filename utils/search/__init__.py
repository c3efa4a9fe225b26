"""A folder of sounds ─► index ─► hits ─► page.

Imports `utils.runtime`, `utils.settings`, `utils.files`, `utils.audio`, `utils.datasets`,
`utils.features`, `utils.checkpoints` and `models`.
"""
