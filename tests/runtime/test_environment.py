import platform

import torch

from utils.runtime import environment


def test_the_machine_and_the_versions_are_named():
    described = environment.describe(torch.device("cpu"))
    assert described.items() >= environment.packages().items()
    assert described["device"] == "cpu"
    assert described["torch"] == torch.__version__.partition("+")[0]
    assert described["python"] == platform.python_version()
    assert described["processor"]
    assert all(isinstance(value, str) for value in described.values())


def test_without_cpuinfo_the_processor_is_named_too(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_CPU_INFO", tmp_path / "gone")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert environment.describe(torch.device("cpu"))["processor"] == platform.machine()
