"""The exception for what the user can fix, and helpers that word its messages."""

import errno
import os
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path

SHOWN = 10  # lines of a listing
_MAX_BITS = 256  # of a whole number that is written out
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_SHORTAGES = (*TOO_MANY_FILES, errno.ENOBUFS)
# What a failing disk, or a share whose network or server is gone, answers.
_NO_ANSWER = (
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENODEV, errno.ENXIO,
)  # fmt: skip
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_ADVICE = {
    errno.EACCES: "Check its permissions and those of its folders.",
    errno.EPERM: "Check its permissions and those of its folders.",
    errno.EAGAIN: "Another program has it open for writing: close that program, then run again.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n).",
    **dict.fromkeys(_NO_ANSWER, "The disk does not answer: check it, then run again."),
}
# What libraries say when there is no memory left, in lower case: PyTorch, HDF5 and the system;
# libsndfile; C++; oneDNN and cuBLAS; CUDA; the dynamic linker; Python.
_NO_MEMORY = (
    "allocate memory",
    "memory allocation failed",
    "malloc () failed",
    "bad_alloc",
    "status_alloc_failed",
    "out of memory",
    "failed to map segment",
    "can't start new thread",
)


class InputError(Exception):
    """A file, a setting or an argument given by the user cannot be used.

    The message says what is wrong, where (file, line or key), and what to do. Commands print it
    without a traceback and exit with status 2.
    """


class UnreadableError(InputError):
    """A file that could not be read, so that nothing is known about its content.

    Advice to remove it or to write it again would be wrong, and is not added. `reason` says why, as
    a predicate without its subject.
    """

    def __init__(self, text: str, reason: str = "cannot be read") -> None:
        super().__init__(text)
        self.reason = reason


def unreadable(path: str | Path, error: OSError) -> InputError:
    """Make the error for a file that the system does not let us read; raise if memory ran out.

    A file that is missing, or is a folder, is a plain InputError: nothing would be lost.
    """
    if out_of_memory(error):
        raise error
    why = os.strerror(error.errno) if error.errno else str(error)
    text = f"cannot read {path}: {why}. {_ADVICE.get(error.errno, '')}".rstrip()
    if error.errno in _NO_FILE:
        return InputError(text)
    return UnreadableError(text, f"cannot be read ({why})")


def shorten(lines: Sequence[str], *, most: int | None = SHOWN) -> str:
    """Write the first ten lines as a list, and count the rest; all of them if `most` is None."""
    shown = [f"  - {printable(line)}" for line in lines[:most]]
    if len(lines) > len(shown):
        shown.append(f"  ... and {len(lines) - len(shown)} more")
    return "\n".join(shown)


def counted(count: int, unit: str) -> str:
    """Write a count with its unit, in the singular or plural."""
    return f"{count} {unit}{'' if count == 1 else 's'}"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one behind it, means that the machine or its GPU is out of memory.

    Errors of libraries are recognised by their message, because most have no type for it.
    """
    return any(
        isinstance(cause, MemoryError)
        or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM)
        or any(words in str(cause).lower() for words in _NO_MEMORY)
        for cause in _causes(error)
    )


def is_shortage(error: BaseException | None) -> bool:
    """Whether memory or descriptors ran out: the file that an error names may be all right."""
    return error is not None and (
        out_of_memory(error) or getattr(error, "errno", None) in _SHORTAGES
    )


def is_unanswered(error: OSError) -> bool:
    """Whether the disk of a file did not answer, which says nothing about the file."""
    return error.errno in _NO_ANSWER


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def first_line(error: BaseException) -> str:
    """Write the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def raise_if_any(problems: Sequence[str], where: object, advice: str = "") -> None:
    """Raise an InputError that counts the problems of a file and shows the first ten.

    `advice` says what to do about them. If there are none, nothing happens.
    """
    if problems:
        text = f"{counted(len(problems), 'problem')} in {where}:\n{shorten(problems)}\n{advice}"
        raise InputError(text.rstrip())


def printable(text: str) -> str:
    """Escape control characters and invalid UTF-8, which a terminal would obey or garble."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shown(value: object) -> str:
    """Write any value for an error message, as `repr` does but never long."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    """Repr of bounded length, even for recursive values and enormous integers."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxset, self.maxtuple = 3, 8, 8, 8, 8
        self.maxstring = self.maxother = 200

    def repr_int(self, value: int, level: int) -> str:
        bits = value.bit_length()
        return repr(value) if bits <= _MAX_BITS else f"a whole number of {bits} bits"


_SHORT = _Short()
