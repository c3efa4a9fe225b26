"""What every command runs on: errors, signals, the terminal, processes and devices.

Imports nothing of the project.
"""
