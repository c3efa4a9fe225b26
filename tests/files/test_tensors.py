import pickle
import struct
import zipfile

import pytest
import torch

from utils.files.tensors import load_tensors


@pytest.mark.parametrize("new", [True, False])
def test_files_of_new_and_old_versions_of_torch_are_loaded(tmp_path, new):
    tensors = {
        **torch.nn.Linear(3, 2).state_dict(),
        "half": torch.ones(2, 3, dtype=torch.bfloat16).t(),
        "state": torch.Generator().get_state(),
    }
    history = [{"loss": 0.5, "betas": (0.9, 0.999)}, None, True, "é"]
    content = {"tensors": tensors, "history": history, "same": history}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=new)
    loaded = load_tensors(tmp_path / "c.pt")
    assert loaded["history"] == history
    assert loaded["same"] is loaded["history"]
    torch.testing.assert_close(dict(loaded["tensors"]), tensors, rtol=0, atol=0)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@pytest.mark.parametrize(
    "value",
    [
        b"cposix\nsystem\n" + text("touch canary") + b"\x85R",
        b"(" + text("touch canary") + b"iposix\nsystem\n",
        b"c__builtin__\ngetattr\n",
        b"ctorch\nload\n" + text("x") + b"\x85R",
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_files_that_name_a_function_are_refused_and_run_nothing(tmp_path, monkeypatch, new, value):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    content = b"\x80\x02}" + text("w") + value + b"s."
    if new:
        with zipfile.ZipFile(path, "w") as file:
            for name, record in {"data.pkl": content, "version": b"3\n"}.items():
                file.writestr(f"a/{name}", record)
    else:  # as PyTorch wrote before 1.6: magic number, version, machine, content, storages
        head = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
        pickles = [pickle.dumps(value, protocol=2) for value in head]
        path.write_bytes(b"".join([*pickles, content, pickle.dumps([], protocol=2)]))
    with pytest.raises(ValueError, match="more than tensors and plain values"):
        load_tensors(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_other_and_truncated_files_are_refused(tmp_path):
    path = tmp_path / "c.pt"
    torch.save({"w": torch.ones(4)}, path)
    whole = path.read_bytes()
    truncated = [whole[:length] for length in range(0, len(whole), 50)]
    for content in (b"PK", b"PK\x03\x04", b"RIFF....WAVE", b"\x89HDF\r\n", *truncated):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="it is damaged"):
            load_tensors(path)
