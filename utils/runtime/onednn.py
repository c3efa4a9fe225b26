"""Matrix products on x86 processors by oneDNN, which uses all that the processor has.

PyTorch gives fp32 products to MKL, which keeps to 256-bit instructions on processors that are not
Intel's, and so to half the rate of one from AMD with AVX-512. oneDNN, which PyTorch carries along
for bf16 and for its compiler, does not; it also takes weights that were rearranged once instead of
at every call. Elsewhere, and for other types, all this is PyTorch's own linear layer.

The one module of `utils` that `models` may import; it imports nothing of the project.
"""

import functools
import platform

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS = 1024  # of input, that weights are rearranged for; any number of rows can be given
_FEW = 64  # rows of input: up to these, weights and input are better taken for each other


@functools.cache
def _supported(dtype: torch.dtype) -> bool:
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def uses_onednn(tensor: Tensor) -> bool:
    """Tell whether products with this tensor go to oneDNN."""
    return (
        tensor.device.type == "cpu"
        and _supported(tensor.dtype)
        and torch._C._get_mkldnn_enabled()  # torch.backends.mkldnn.flags can turn it off
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x·weightᵀ + bias; where a gradient is wanted, by PyTorch itself.

    Parameters
    ----------
    x : Tensor, shape (..., K)
    weight : Tensor, shape (N, K)
        Of the same type.
    bias : Tensor, shape (N,), optional

    Returns
    -------
    Tensor, shape (..., N)

    """
    wants_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if not uses_onednn(x) or not x.numel() or wants_gradient:
        return F.linear(x, weight, bias)
    if bias is not None:
        bias = bias.contiguous()
    if bias is not None and x.ndim == 2 and len(x) <= _FEW < len(weight):
        turned = torch.ops.mkldnn._linear_pointwise(weight, x, None, "none", [], None)
        return torch.add(turned.T, bias, out=x.new_empty(len(x), len(weight)))
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], None)


class PackedLinear(nn.Module):
    """A linear layer for inference, its weights rearranged once for oneDNN.

    Parameters
    ----------
    layer : nn.Linear
        Where the weights come from; only layers that `serves` says yes to.
    dtype : torch.dtype
        To compute in, and of the result.
    gelu : bool
        Apply GELU (the exact one) to the result, in the same pass over it.

    """

    def __init__(self, layer: nn.Linear, *, dtype: torch.dtype, gelu: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        weight = layer.weight.detach().to(dtype)
        # No parameters or buffers: this layout can be neither saved nor moved.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self._after = ("gelu", [], "none") if gelu else ("none", [], None)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: (..., K) ─► (..., N)."""
        x = x.to(self.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._after)


def pack_linears(module: nn.Module, *, dtype: torch.dtype) -> None:
    """Replace every linear layer inside a module by its packed form, where oneDNN serves it.

    Where a module has ``fc1`` and then ``act``, a GELU, both become one, as in timm's ``Mlp``.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and uses_onednn(child.weight) and _supported(dtype):
                gelu = name == "fc1" and _is_gelu(getattr(parent, "act", None))
                setattr(parent, name, PackedLinear(child, dtype=dtype, gelu=gelu))
                if gelu:
                    parent.act = nn.Identity()


def _is_gelu(module: nn.Module | None) -> bool:
    return isinstance(module, nn.GELU) and module.approximate == "none"
