import collections
import pickle
import struct

import numpy as np
import pytest

from utils.files.pickles import safe_unpickle
from utils.runtime.errors import InputError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_built_in_types_are_loaded(tmp_path, protocol):
    content = {"sets": ({"a", "b"}, frozenset({1})), "rest": [(1, 2.5, None, True), "é", {}]}
    content["bytes"] = b"x"
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    if protocol < 3:  # bytes are written through a function
        with pytest.raises(InputError, match=r"_codecs\.encode"):
            safe_unpickle(tmp_path / "p")
        del content["bytes"]
        (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    assert safe_unpickle(tmp_path / "p") == content


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (np.float64(1.5), r"numpy\S*\.scalar"),
        (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
        (print, r"builtins\.print"),
        (getattr, r"builtins\.getattr"),
    ],
)
def test_pickles_of_anything_else_are_refused(tmp_path, content, name):
    (tmp_path / "p").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"p asks for {name}, and only built-in types"):
        safe_unpickle(tmp_path / "p")


def test_damage_anywhere_is_an_error_or_another_value(tmp_path):
    good = pickle.dumps({"a": [1.5, "text"], "b": {1, 2}, "c": (1, 2, 3)})
    path = tmp_path / "p"
    for place in range(len(good)):
        path.write_bytes(good[:place])
        with pytest.raises(InputError, match="p is not a pickle that can be read, or is damaged"):
            safe_unpickle(path)
        path.write_bytes(good[:place] + b"\xff" + good[place + 1 :])
        try:
            safe_unpickle(path)  # some changes only change a value
        except InputError as error:
            assert str(path) in str(error)
    with pytest.raises(InputError, match="cannot read"):
        safe_unpickle(tmp_path / "missing")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


COMMAND = text("touch canary")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Each way in which a pickle can call a function, or make an object of a class.
        (b"cposix\nsystem\n(" + COMMAND + b"tR.", r"asks for posix\.system"),
        (b"(cposix\nsystem\n" + COMMAND + b"o.", r"asks for posix\.system"),
        (b"(" + COMMAND + b"iposix\nsystem\n.", r"asks for posix\.system"),
        (text("posix") + text("system") + b"\x93" + COMMAND + b"\x85R.", r"asks for posix\.system"),
        (text("builtins") + text("eval") + b"\x93" + text("1") + b"\x85R.", r"builtins\.eval"),
        (b"cposix\nsystem\n)\x81.", r"asks for posix\.system"),
        (b"cbuiltins\nset.__class__\n)R.", r"asks for builtins\.set\.__class__"),
        (text("builtins") + text("set.__init__.__globals__") + b"\x93.", r"set\.__init__"),
        (b"no pickle", "p is not a pickle that can be read, or is damaged"),
        (b"\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "damaged"),  # a bytearray of a terabyte
        (b"\x82\x01.", "damaged"),  # of a registry that is empty
        (b"}}b.", "damaged"),
        (b"Pos\n.", "damaged"),
        (b"K\x01Q.", "damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [b"", b"\x80\x02", b"\x80\x04"])
def test_hostile_pickles_are_refused_and_run_nothing(
    tmp_path, monkeypatch, protocol, content, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").write_bytes(protocol + content)
    with pytest.raises(InputError, match=message):
        safe_unpickle(tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
