import pytest
import torch

from utils.runtime import devices
from utils.runtime.errors import InputError


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def as_rank(monkeypatch, rank, size, local_rank):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_each_process_of_a_machine_gets_a_gpu_of_its_own(two_gpus, monkeypatch, wanted):
    assert devices.choose_device(wanted) == torch.device("cuda")
    as_rank(monkeypatch, 3, 4, 1)
    assert devices.choose_device(wanted) == torch.device("cuda:1")
    assert devices.choose_device("cuda:0") == torch.device("cuda:0")
    assert devices.choose_device("cpu") == torch.device("cpu")


def test_processes_without_gpus_share_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    as_rank(monkeypatch, 1, 2, 1)
    assert devices.choose_device("auto") == torch.device("cpu")


def test_gpus_that_are_not_there_are_refused(two_gpus, monkeypatch):
    with pytest.raises(InputError, match=r"training\.device is cuda:2, but PyTorch sees 2 CUDA"):
        devices.choose_device("cuda:2")
    as_rank(monkeypatch, 2, 3, 2)
    with pytest.raises(InputError, match="process 3 of its machine, where PyTorch sees 2 CUDA"):
        devices.choose_device("auto")
