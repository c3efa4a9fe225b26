import csv
import dataclasses
import json
import struct
import sys
import time

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from tests.support import load_script, options, settings_for
from utils.runs.tracking import Tracker
from utils.runtime.errors import InputError
from utils.settings.loading import load_config


def test_off_means_not_even_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import fails
    with Tracker(load_config(), tmp_path) as tracker:
        tracker.log({"epoch": 1})
        tracker.summarise({})
    with pytest.raises(ImportError):
        Tracker(dataclasses.replace(load_config(), wandb=True), tmp_path)


BLOCK = 32_768


def records(content: bytes):
    """The records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def read_run(folder):
    """All records of an offline run, by kind, with their JSON values decoded."""
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = {"config": {}, "history": [], "summary": {}, "run": None}
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
            for item in record.run.config.update:
                found["config"][item.key] = json.loads(item.value_json)
        elif kind == "history":
            row = {".".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
            found["history"].append({key: json.loads(value) for key, value in row.items()})
        elif kind == "summary":
            for item in record.summary.update:
                key = ".".join(item.nested_key) or item.key
                found["summary"][key] = json.loads(item.value_json)
    return found


@pytest.mark.slow
def test_a_training_run_is_logged_with_all_its_numbers(small_demo, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = [
        *settings_for(small_demo, outputs=tmp_path),
        "wandb=True",
        "wandb_mode=offline",
        "wandb_project=sounds",
        "wandb_entity=someone",
    ]
    load_script("main").main(options(settings))
    (folder,) = (tmp_path / "demo").iterdir()
    # wandb may still be writing when its `finish` has returned.
    deadline = time.monotonic() + 60
    while not (logged := read_run(folder))["summary"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (logged["run"].project, logged["run"].entity) == ("sounds", "someone")
    assert logged["run"].display_name == folder.name
    assert logged["config"]["training"]["epochs"] == 2
    assert logged["config"]["model"]["ratio_embed1"] == 0.8
    with (folder / "history.csv").open(newline="") as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [{k: row[k] for k in history[0]} for row in logged["history"]] == history
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("scores", "best_epoch", "validation", "audio_to_text"):
        assert logged["summary"][name] == metrics[name]


def test_a_tracker_that_does_not_start_is_one_error(tmp_path, monkeypatch):
    def init(**options):
        raise wandb.Error("no key")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(InputError, match=r"does not start: no key\. Run `wandb login`"):
        Tracker(dataclasses.replace(load_config(), wandb=True), tmp_path)
