import collections
import os
import pickle
import struct

import numpy as np
import pytest

from utils.files.pickles import safe_unpickle
from utils.runtime.errors import InputError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_safe_unpickle_loads_built_in_types(tmp_path, protocol):
    content = {
        "set": {"a", "b"},
        "frozen": frozenset({1}),
        "rest": [(1, 2.5, None, True, b"x"), "é", {}],
    }
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol, fix_imports=True))
    # Protocols 0 to 2 write bytes through _codecs.encode, which is not a container.
    if protocol < 3:
        with pytest.raises(InputError, match=r"_codecs\.encode"):
            safe_unpickle(tmp_path / "p")
        content["rest"][0] = content["rest"][0][:4]
        (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol, fix_imports=True))
    assert safe_unpickle(tmp_path / "p") == content


class Harmful:
    def __reduce__(self):
        return os.system, ("echo harm done",)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Harmful(), r"(posix|nt)\.system"),
        (np.float64(1.5), r"numpy\S*\.scalar"),
        (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
        (print, r"builtins\.print"),
        (getattr, r"builtins\.getattr"),
    ],
)
def test_safe_unpickle_refuses_everything_else(tmp_path, capfd, content, name):
    (tmp_path / "p").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"p asks for {name}, and only built-in types"):
        safe_unpickle(tmp_path / "p")
    assert "harm" not in capfd.readouterr().out


def test_safe_unpickle_reports_damage_whatever_it_is(tmp_path):
    good = pickle.dumps({"a": [1.5, "text"], "b": {1, 2}, "c": (1, 2, 3)})
    path = tmp_path / "p"
    for place in range(len(good)):
        for content in (good[:place], good[:place] + b"\xff" + good[place + 1 :]):
            path.write_bytes(content)
            try:
                safe_unpickle(path)  # Some changes only change a value.
            except InputError as error:
                assert str(path) in str(error)
    with pytest.raises(InputError, match="cannot read"):
        safe_unpickle(tmp_path / "missing")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"\x80\x04}r\xff\xff\xff\xff.",  # an empty dict, numbered four thousand million
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.",  # a bytearray of a terabyte
    ],
)
def test_safe_unpickle_refuses_damaged_files(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(InputError, match="p is not a pickle that can be read, or is damaged"):
        safe_unpickle(tmp_path / "p")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


COMMAND = "touch canary"
SET = b"cbuiltins\nset\nq\x01"
LARGE_LIST = b"(" + b"K\x01" * 9000 + b"lq\x00"
TUPLE_TOWER = b"K\x00\x85q\x00" + b"".join(
    b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(60)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Each way in which a pickle can call a function, or make an object of a class.
        (b"cposix\nsystem\n(" + text(COMMAND) + b"tR.", r"asks for posix\.system"),
        (b"(cposix\nsystem\n" + text(COMMAND) + b"o.", r"asks for (OBJ|posix\.system)"),
        (b"(" + text(COMMAND) + b"iposix\nsystem\n.", r"asks for INST of posix\.system"),
        (text("posix") + text("system") + b"\x93" + text(COMMAND) + b"\x85R.", "asks for posix.s"),
        (text("builtins") + text("eval") + b"\x93" + text("1") + b"\x85R.", "asks for builtins.ev"),
        (b"}" + text("system") + b"\x93.", "asks for None.system"),
        (b"cbuiltins\nset\n)\x81.", "asks for NEWOBJ"),
        (b"cbuiltins\nset\n)}\x92.", "asks for NEWOBJ_EX"),
        (b"cposix\nsystem\n)\x81.", r"asks for posix\.system"),
        (b"cbuiltins\nset.__class__\n)R.", r"asks for builtins\.set\.__class__"),
        (text("builtins") + text("set.__init__.__globals__") + b"\x93.", "asks for builtins.set._"),
        (b"\x82\x01.", "asks for EXT1"),
        (b"\x83\x01\x00.", "asks for EXT2"),
        (b"\x84\x01\x00\x00\x00.", "asks for EXT4"),
        (b"}}b.", "asks for BUILD"),
        (b"Pos\n.", "asks for PERSID"),
        (b"K\x01Q.", "asks for BINPERSID"),
        (b"K\x012\x86.", "asks for DUP"),
        (b"K\x01K\x020.", "asks for POP"),
        # What takes longer than a life, or more memory than there is.
        (b"}" + TUPLE_TOWER + b"K\x01s.", "a tuple of more than 1000 items"),
        (TUPLE_TOWER + b".", "a tuple of more than 1000 items"),
        (LARGE_LIST + SET + b"h\x01h\x00\x85R" * 4000 + b".", "sets of more items than the file"),
        (b"I" + b"9" * 5000 + b"\n.", "Exceeds the limit"),
        (b"}r\xff\xff\xff\x7f.", "object number 2147483647 in so small a file"),
        (b"p99999999\n.", "object number 99999999|damaged"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"B\xff\xff\xff\xff.", "damaged"),
        # No program at all.
        (b"(.", "a mark stands where an object should be"),
        (b"h\x05.", "damaged"),
        (b".", "damaged"),
        (b"R.", "damaged"),
        (b"(q\x00.", "a mark stands where an object should be"),
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


def test_what_is_shared_or_holds_itself_is_loaded(tmp_path):
    shared, name = ["a"], "b"
    content = {name: [shared, shared], "c": {name: (name, 1), "d": frozenset({name})}}
    (tmp_path / "p").write_bytes(pickle.dumps(content))
    assert safe_unpickle(tmp_path / "p") == content
    itself: list = []
    itself.append(itself)
    (tmp_path / "p").write_bytes(pickle.dumps(itself))
    loaded = safe_unpickle(tmp_path / "p")
    assert loaded[0] is loaded
