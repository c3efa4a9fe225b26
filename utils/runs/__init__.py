"""One run or many: plan, data, folder, resuming, sweep, and the report.

Imports every room below it but `utils.audio` and `utils.search`.
"""
