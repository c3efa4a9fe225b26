"""The one exception that means: what was given is wrong, and here is what to do about it."""

from collections.abc import Sequence

_SHOWN = 10  # lines of a listing


class InputError(Exception):
    """Something the user gave (a file, a setting, an argument) cannot be used.

    The message says what is wrong, with the value, where it stands (file, line or key) and the
    next step. Command-line entry points print it without a traceback and exit with status 2.
    """


def shorten(lines: Sequence[str]) -> str:
    """Write the first ten lines as a list, and count the rest."""
    # Names on a disk may hold bytes that no terminal can show.
    shown = [f"  - {line.encode(errors='backslashreplace').decode()}" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"  ... and {len(lines) - _SHOWN} more")
    return "\n".join(shown)


def counted(items: Sequence[str], unit: str) -> str:
    """Write how many there are, with the unit in singular or plural."""
    return f"{len(items)} {unit}{'' if len(items) == 1 else 's'}"


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory, or a GPU's, is not enough.

    PyTorch's own are recognised by name and message: importing it takes seconds, and for a CPU it
    has no type of error.
    """
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in str(error) for words in ("can't allocate memory", "STATUS_ALLOC_FAILED"))
    )
