import pickle

import pytest
import torch

from utils.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from utils.checkpoints.provenance import TrainedWith
from utils.runtime.errors import InputError


def test_tensors_and_plain_values_survive(tmp_path):
    path = tmp_path / "deep/c.pt"
    save_checkpoint(path, {"weights": {"w": torch.arange(3.0)}, "settings": {"a": [1, "é", None]}})
    content = load_checkpoint(path)
    assert torch.equal(content["weights"]["w"], torch.arange(3.0))
    assert content["settings"] == {"a": [1, "é", None]}


def test_a_failed_save_leaves_the_old_one(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"epoch": 1})
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save_checkpoint(path, {"epoch": lambda: 2})
    assert load_checkpoint(path)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


class Evil:
    def __reduce__(self):
        return (open, ("/nowhere/evil", "w"))


def test_code_is_not_run(tmp_path):
    torch.save({"format": 1, "x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize("content", [{"format": 99}, {"x": 1}, [1]])
def test_other_formats_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError, match="another version"):
        load_checkpoint(tmp_path / "c.pt")


def test_what_an_older_one_does_not_tell_is_filled_in(tmp_path):
    save_checkpoint(tmp_path / "c.pt", {})
    content = load_checkpoint(tmp_path / "c.pt")
    assert content["trained_on"] == "clotho"
    assert content["trained_with"] == TrainedWith().to_plain()
    save_checkpoint(tmp_path / "again.pt", content)
    assert load_checkpoint(tmp_path / "again.pt") == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trained_on": "FSD50K"}, r"c\.pt was trained on 'FSD50K', and this version knows clotho"),
        ({"trained_with": {"passt": 1}}, r"c\.pt does not say which networks"),
        ({"settings": 1}, r"c\.pt is no checkpoint: 1 stands where its settings"),
    ],
)
def test_contents_that_make_no_sense_are_refused(tmp_path, content, message):
    save_checkpoint(tmp_path / "c.pt", content)
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path / "c.pt")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(tmp_path / "gone.pt")
    (tmp_path / "c.pt").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        load_checkpoint(tmp_path / "c.pt")
