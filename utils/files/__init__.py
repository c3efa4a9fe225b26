"""Files that are written whole or not at all, locked, and read without trusting them.

Imports `utils.runtime`.
"""
