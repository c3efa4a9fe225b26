"""Pickles read without trusting them: looked through before anything in them is carried out.

A pickle is a program. It may name any function, and a few dozen bytes can make something that takes
longer than a life to hash, or more memory than there is.
"""

import io
import pickle
import pickletools
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from utils.files.reading import read_bytes
from utils.runtime.errors import InputError

# What a pickle of built-in types may name: numbers, texts, lists and dicts need no name.
_CLASSES = {cls.__name__: cls for cls in (set, frozenset)}
_BUILTINS = ("builtins", "__builtin__")  # as Python 3 and 2 call that module
BUILT_IN_NAMES = frozenset(f"{module} {name}" for module in _BUILTINS for name in _CLASSES)
# What pickle.load raises on a damaged file: its documentation names some and excludes none.
_PICKLE_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
# These make or extend something that cannot be a key, or whose hash is kept.
_UNHASHED = {
    *("LIST", "APPEND", "APPENDS", "DICT", "SETITEM", "SETITEMS", "ADDITEMS", "FROZENSET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BINPERSID"),
}
# Codes that no pickle of data has: objects of classes, copies of the stack's top, the registry of
# extensions, persistent objects that are named by a text.
_REFUSED = {
    *("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "DUP", "POP"),
    *("POP_MARK", "NEXT_BUFFER", "READONLY_BUFFER"),
}
_MAX_TUPLE = 1000  # items, with those of the tuples in it
_MARK = object()


class NotAllowedError(pickle.UnpicklingError):
    """A pickle names what it may not; the message is the name."""


class _Item(int):
    """The number of items in something on the stack, itself included, and what it names."""

    name: str | None = None


def safe_unpickle(path: str | Path) -> Any:
    """Load a pickle of built-in types, and refuse every other.

    Unpickling runs whatever the file names. Here it may name nothing but sets, so that a file from
    somewhere else cannot do harm.

    Raises
    ------
    InputError
        If the file cannot be read, is no pickle, or names anything but a set.

    """
    content = read_bytes(path)
    try:
        look_through(io.BytesIO(content), names=BUILT_IN_NAMES, size=len(content))
        return _SetUnpickler(io.BytesIO(content), len(content)).load()
    except NotAllowedError as error:
        raise InputError(
            f"{path} asks for {error}, and only built-in types are loaded: a pickle can run any "
            "code. Write the file again with the script that makes it."
        ) from None
    except _PICKLE_ERRORS as error:
        raise InputError(
            f"{path} is not a pickle that can be read, or is damaged "
            f"({type(error).__name__}: {error}). Write it again with the script that makes it."
        ) from error


def look_through(
    file: IO[bytes], *, names: Collection[str], size: int, codes: Collection[str] = ()
) -> None:
    """Go through a pickle, from where a file stands to its end, without carrying it out.

    Parameters
    ----------
    file : file object
    names : collection of str
        What the pickle may name, each as "module name".
    size : int
        Bytes of the whole file: no object has a higher number.
    codes : collection of str
        Further codes that are allowed, by pickletools' names.

    Raises
    ------
    pickle.UnpicklingError, ValueError, LookupError
        If it is damaged or names something else.

    """
    stack: list[Any] = []
    memo: dict[int, _Item] = {}
    for opcode, argument, _ in pickletools.genops(file):
        code = opcode.name
        if code in _REFUSED or (code in ("BINPERSID", "BUILD") and code not in codes):
            called = f" of {argument.replace(' ', '.')}" if code == "INST" else ""
            raise NotAllowedError(f"{code}{called}")
        if "PUT" in code or code == "MEMOIZE":
            if argument is not None and argument > size:
                raise pickle.UnpicklingError(f"object number {argument} in so small a file")
            memo[len(memo) if argument is None else argument] = _top(stack)
        elif "GET" in code:
            stack.append(memo[argument])
        elif code == "MARK":
            stack.append(_MARK)
        else:
            taken = _take(stack, opcode)
            stack += [_made(code, argument, taken, names)] * len(opcode.stack_after)


def _take(stack: list[Any], opcode: pickletools.OpcodeInfo) -> list[_Item]:
    """Take from the stack what an opcode takes: up to the last mark, or a number of items."""
    before = opcode.stack_before
    taken: list[_Item] = []
    if pickletools.markobject in before:
        while (item := stack.pop()) is not _MARK:
            taken.append(item)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        taken.append(_top(stack))
        stack.pop()
    return taken[::-1]


def _top(stack: list[Any]) -> _Item:
    if stack[-1] is _MARK:
        raise pickle.UnpicklingError("a mark stands where an object should be")
    return stack[-1]


def _made(code: str, argument: Any, taken: list[_Item], names: Collection[str]) -> _Item:
    """Measure what an opcode makes of what it has taken; refuse names, and endless tuples."""
    item = _Item(1 if code in _UNHASHED else 1 + sum(taken))
    if item > _MAX_TUPLE:
        raise pickle.UnpicklingError(f"a tuple of more than {_MAX_TUPLE} items")
    if code == "GLOBAL":
        item.name = argument
    elif code == "STACK_GLOBAL":
        item.name = " ".join(str(part.name) for part in taken)
    elif "UNICODE" in code:
        item.name = argument
    elif code == "REDUCE" and taken[0].name == "collections OrderedDict" and taken[1] > 1:
        # It would copy its argument each time: of a large one that is written once.
        raise pickle.UnpicklingError("an OrderedDict of more than nothing")
    if "GLOBAL" in code and item.name not in names:
        raise NotAllowedError(str(item.name).replace(" ", "."))
    return item


class _SetUnpickler(pickle.Unpickler):
    """Unpickler that makes sets of what the file holds, and nothing else that has a name."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file)
        self._left = size  # items; each takes at least a byte of the file

    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in BUILT_IN_NAMES:
            raise NotAllowedError(f"{module}.{name}")

        def make(items: list | tuple = ()) -> set | frozenset:
            self._left -= len(items)
            if self._left < 0:
                raise pickle.UnpicklingError("sets of more items than the file can hold")
            return _CLASSES[name](items)

        return make
