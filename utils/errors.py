"""The one exception that means: what was given is wrong, and here is what to do about it."""


class InputError(Exception):
    """Something the user gave (a file, a setting, an argument) cannot be used.

    The message says what is wrong, with the value, where it stands (file, line or key) and the
    next step. Command-line entry points print it without a traceback and exit with status 2.
    """
