"""Each stage timed beside a plain reference, or beside another build of the project.

Imports `utils.runtime`, `utils.settings`, `utils.audio`, `utils.datasets`, `utils.features`,
`utils.evaluation`, `utils.training`, `utils.search` and `models`.
"""
