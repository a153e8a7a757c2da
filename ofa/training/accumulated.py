"""Parts of shared weights whose gradients are added where they belong, at once.

Autograd's own slices make a tensor of zeros as large as the whole weight for every part, and add these up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.networks.elastic import first


def accumulated(weight: Tensor, *sizes: int) -> Tensor:
    """As `first`; the gradient of a part is added to `weight.grad` in the backward pass, which autograd does not see.

    To the bit what autograd adds up. Kernels and matrices are cast as autocast would cast them later.
    """
    part = first(weight, *sizes)
    if part is weight or not (torch.is_grad_enabled() and weight.is_leaf and weight.requires_grad):
        return part
    kind = weight.device.type
    cast = weight.ndim > 1 and torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if cast else weight.dtype
    result: Tensor = _Accumulated.apply(weight, sizes, dtype)  # type: ignore[no-untyped-call]
    return result


class _Accumulated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, sizes: Sequence[int], dtype: torch.dtype) -> Tensor:
        ctx.weight, ctx.sizes = weight, sizes
        return first(weight, *sizes).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        weight = ctx.weight
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
            first(weight.grad, *ctx.sizes).copy_(grads[0])
        else:
            first(weight.grad, *ctx.sizes).add_(grads[0])
        return None, None, None
