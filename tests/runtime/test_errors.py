import errno

import pytest

from utils.runtime.errors import (
    InputError,
    out_of_memory,
    printable,
    raise_if_any,
    shorten,
    shown,
)


def test_shorten_shows_ten_lines():
    assert shorten(["a", "b"]) == "  - a\n  - b"
    assert shorten([str(i) for i in range(10)]).endswith("  - 9")
    assert shorten([str(i) for i in range(13)]).endswith("  - 9\n  ... and 3 more")


def test_control_characters_are_escaped():
    name = "\x1b[31mred\nname \udcff é 犬.wav"
    assert printable(name) == "\\x1b[31mred\\nname \\udcff é 犬.wav"


def test_problems_are_counted_and_none_raise_nothing():
    raise_if_any([], "x.csv", "Fix it.")
    with pytest.raises(InputError) as caught:
        raise_if_any([f"line {i}: wrong" for i in range(12)], "x.csv", "Fix it.")
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["12 problems in x.csv:", "  - line 0: wrong"]
    assert lines[-2:] == ["  ... and 2 more", "Fix it."]
    with pytest.raises(InputError, match=r"^1 problem in x\.csv:\n  - a$"):
        raise_if_any(["a"], "x.csv")


def test_any_value_is_shown_short():
    assert shown({"a": [1, "é", None]}) == "{'a': [1, 'é', None]}"
    bomb = "x"
    for _ in range(40):
        bomb = [bomb] * 10
    itself = []
    itself.append(itself)
    for value in (bomb, itself, "x" * 10**6, list(range(10**6)), {i: i for i in range(10**5)}):
        assert len(shown(value)) < 5000
    assert shown(16**5000) == "a whole number of 20001 bits"
    assert shown("\ud800") == r"'\ud800'"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("Unable to read (memory allocation failed for 40 bytes)"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_is_recognised_also_behind_another_error(error):
    assert out_of_memory(error)
    try:
        try:
            raise error
        except Exception as cause:
            raise ValueError("cannot load it") from cause
    except ValueError as wrapped:
        assert out_of_memory(wrapped)
    assert not out_of_memory(ValueError("file signature not found"))
