import pytest
import torch
from torch import nn
from torch.nn import functional as F

from utils.runtime import onednn


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(3, 7, 5, generator=generator),
        torch.randn(4, 5, generator=generator),
        torch.randn(4, generator=generator),
    )


def test_products_equal_pytorchs(tensors):
    x, weight, bias = tensors
    torch.testing.assert_close(onednn.linear(x, weight, bias), F.linear(x, weight, bias))
    torch.testing.assert_close(onednn.linear(x, weight), F.linear(x, weight))


def test_transposed_views_are_taken_as_they_are(tensors):
    x, weight, _ = tensors
    found = onednn.linear(weight, x[0].T.contiguous().T)
    torch.testing.assert_close(found, weight @ x[0].T)
    torch.testing.assert_close(
        onednn.linear(x[0].T, weight.new_ones(2, 7)), x[0].T @ torch.ones(7, 2)
    )


def test_few_rows_and_strided_biases_make_no_difference():
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(3, 5, generator=generator), torch.randn(90, 5, generator=generator)
    bias = torch.randn(180, generator=generator)[::2]
    for one in (x, x.repeat(30, 1)):
        found = onednn.linear(one, weight, bias)
        torch.testing.assert_close(found, F.linear(one, weight, bias))
        assert found.is_contiguous()
    torch.testing.assert_close(
        onednn.linear(x, weight[:9], bias[:9]), F.linear(x, weight[:9], bias[:9])
    )


def test_where_a_gradient_is_wanted_there_is_one(tensors):
    x, weight, bias = tensors
    weight.requires_grad_()
    onednn.linear(x, weight, bias).sum().backward()
    torch.testing.assert_close(weight.grad, x.flatten(0, 1).sum(dim=0).expand(4, 5))


@pytest.mark.filterwarnings("ignore:TF32")
def test_onednn_can_be_turned_off(tensors):
    with torch.backends.mkldnn.flags(enabled=False):
        assert not onednn.uses_onednn(tensors[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_are_left_to_pytorch(tensors, dtype):
    x, weight, bias = (tensor.to(dtype) for tensor in tensors)
    assert not onednn.uses_onednn(x)
    assert torch.equal(onednn.linear(x, weight, bias), F.linear(x, weight, bias))


def test_nothing_gives_nothing(tensors):
    _, weight, bias = tensors
    assert onednn.linear(torch.empty(0, 5), weight, bias).shape == (0, 4)


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
    network = nn.Linear(5, 4)
    outer = nn.Sequential(network)
    x = tensors[0]
    with torch.inference_mode():
        expected = network(x)
        onednn.pack_linears(outer, dtype=torch.bfloat16)
        found = outer(x)
    if isinstance(outer[0], onednn.PackedLinear):
        assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)
