"""Matrix products by oneDNN, for inference on x86 processors.

PyTorch gives fp32 products to MKL, which uses only 256-bit instructions on AMD processors: half the
speed of one with AVX-512. oneDNN, which is part of PyTorch, uses the whole processor, and accepts
weights rearranged once instead of at every call. On other processors, and for other types,
PyTorch's own linear layer is used.

The only module of `utils` that `models` may import; it imports nothing of the project.
"""

import functools
import platform

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS = 1024  # rows of input that the weights are arranged for; other numbers work too


@functools.cache
def _supported(dtype: torch.dtype) -> bool:
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def uses_onednn(tensor: Tensor) -> bool:
    """Return whether oneDNN computes the products of this tensor."""
    return (
        tensor.device.type == "cpu"
        and _supported(tensor.dtype)
        and torch._C._get_mkldnn_enabled()  # torch.backends.mkldnn.flags can disable it
    )


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Compute x·weightᵀ, shapes (..., K) and (N, K) ─► (..., N).

    Both have the same type. If a gradient is wanted, PyTorch itself computes it.
    """
    wants_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if not uses_onednn(x) or not x.numel() or wants_gradient:
        return F.linear(x, weight)
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], None)


class PackedLinear(nn.Module):
    """A linear layer for inference, its weights rearranged once for oneDNN.

    `uses_onednn` must be true of the weights of `layer`. Computation and result have type `dtype`.
    With `gelu` the exact GELU is applied to the result, in the same pass.
    """

    def __init__(self, layer: nn.Linear, *, dtype: torch.dtype, gelu: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        weight = layer.weight.detach().to(dtype)
        # Not a parameter or buffer: this layout cannot be saved or moved.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self._after = ("gelu", [], "none") if gelu else ("none", [], None)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: (..., K) ─► (..., N)."""
        x = x.to(self.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._after)


def pack_linears(module: nn.Module, *, dtype: torch.dtype) -> None:
    """Replace the linear layers inside a module by their packed form, if oneDNN supports them.

    If a module has ``fc1`` and then ``act``, a GELU, as timm's ``Mlp``, both become one layer.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and uses_onednn(child.weight) and _supported(dtype):
                act = getattr(parent, "act", None) if name == "fc1" else None
                gelu = isinstance(act, nn.GELU) and act.approximate == "none"
                setattr(parent, name, PackedLinear(child, dtype=dtype, gelu=gelu))
                if gelu:
                    parent.act = nn.Identity()
