import json
import math

import pytest
import safetensors.torch
import torch

from utils.checkpoints.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from utils.checkpoints.provenance import PasstUsed, TrainedWith
from utils.runtime.errors import InputError
from utils.settings.config import to_plain
from utils.settings.loading import load_config

SETTINGS = load_config(overrides=["seed=7"])
OLDER = {"format": 1, "settings": to_plain(SETTINGS), "model": {"w": torch.arange(3.0)}}
# What a trainer's state is made of: an optimiser numbers its parameters, a generator's state is
# bytes, and a schedule begins with an infinite loss.
TRAINER = {
    "optimizer": {"state": {0: {"step": torch.tensor(2.0)}, 1: {}}, "groups": [{"lr": 1e-3}]},
    "generator": torch.Generator().manual_seed(1).get_state(),
    "scheduler": {"best": math.inf, "mode": "min"},
    "mixing": {"state": 2**100},
    "history": [{"epoch": 1, "loss": 0.1 + 0.2}],
    "best_state": {"a.weight": torch.eye(3).T, "b": torch.eye(3, dtype=torch.bfloat16)},
}


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_everything_comes_back(tmp_path):
    path = tmp_path / "deep/c.safetensors"
    used = TrainedWith(PasstUsed(model="é", window_seconds=10.0))
    weights = {"w": torch.arange(3.0)}
    save_checkpoint(path, Checkpoint(SETTINGS, used, "audiocaps", weights))
    read = load_checkpoint(path)
    assert (read.settings, read.trained_with, read.trained_on) == (SETTINGS, used, "audiocaps")
    assert same(read.best_weights(), weights)
    assert read.trainer is None
    save_checkpoint(path, Checkpoint(SETTINGS, used, trainer=TRAINER))
    read = load_checkpoint(path)
    assert same(read.trainer, TRAINER)
    assert same(read.best_weights(), TRAINER["best_state"])
    with safetensors.safe_open(path, "pt") as file:
        assert "checkpoint.trainer.best_state.a.weight" in list(file.keys())


def test_equal_checkpoints_are_equal_files(tmp_path):
    for name in "ab":
        save_checkpoint(tmp_path / name, Checkpoint(SETTINGS, trainer=TRAINER))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_save_leaves_the_old_one(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint(SETTINGS, trainer={"epoch": 1}))
    with pytest.raises(TypeError):
        save_checkpoint(path, Checkpoint(SETTINGS, trainer={"epoch": lambda: 2}))
    assert load_checkpoint(path).trainer == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_no_weights_before_the_first_epoch_ends():
    stopped = Checkpoint(SETTINGS, trainer={"history": [], "best_state": {}})
    with pytest.raises(InputError, match=r"stopped in its first epoch.*Resume the run first"):
        stopped.best_weights()


def test_older_checkpoints_are_read(tmp_path):
    torch.save(OLDER, tmp_path / "c.pt")
    read = load_checkpoint(tmp_path / "c.pt")
    assert same(read.best_weights(), OLDER["model"])
    # What the oldest do not record.
    assert (read.settings, read.trained_with) == (SETTINGS, TrainedWith())
    assert (read.trained_on, read.begun_with) == ("clotho", {})
    torch.save({**OLDER, "trainer": TRAINER, "begun_with": {"data": "a"}}, tmp_path / "c.pt")
    read = load_checkpoint(tmp_path / "c.pt")
    assert same(read.trainer, TRAINER)
    assert same(read.best_weights(), TRAINER["best_state"])
    assert read.begun_with == {"data": "a"}


def test_an_older_checkpoint_is_found_where_there_is_no_new_one(tmp_path):
    new, older = tmp_path / "checkpoint_best.safetensors", tmp_path / "checkpoint_best.pt"
    assert find_checkpoint(tmp_path, "best") == new
    older.touch()
    assert find_checkpoint(tmp_path, "best") == older
    new.touch()
    assert find_checkpoint(tmp_path, "best") == new


class Evil:
    def __reduce__(self):
        return (open, ("/nowhere/evil", "w"))


def test_code_is_not_run(tmp_path):
    torch.save({"format": 1, "x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 99}, "another version"),
        ({"format": True}, "another version"),
        ({"x": 1}, "another version"),
        ([1], "another version"),
        ({"trained_on": "FSD50K"}, "trained_on: .*'clotho' or 'audiocaps'"),
        ({"trained_with": {"passt": 1}}, r"trained_with\.passt: "),
        ({"settings": 1, "trainer": 1}, r"settings: .*trainer: "),
        ({"settings": {"seed": "x"}}, r"seed"),
        ({"begun_with": {"data": 1}}, r"begun_with\.data: "),
    ],
)
def test_contents_that_make_no_sense_are_refused(tmp_path, content, message):
    whole = content if "x" in content or 1 in content else {**OLDER, **content}
    torch.save(whole, tmp_path / "c.pt")
    with pytest.raises(InputError, match=rf"(?s)c\.pt.*{message}"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read the checkpoint"),
        ("[" * 100_000, "cannot read the checkpoint"),
        (json.dumps({"format": 2, "weights": {"a": {"$tensor": "gone"}}}), "cannot read"),
        (json.dumps({"format": 2, "weights": {"$pairs": 5}}), "cannot read"),
        (json.dumps({"format": 2, "weights": {"$pairs": [[[], 1]]}}), "cannot read"),
        (json.dumps({"format": 2}), r"c\.safetensors is not a checkpoint:\n  - settings: "),
        (json.dumps([2]), "another version"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(tmp_path, text, message):
    path = tmp_path / "c.safetensors"
    safetensors.torch.save_file({"w": torch.ones(1)}, path, {"checkpoint": text})
    with pytest.raises(InputError, match=message):
        load_checkpoint(path)


def test_missing_damaged_and_other_files(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(tmp_path / "gone.pt")
    path = tmp_path / "c"
    safetensors.torch.save_file({"w": torch.ones(1)}, path)
    with pytest.raises(InputError, match="is not a checkpoint of this program"):
        load_checkpoint(path)
    save_checkpoint(path, Checkpoint(SETTINGS, weights={"w": torch.ones(100)}))
    whole = path.read_bytes()
    for damaged in (b"PK\x03\x04 broken", b"", whole[:100], whole[:-1], b"\xff" * 8 + b"{"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot read the checkpoint .*c: "):
            load_checkpoint(path)
