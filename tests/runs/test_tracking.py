import contextlib
import csv
import dataclasses
import json
import struct
import sys
import time
from pathlib import Path

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from tests.support import load_script, options, run_python, settings_for
from utils.runs.tracking import Tracker
from utils.runtime.errors import InputError
from utils.settings.loading import load_config


def test_off_means_not_even_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import fails
    with Tracker(load_config(), tmp_path) as tracker:
        tracker.log({"epoch": 1}, best=True)
        tracker.summarise({})
    assert not list(tmp_path.iterdir())
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
    """All records of the last part of an offline run, by kind, with their values decoded."""
    parts = folder.glob("wandb/offline-run-*/run-*.wandb")
    path = max(parts, key=lambda path: path.stat().st_ctime_ns)
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


def finished_run(folder):
    """The records of a run, for which wandb may still be writing when `finish` has returned."""
    deadline = time.monotonic() + 60
    while not (logged := read_run(folder))["summary"] and time.monotonic() < deadline:
        time.sleep(0.1)
    return logged


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
    logged = finished_run(folder)
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
    best = {key: logged["summary"][key] for key in metrics["validation"]}
    assert best == metrics["validation"]


def test_a_tracker_that_does_not_start_is_one_error(tmp_path, monkeypatch):
    def init(**options):
        raise wandb.Error("no key")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(InputError, match=r"does not start: no key\. Run `wandb login`"):
        Tracker(dataclasses.replace(load_config(), wandb=True), tmp_path)


OFFLINE = dataclasses.replace(load_config(), wandb=True, wandb_mode="offline")
HISTORY = [{"epoch": 1, "mAP@10": 0.1}, {"epoch": 2, "mAP@10": 0.4}, {"epoch": 3, "mAP@10": 0.2}]


def processes_below(parent):
    """The numbers of all processes that a process has started, and of theirs."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = status.read_text().rpartition(")")[2].split()
            children.setdefault(int(after_name[1]), []).append(int(status.parent.name))
    found = children.get(parent, [])
    return found + [below for child in found for below in processes_below(child)]


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_with_all_epochs_and_the_best_as_its_summary(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_SILENT", "true")
    with Tracker(OFFLINE, tmp_path) as tracker:
        for row in HISTORY[:2]:
            tracker.log(row, best=True)
    first = finished_run(tmp_path)
    with Tracker(OFFLINE, tmp_path, HISTORY[:2], best_epoch=2) as tracker:
        tracker.log(HISTORY[2], best=False)
        tracker.summarise({"scores": {"mAP@10": 0.3}})
    second = finished_run(tmp_path)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2
    assert first["run"].run_id == second["run"].run_id == (tmp_path / "wandb_id.txt").read_text()
    assert [{key: row[key] for key in HISTORY[0]} for row in second["history"]] == HISTORY
    assert [row["_step"] for row in second["history"]] == [1, 2, 3]
    wanted = {"epoch": 2, "mAP@10": 0.4, "best_epoch": 2, "scores": {"mAP@10": 0.3}}
    assert {key: second["summary"].get(key) for key in wanted} == wanted


@pytest.mark.slow
def test_training_goes_on_if_its_service_is_killed(tmp_path, monkeypatch):
    # A run of this process leaves its own service there, which the other would use.
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.runs.test_tracking import OFFLINE, processes_below, Tracker\n"
        "with Tracker(OFFLINE, Path(sys.argv[1])) as tracker:\n"
        "    tracker.log({'epoch': 1}, best=True)\n"
        "    for number in processes_below(os.getpid()):\n"
        "        os.kill(number, signal.SIGKILL)\n"
        "    for epoch in (2, 3, 4):\n"
        "        tracker.log({'epoch': epoch}, best=True)\n"
        "    tracker.summarise({'scores': {}})\n"
        "print('done')"
    )
    process = run_python(program, tmp_path)
    warning, end = process.stdout.splitlines()[-2:]
    assert warning.startswith("warning: Weights & Biases has failed (")
    assert end == "done"
    assert process.stdout.count("warning") == 1
    assert "Traceback" not in process.stderr
