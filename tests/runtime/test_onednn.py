import operator
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from utils.runtime import onednn
from utils.runtime.paths import PROJECT_ROOT

PRIVATE = [
    "torch.cpu._is_avx512_bf16_supported",
    "torch.ops.mkldnn._is_mkldnn_bf16_supported",
    "torch.ops.mkldnn._linear_pointwise",
    "torch.ops.mkldnn._reorder_linear_weight",
    "torch._C._get_mkldnn_enabled",
]


@pytest.mark.parametrize("name", PRIVATE)
def test_private_functions_of_pytorch_exist(name):
    try:
        function = operator.attrgetter(name.removeprefix("torch."))(torch)
    except AttributeError:
        pytest.fail(f"PyTorch {torch.__version__} has no {name}: replace it where it is used")
    assert callable(function)


def test_all_private_functions_in_use_are_listed():
    pattern = re.compile(r"\btorch(?:\.\w+)*\._[a-zA-Z]\w*(?:\.\w+)*")
    folders = (PROJECT_ROOT / name for name in ("models", "utils", "scripts"))
    used = {
        name
        for path in (*(p for f in folders for p in f.rglob("*.py")), PROJECT_ROOT / "main.py")
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert used - {"torch._utils"} == set(PRIVATE)  # torch._utils: a name in pickles


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 7, 5, generator=generator), torch.randn(4, 5, generator=generator)


def test_products_equal_pytorchs_also_of_transposed_views_and_of_no_rows(tensors):
    x, weight = tensors
    columns, few = x[0].T, weight.new_ones(2, 7)
    empty = torch.empty(0, 5)
    for a, b in ((x, weight), (weight, columns.contiguous().T), (columns, few), (empty, weight)):
        torch.testing.assert_close(onednn.linear(a, b), F.linear(a, b))


def test_a_wanted_gradient_is_computed(tensors):
    x, weight = tensors
    weight.requires_grad_()
    onednn.linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.flatten(0, 1).sum(dim=0).expand(4, 5))


@pytest.mark.filterwarnings("ignore:TF32")
def test_onednn_can_be_disabled(tensors):
    with torch.backends.mkldnn.flags(enabled=False):
        assert not onednn.uses_onednn(tensors[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_are_left_to_pytorch(tensors, dtype):
    x, weight = (tensor.to(dtype) for tensor in tensors)
    assert not onednn.uses_onednn(x)
    assert torch.equal(onednn.linear(x, weight), F.linear(x, weight))


class Mlp(nn.Module):
    """As timm names its parts."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(5, 9), act, nn.Linear(9, 4, bias=False)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


@pytest.mark.parametrize("act", [nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU()], ids=str)
def test_a_packed_network_computes_the_same(tensors, act):
    network = nn.Sequential(Mlp(act), nn.LayerNorm(4), nn.Linear(4, 3))
    x = tensors[0]
    with torch.inference_mode():
        expected = network(x)
        onednn.pack_linears(network, dtype=torch.float32)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-6)
    if onednn.uses_onednn(x):
        assert not [m for m in network.modules() if type(m) is nn.Linear]
        fused = isinstance(network[0].act, nn.Identity)
        assert fused == (isinstance(act, nn.GELU) and act.approximate == "none")


def test_a_packed_network_can_compute_in_half_precision(tensors):
    network, x = nn.Sequential(nn.Linear(5, 4)), tensors[0]
    with torch.inference_mode():
        expected = network(x)
        onednn.pack_linears(network, dtype=torch.bfloat16)
        found = network(x)
    if isinstance(network[0], onednn.PackedLinear):
        assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)
