import dataclasses
import subprocess
import sys

import pytest

from utils.config import PROJECT_ROOT, load_config
from utils.tracking import Tracker


def test_off_means_not_even_imported(tmp_path):
    program = (
        "import sys, main\n"
        "from pathlib import Path\n"
        "from utils.config import load_config\n"
        "from utils.tracking import Tracker\n"
        "with Tracker(load_config(), Path('.')) as tracker:\n"
        "    tracker.log({'epoch': 1}); tracker.summarise({})\n"
        "print('wandb' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"


@pytest.mark.slow
def test_on_writes_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = dataclasses.replace(load_config(), wandb=True)
    with Tracker(config, tmp_path) as tracker:
        tracker.log({"epoch": 1, "train_loss": 0.5})
        tracker.summarise({"scores": {"mAP@10": 0.5}, "note": None})
    (written,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = written.read_bytes()
    assert b"train_loss" in content
    assert b"mAP@10" in content
