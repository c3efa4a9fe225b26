import struct
import zipfile

import pytest
import torch

from utils.files.tensors import load_tensors


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(*, shape, strides, numbers=4, offset=0) -> bytes:
    """The program that makes a float32 tensor of the archive's record `0`."""
    storage = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((" + storage + number(numbers) + b"tQ"
        + number(offset) + b"(" + b"".join(map(number, shape)) + b"t("
        + b"".join(map(number, strides)) + b"t\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def archive(path, value: bytes, *, compression=zipfile.ZIP_STORED, records=None):
    """Write a file as torch.save does, with `value` under the key `w`."""
    records = {"data/0": bytes(16)} if records is None else records
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", b"\x80\x02}" + text("w") + value + b"s.")
        for name, content in {"byteorder": b"little", "version": b"3\n", **records}.items():
            file.writestr(f"a/{name}", content)
    return path


def test_what_torch_saves_is_loaded_of_either_age(tmp_path):
    weights = torch.nn.Linear(3, 2).state_dict()
    content = {
        "weights": weights,
        "optimizer": {0: {"step": torch.tensor(3.0), "betas": (0.9, 0.999)}},
        "history": [{"loss": 0.5, "epoch": 1}, None, True, "é"],
        "half": torch.ones(2, dtype=torch.bfloat16).t(),
        "state": torch.Generator().get_state(),
    }
    content["same"] = content["history"]
    for new in (True, False):
        torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=new)
        loaded = load_tensors(tmp_path / "c.pt")
        assert loaded["history"] == content["history"]
        assert loaded["same"] is loaded["history"]
        assert loaded["optimizer"][0]["betas"] == (0.9, 0.999)
        assert torch.equal(loaded["state"], content["state"])
        assert loaded["half"].dtype == torch.bfloat16
        assert {name: t.tolist() for name, t in loaded["weights"].items()} == {
            name: t.tolist() for name, t in weights.items()
        }
        assert type(loaded["weights"]) is dict


def test_the_hand_made_archive_is_one(tmp_path):
    path = archive(tmp_path / "c.pt", tensor(shape=[2, 2], strides=[2, 1]))
    assert load_tensors(path)["w"].tolist() == [[0, 0], [0, 0]]


TOWER = b"K\x00\x85q\x00" + b"".join(
    b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(60)
)
ITSELF = b"}q\x00" + text("w") + b"h\x00s"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"cposix\nsystem\n" + text("touch canary") + b"\x85R", r"asks for posix\.system"),
        (b"(" + text("touch canary") + b"iposix\nsystem\n", r"asks for INST of posix\.system"),
        (b"c__builtin__\ngetattr\n", r"asks for __builtin__\.getattr"),
        (
            b"c__builtin__\nbytearray\n" + number(10**13) + b"\x85R",
            "asks for __builtin__.byte",
        ),
        (b"ctorch\nload\n" + text("x") + b"\x85R", r"asks for torch\.load"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n)R", "asks for torch._utils._rebuild_sparse"),
        (b"ccollections\nCounter\n)R", r"asks for collections\.Counter"),
        (b"ccollections\nOrderedDict\n]q\x05\x85R", "an OrderedDict of more than nothing"),
        (b"}" + TOWER + b"K\x01s", "a tuple of more than 1000 items"),
        (b"]" * 5000 + b"a" * 4999, "nested more than 20 deep"),
        (ITSELF, "nested more than 20 deep"),
        (b"}N" + b"K\x01s", "keys that are neither texts nor numbers"),
        (b"}(K\x01\x85K\x02u", "keys that are neither texts nor numbers"),
        (tensor(shape=[10**6, 10**6], strides=[0, 0]), "larger than the file that it is in"),
        (tensor(shape=[10**9], strides=[1], numbers=10**9), "damaged"),
        (tensor(shape=[4], strides=[1], offset=10**6), "damaged"),
        (tensor(shape=[4], strides=[1], offset=-8), "damaged"),
        (tensor(shape=[4], strides=[10**6]), "damaged"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_hostile_content_is_refused_and_nothing_is_run(tmp_path, monkeypatch, new, value, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    if new:
        archive(path, value)
    else:  # as PyTorch wrote before 1.6: magic number, version, machine, content, storages
        saved = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
        head = b"\x80\x02\x8a\x0a" + saved + b".\x80\x02M\xe9\x03.\x80\x02}."
        path.write_bytes(head + b"\x80\x02}" + text("w") + value + b"s.\x80\x02].")
    with pytest.raises(ValueError, match=message if new or "larger" not in message else "damaged"):
        load_tensors(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_attributes_in_place_of_methods_are_left_behind(tmp_path):
    value = b"ccollections\nOrderedDict\n)R}(" + text("items") + b"K\x01" + text("get") + b"K\x02ub"
    loaded = load_tensors(archive(tmp_path / "c.pt", value))
    assert loaded["w"].items() == {}.items()


def test_archives_that_are_bombs_or_ambiguous_are_refused(tmp_path):
    value, path = tensor(shape=[4], strides=[1]), tmp_path / "c.pt"
    archive(path, value, compression=zipfile.ZIP_DEFLATED, records={"data/0": bytes(10**7)})
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="members are compressed, as PyTorch's never are"):
        load_tensors(path)
    archive(path, value, records={"data/0": bytes(16), "x/data.pkl": b"N."})
    load_tensors(path)  # another folder's
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("b/data.pkl", b"N.")
    with pytest.raises(ValueError, match=r"has 2 data\.pkl"):
        load_tensors(path)
    archive(path, value)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("a/data/0", bytes(16))
    with pytest.raises(ValueError, match="or a member twice"):
        load_tensors(path)
    archive(path, value)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<II", 16, 16), struct.pack("<II", 16, 10**8)))
    with pytest.raises(ValueError, match="members are larger than the file"):
        load_tensors(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"RIFF....WAVE", b"\x89HDF\r\n"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_tensors(tmp_path / "c.pt")


def test_damage_anywhere_is_an_error_or_another_number(tmp_path):
    path = archive(tmp_path / "c.pt", tensor(shape=[4], strides=[1]))
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        try:
            load_tensors(path)
        except ValueError:
            refused += 1
    assert refused > 100
