"""Files that are written whole or not at all, downloaded, locked, and read without trusting them.

Imports `utils.runtime`.
"""
